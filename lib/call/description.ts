/** The session description a reliable provisional carried stands for one in the 2xx, which may then have none (RFC 3262 5). */
import type { SipResponse } from '../sip/message.ts';

/** The answer with the session description of `described` when it has none of its own. */
export function withDescription(answer: SipResponse, described: SipResponse | undefined): SipResponse {
  if (answer.body !== '' || described === undefined) return answer;
  const headers = answer.headers.copy();
  for (const [name, value, key] of described.headers.entries()) {
    if (key.startsWith('content-') && key !== 'content-length' && !headers.has(key)) headers.add(name, value);
  }
  return { ...answer, headers, body: described.body };
}
