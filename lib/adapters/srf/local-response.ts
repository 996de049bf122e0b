/** An answer nobody sent: how the ports tell that a request could not be sent or was not answered. */
import { Headers } from '../../sip/headers.ts';
import type { SipResponse } from '../../sip/message.ts';
import { reasonPhrase } from './reason-phrases.ts';

export function localResponse(status: number): SipResponse {
  return { kind: 'response', status, reason: reasonPhrase(status), headers: Headers.empty(), body: '' };
}
