/** The end of a dialog that nobody wants: a 2xx that came too late, or from a device that had lost already. */
import type { Dialog } from '../ports/dialog.ts';
import { Headers } from '../sip/headers.ts';

/** Sends the BYE and closes the dialog when it is answered; `reason` is the value of its Reason header (RFC 3326). */
export function hangUp(dialog: Dialog, reason: string): void {
  // the peer may hang up in the same moment (RFC 3261 15.1.2), and nobody else listens
  dialog.onRequest(
    (transaction) => void transaction.respond({ status: transaction.request.method === 'BYE' ? 200 : 481 }),
  );
  void dialog
    .request({ method: 'BYE', headers: Headers.of([['Reason', reason]]), body: '' })
    .then(() => dialog.close());
}
