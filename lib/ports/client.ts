/** Requests of ours outside any dialog other than INVITE: REGISTER, SUBSCRIBE and standalone requests passed on (RFC 3261 17.1.2). */
import type { Dialog } from './dialog.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';

export interface ClientRequest {
  readonly method: string;
  readonly uri: string;
  /** `sip:address:port;transport=t`; when left out the request-URI is the next hop */
  readonly nextHop?: string;
  /**
   * Route values for it (RFC 3261 8.1.2), of which the first leads to the next hop; a strict router there is served as 12.2.1.1 says.
   * With an engine that writes no Route (drachtio-server) it goes to the next hop without.
   */
  readonly routes?: readonly string[];
  /** the engine it leaves from, see Flow.engine; that of this node when left out */
  readonly engine?: string;
  /** Call-ID, CSeq, From (with tag) and To go out as given */
  readonly headers: Headers;
  readonly body: string;
  /** how long to wait for a final answer; afterwards a local 408 is reported and late answers are ignored */
  readonly timeoutMs: number;
}

export interface ClientAnswer {
  /** the final answer */
  readonly response: SipResponse;
  /** true: made up by the engine or by the time limit (408, 503), no peer has answered */
  readonly local: boolean;
  /** with the 2xx to a SUBSCRIBE: our side of the subscription, its NOTIFYs come there, also those that came before the 2xx */
  readonly dialog?: Dialog;
}

export interface Client {
  /** Sends one request and reports its final answer. Never rejects. */
  send(request: ClientRequest): Promise<ClientAnswer>;
}
