/** What is remembered of a request of ours until its answer, and the answers nobody sent. */
import type { AppLink } from './control/app-link.ts';
import type { Dialog } from './dialog/dialog.ts';
import { newTag } from './ids.ts';
import { printResponse, type RequestParts } from './printing.ts';
import { readTag, type Response } from './reading.ts';
import type { ClientTransaction } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';
import type { Way } from './way.ts';

export interface Sent {
  /** who hears the answers; nobody for CANCEL and the engine's own BYE */
  readonly app: AppLink | undefined;
  readonly txn: string;
  /** the id of the dialog it may begin or is in; '' for none */
  readonly dialogId: string;
  /** the dialog it was sent in */
  readonly dialog: Dialog | undefined;
  /** of the latest try: each has a Via of its own */
  parts: RequestParts;
  /** an outbound proxy was named: the dialog keeps using it */
  readonly alongFlow: boolean;
  /** it has a route set of the app: the dialog keeps to what its Record-Route says, or to the peer's Contact */
  readonly routed: boolean;
  /** the dialogs the answers to an INVITE or SUBSCRIBE began, one for each who answers (RFC 3261 12.1.2, 13.2.2.4) */
  readonly begun: Dialog[];
  /** the dialog whose 2xx the app was told */
  answered: Dialog | undefined;
  /** CANCEL that waits or went out */
  cancel: string;
  /** the NOTIFY that ends a subscription */
  readonly last: boolean;
  /** our session description, where a session timer is spoken of */
  readonly sdp: string;
  /** a refresh of the engine's own hears its end here: a final answer, or undefined when none came */
  readonly onRefreshed: ((status: number, response: Response | undefined) => void) | undefined;
  /** what another try needs, until the final answer; the rest of the head and the body are as the app gave them */
  again: { readonly way: Way; readonly lines: string; readonly body: string } | undefined;
  /** the latest try went over TCP for its size; this is the UDP flow it stands in for */
  insteadOf: Flow | undefined;
  /** at least once */
  tried: boolean;
  /** the latest try was answered, if only by a 100 */
  heard: boolean;
}

export type Transaction = ClientTransaction<Sent>;

/** What sends: the UAC side, as those see it who write requests of the engine's own. */
export interface Sender {
  start(sent: Sent, flow: Flow, text: string): Transaction;
}

/** A request of the engine's own; nobody outside waits for its answer. */
export function ownRequest(parts: RequestParts, dialog?: Dialog, onRefreshed?: Sent['onRefreshed']): Sent {
  return {
    app: undefined,
    txn: '',
    dialogId: '',
    dialog,
    parts,
    alongFlow: true,
    routed: false,
    begun: [],
    answered: undefined,
    cancel: '',
    last: false,
    sdp: '',
    onRefreshed,
    again: undefined,
    insteadOf: undefined,
    tried: false,
    heard: false,
  };
}

/** An answer nobody sent: recognisable by 0 bytes, no address and port 0. */
export function localAnswer(sent: Sent, status: number, reason: string, protocol: string): void {
  const { parts } = sent;
  const to = readTag(parts.to) === '' ? `${parts.to};tag=${newTag()}` : parts.to;
  const text = printResponse(status, reason, {
    vias: `Via: ${parts.via}\r\n`,
    from: parts.from,
    to,
    callId: parts.callId,
    cseq: `${parts.seq} ${parts.method}`,
  });
  sent.app?.received(text, 0, { protocol, address: '', port: 0 }, sent.txn, sent.dialogId);
}
