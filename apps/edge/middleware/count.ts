/** Counts every request by its method and the class of our final answer. */
import type { Dialog } from '../../../lib/ports/dialog.ts';
import type {
  Answer,
  DialogTransaction,
  InviteTransaction,
  ServerTransaction,
} from '../../../lib/ports/server-transaction.ts';
import type { BoundCounter, Telemetry } from '../../../lib/ports/telemetry.ts';
import { methodLabel, statusLabel } from '../../../lib/telemetry/metrics.ts';

type Incoming = ServerTransaction | DialogTransaction | InviteTransaction;

/** Stands in front of a transaction and counts the first final answer that goes through it. */
export function requestCounter(telemetry: Telemetry): (transaction: Incoming) => Incoming {
  // bound once: this is on the path of every message
  const series = new Map<string, BoundCounter>();
  const count = (method: string, status: number): void => {
    const labels = { method: methodLabel(method), status: statusLabel(status) } as const;
    const key = `${labels.method} ${labels.status}`;
    let counter = series.get(key);
    if (counter === undefined) series.set(key, (counter = telemetry.counter('requests', labels)));
    counter.add();
  };
  return (transaction) => {
    let counted = false;
    const seen = ({ status }: Answer): void => {
      if (counted || status < 200) return;
      counted = true;
      count(transaction.request.method, status);
    };
    const { request, flow, receivedOn } = transaction;
    const respond = (answer: Answer): Promise<'sent' | 'gone'> => {
      seen(answer);
      return transaction.respond(answer);
    };
    if (!('accept' in transaction)) return { request, flow, receivedOn, respond };
    const accept = (answer: Answer): Promise<Dialog | undefined> => {
      seen(answer);
      return transaction.accept(answer);
    };
    if (!('onCancel' in transaction)) return { request, flow, receivedOn, respond, accept };
    const invite: InviteTransaction = {
      request,
      flow,
      receivedOn,
      respond,
      early: transaction.early,
      accept,
      onCancel: (listener) => {
        transaction.onCancel((cancel) => {
          seen({ status: 487 });
          listener(cancel);
        });
      },
    };
    return invite;
  };
}
