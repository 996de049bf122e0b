/**
 * A SUBSCRIBE for devices of ours (dialog, presence, refer of a phone; RFC 6665): held like any other request, and when a phone grants
 * it, its dialog and the subscriber's are tied together.
 */
import { passAnswer, passSubscribe } from '../core/pass-headers.ts';
import { type BridgedSubscription, bridgeSubscription, dropSubscription, expiresOf } from '../call/subscription.ts';
import type { Subscriptions } from '../call/subscriptions.ts';
import type { ClientAnswer } from '../ports/client.ts';
import type { Ids } from '../ports/ids.ts';
import type { DialogTransaction } from '../ports/server-transaction.ts';
import type { Called } from './called.ts';
import type { KnownFlow } from './devices.ts';
import { holdFor, type HoldRequestDeps } from './hold-request.ts';
import { phoneOfDialog, WakefulDialog } from './wakeful-dialog.ts';
import { wayTo } from './way-to.ts';

export interface HoldSubscribeDeps extends HoldRequestDeps {
  readonly ids: Ids;
  readonly subscriptions: Subscriptions;
}

type Granted = ClientAnswer & { readonly by?: KnownFlow };

/** Resolves when the request is held or answered; rejects with EDGE_STORE_UNAVAILABLE, then it is still to be answered. */
export async function holdSubscribe(
  transaction: DialogTransaction,
  called: Called,
  deps: HoldSubscribeDeps,
): Promise<void> {
  const { request } = transaction;
  const { headers, body } = request;
  const event = headers.get('Event') ?? '';
  const release = deps.subscriptions.ask();
  if (release === undefined) return void (await transaction.respond({ status: 503 }));
  await holdFor<Granted>(
    transaction,
    called,
    {
      send: async (known, timeoutMs) => {
        const { along, named } = wayTo(known, request);
        const names = { callId: deps.ids.uuid(), tag: deps.ids.hex(8) };
        const answer = await deps.client.send({
          method: 'SUBSCRIBE',
          ...along,
          headers: passSubscribe(headers, { from: called.from, towards: 'phone', ...named }, names),
          body,
          timeoutMs,
        });
        return { ...answer, by: known };
      },
      answered: async (granted) => {
        const { response, dialog, by } = granted;
        const answer = {
          status: response.status,
          reason: response.reason,
          headers: passAnswer(response.headers, response.status, { from: 'phone', towards: called.from }),
          body: response.body,
        };
        if (dialog === undefined || by === undefined) return void (await transaction.respond(answer));
        const subscriber = await transaction.accept(answer);
        if (subscriber === undefined) return dropSubscription(dialog, event);
        const forget = deps.subscriptions.add(() => subscription.end());
        const phone = new WakefulDialog(dialog, phoneOfDialog(by.binding, 'subscription'), deps);
        const subscription: BridgedSubscription = bridgeSubscription(called.wakeful(subscriber), phone, {
          log: deps.log,
          clock: deps.clock,
          callId: headers.get('Call-ID') ?? '',
          event,
          subscriber: called.from,
          notifier: 'phone',
          granted: expiresOf(response.headers) ?? expiresOf(headers) ?? 3600,
          onOver: forget,
        });
      },
      late: ({ dialog }) => {
        if (dialog !== undefined) dropSubscription(dialog, event);
      },
    },
    deps,
  ).finally(release);
}
