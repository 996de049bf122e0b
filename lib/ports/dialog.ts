/** One side of a call that we hold (RFC 3261 12). The engine keeps route set, targets and CSeq, and repeats 2xx and ACK. */
import type { Headers } from '../sip/headers.ts';
import type { SipRequest, SipResponse } from '../sip/message.ts';
import type { InviteTransaction, ServerTransaction } from './server-transaction.ts';

export interface DialogRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body: string;
  /**
   * `sip:address:port;transport=t`: sends it there instead of the way the dialog has gone so far, because the peer is known to have
   * moved; later requests follow until another one is named. Without effect on INVITE and SUBSCRIBE where the engine cannot be told
   * (drachtio-server).
   */
  readonly nextHop?: string;
  /** The engine the next hop belongs to, see Flow.engine; that of the dialog when left out. Without effect on SUBSCRIBE, and on INVITE where the engine cannot be told. */
  readonly engine?: string;
  /** INVITE only: when it is aborted while no final answer has come, a CANCEL is sent, as soon as the protocol allows */
  readonly cancel?: AbortSignal;
  /** header fields of that CANCEL (Reason) */
  readonly cancelHeaders?: () => Headers;
  /** INVITE only: 101 to 199. `reliable`: it carried RSeq and has been PRACKed by the adapter */
  readonly progress?: (response: SipResponse, reliable: boolean) => void;
}

/** Body and headers of an ACK that carries an answer (late offer). */
export interface AckContent {
  readonly headers: Headers;
  readonly body: string;
}

export interface DialogAnswer {
  readonly response: SipResponse;
  /** true: made up by the engine (408, 503, 410), no peer has answered */
  readonly local: boolean;
  /** Present on a 2xx to a re-INVITE: the caller of request() must send the ACK, exactly once. */
  readonly ack?: (content?: AckContent) => void;
}

/** What can be said in a dialog whose INVITE is not answered yet (RFC 3261 12.1, RFC 3311 5.1). BYE and PRACK never come up. */
export interface EarlyDialog {
  /** As that of Dialog. */
  request(request: DialogRequest): Promise<DialogAnswer>;
  /** Every request from the peer in it. One listener; while there is none the adapter refuses them. */
  onRequest(listener: (transaction: ServerTransaction) => void): void;
}

export interface Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** Contact of the peer as it was heard last */
  readonly remoteTarget?: string | undefined;
  /** the user whose phone the peer is known to be */
  readonly aor?: string | undefined;
  /** Sends a request inside the dialog. 481 with local=true when the dialog is unknown to the engine. Never rejects. */
  request(request: DialogRequest): Promise<DialogAnswer>;
  /** Every request from the peer inside this dialog but ACK; a re-INVITE is an InviteTransaction. One listener. */
  onRequest(listener: (transaction: ServerTransaction | InviteTransaction) => void): void;
  /** Every ACK of the peer to a 2xx of ours. One listener. */
  onAck(listener: (ack: SipRequest) => void): void;
  /** The engine ended the dialog by itself (no ACK, session timer, CANCEL crossed 200); `why` is for the log. One listener. */
  onEnd(listener: (why: string) => void): void;
  /** Forgets the dialog: late requests for it get 481. To be called once a BYE went either way. */
  close(): void;
}
