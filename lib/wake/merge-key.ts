/** What all copies of one request have in common, whatever branch they took (RFC 3261 8.2.2.2). */
import type { SipRequest } from '../sip/message.ts';
import { tagOf } from '../sip/name-addr.ts';

export function mergeKey({ headers }: SipRequest): string {
  const tag = tagOf(headers.get('From') ?? '') ?? '';
  return `${headers.get('Call-ID') ?? ''} ${tag} ${headers.get('CSeq') ?? ''}`;
}
