/** What the UAC side remembers of a request it has sent, until its last answer. */
import type { AppLink } from './control/app-link.ts';
import type { Dialog } from './dialog/dialog.ts';
import type { RequestParts } from './printing.ts';
import type { Response } from './reading.ts';
import type { ClientTransaction } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';

export interface Sent {
  /** who hears the answers; nobody for CANCEL and the engine's own requests */
  readonly app: AppLink | undefined;
  readonly txn: string;
  /** the id of the dialog it may begin or is in; '' for none */
  readonly dialogId: string;
  /** the dialog it was sent in */
  readonly dialog: Dialog | undefined;
  readonly parts: RequestParts;
  /** an outbound proxy was named: the dialog keeps using it */
  readonly alongFlow: boolean;
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
  readonly onRefreshed?: (status: number, response: Response | undefined) => void;
}

export type Transaction = ClientTransaction<Sent>;

/** What sends: the UAC side, as those see it who write requests of the engine's own. */
export interface Sender {
  start(sent: Sent, flow: Flow, text: string): Transaction;
}

/** A request nobody outside asked for. */
export function ownRequest(parts: RequestParts, dialog?: Dialog, onRefreshed?: Sent['onRefreshed']): Sent {
  return {
    app: undefined,
    txn: '',
    dialogId: '',
    dialog,
    parts,
    alongFlow: true,
    begun: [],
    answered: undefined,
    cancel: '',
    last: false,
    sdp: '',
    ...(onRefreshed === undefined ? {} : { onRefreshed }),
  };
}
