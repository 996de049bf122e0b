/** One request from the network that waits for our answer (RFC 3261 17.2). The engine absorbs retransmissions and sends the 100. */
import type { Flow } from '../sip/flow.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipRequest } from '../sip/message.ts';
import type { Dialog, EarlyDialog } from './dialog.ts';

export interface Answer {
  readonly status: number;
  /** the usual phrase of the status when left out */
  readonly reason?: string;
  /** of the To of the answer, when somebody else has made the dialog; chosen by the engine when left out */
  readonly toTag?: string;
  /** header fields beyond those the engine makes (Via, From, To, Call-ID, CSeq, Content-Length) */
  readonly headers?: Headers;
  readonly body?: string;
  /** a provisional that should arrive for sure, where the peer can do that (RFC 3262); where it insists on it, each does */
  readonly reliable?: boolean;
}

export interface ServerTransaction {
  readonly request: SipRequest;
  /** where the request came from */
  readonly flow: Flow;
  /** `address:port` of the listener, undefined inside a dialog */
  readonly receivedOn: string | undefined;
  /**
   * Answers. 'gone': the transaction ended before (CANCEL, time limit, connection closed); the answer was not sent and nothing
   * is to be done about it. Never rejects, never throws.
   */
  respond(answer: Answer): Promise<'sent' | 'gone'>;
}

/** A request outside dialogs whose 2xx opens one: INVITE and SUBSCRIBE. */
export interface DialogTransaction extends ServerTransaction {
  /** Sends a 2xx and opens the dialog it makes; undefined when the transaction is gone. Never rejects. */
  accept(answer: Answer): Promise<Dialog | undefined>;
}

/** An INVITE, outside a dialog or inside one. */
export interface InviteTransaction extends DialogTransaction {
  /**
   * The caller gave up, or nobody can answer him any more (the engine has answered by itself or is gone): whatever he was to be
   * told is already sent. Called at most once, at once when it has already happened, never after a final answer of ours.
   */
  onCancel(listener: (cancel: SipRequest) => void): void;
  /** The dialog before the answer. Requests in it fail with 481 (local) until a provisional above 100 has been sent. */
  readonly early: EarlyDialog;
}
