/** An INVITE of ours towards a device or the PBX (a B2BUA leg, RFC 3261 17.1.1). One call to `start` sends exactly one INVITE. */
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import type { AckContent, Dialog, EarlyDialog } from './dialog.ts';

export interface LegRequest {
  readonly uri: string;
  /** `sip:address:port;transport=t`, where the INVITE is sent whatever the request-URI says */
  readonly nextHop: string;
  /** see ClientRequest */
  readonly routes?: readonly string[];
  /** the engine it leaves from, see Flow.engine; that of this node when left out */
  readonly engine?: string;
  /** everything but Via, Max-Forwards (unless given), Content-Length; From and To without our tag; Call-ID, CSeq and Contact are the engine's unless given */
  readonly headers: Headers;
  readonly body: string;
  /** one of the two ends is a phone behind a NAT, which may want a media relay */
  readonly behindNat?: boolean;
}

export interface LegEvents {
  /**
   * 101 to 199, and 100 where the engine reports it (drachtio-server does not). `reliable`: it carried RSeq and has been PRACKed by
   * the adapter. `early`: the dialog it is of, the same object for the same To tag; a callee that forks has several.
   */
  progress(response: SipResponse, reliable: boolean, early: EarlyDialog | undefined): void;
  /** A 2xx. `ack` must be called exactly once, at once or when the answer to a late offer is known. */
  answered(response: SipResponse, dialog: Dialog, ack: (content?: AckContent) => void): void;
  /** 300 to 699, also the answer to our CANCEL (487). `local`: made up by the engine, no peer has answered. */
  failed(response: SipResponse, local: boolean): void;
}

export interface Leg {
  /** Our Call-ID and From tag on this leg, known once the INVITE is on its way. */
  readonly callId: string | undefined;
  /** Sends CANCEL as soon as the protocol allows; a 2xx that crosses it is still reported as answered. Safe to call at any time and twice. */
  cancel(reason?: string): void;
  /**
   * The peer is at `nextHop` now: a CANCEL goes there, and the same INVITE once more when the connection it went over is gone. Without
   * effect once it is answered, and with an engine that cannot do that (drachtio-server).
   */
  move(nextHop: string): void;
}

export interface Legs {
  /** Starts a leg. Exactly one of answered or failed follows (answered may also follow a cancel). Events never arrive before start returns. */
  start(request: LegRequest, events: LegEvents): Leg;
}
