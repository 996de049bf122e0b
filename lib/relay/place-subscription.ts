/**
 * A SUBSCRIBE from a phone to the PBX (busy lamps, message waiting, presence; RFC 6665): two dialogs, tied together as those of a
 * call are. Challenges of the PBX pass to the phone and its credentials to the PBX (EDGE-AUTH-09).
 */
import { passAnswer, passSubscribe } from '../core/pass-headers.ts';
import type { Domain } from '../core/domain.ts';
import { modes } from '../core/modes.ts';
import { type BridgedSubscription, bridgeSubscription, dropSubscription, expiresOf } from '../call/subscription.ts';
import type { Subscriptions } from '../call/subscriptions.ts';
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { Ids } from '../ports/ids.ts';
import type { Log } from '../ports/log.ts';
import type { DialogTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { stripPush } from '../sip/push-params.ts';

export interface SubscribeDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly subscriptions: Subscriptions;
  /** how long the PBX may take, ms */
  readonly timeoutMs: number;
}

/** Answers exactly once, except where no answer is the right one (EDGE-NIT-04). Never rejects. `wakeful`: the phone's side, made one that wakes it. */
export async function placeSubscription(
  transaction: DialogTransaction,
  domain: Pick<Domain, 'upstream' | 'registration' | 'realm'>,
  wakeful: (phone: Dialog) => Dialog,
  deps: SubscribeDeps,
): Promise<void> {
  const { request } = transaction;
  const { headers, uri, body } = request;
  const release = deps.subscriptions.ask();
  if (release === undefined) return void (await transaction.respond({ status: 503 }));
  const realm = modes[domain.registration].acceptedBy === 'edge' ? domain.realm : undefined;
  const { response, local, dialog } = await deps.client.send({
    method: 'SUBSCRIBE',
    uri: stripPush(uri),
    nextHop: domain.upstream,
    headers: passSubscribe(
      headers,
      { from: 'phone', towards: 'upstream', realm },
      { callId: deps.ids.uuid(), tag: deps.ids.hex(8) },
    ),
    body,
    timeoutMs: deps.timeoutMs,
  });
  release();
  if (response.status === 408) return;
  if (local) return void (await transaction.respond(busy));
  const answer = {
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, { from: 'upstream', towards: 'phone' }),
    body: response.body,
  };
  if (dialog === undefined) return void (await transaction.respond(answer));
  const event = headers.get('Event') ?? '';
  const phone = await transaction.accept(answer);
  if (phone === undefined) return dropSubscription(dialog, event);
  const callId = headers.get('Call-ID') ?? '';
  const forget = deps.subscriptions.add(() => subscription.end());
  const subscription: BridgedSubscription = bridgeSubscription(wakeful(phone), dialog, {
    log: deps.log,
    clock: deps.clock,
    callId,
    event,
    subscriber: 'phone',
    notifier: 'upstream',
    realm,
    granted: expiresOf(response.headers) ?? expiresOf(headers) ?? 3600,
    onOver: forget,
  });
  deps.log.info({ callId, kind: event, peerCallId: dialog.callId }, 'subscription begun');
}

const busy = { status: 503, headers: Headers.of([['Retry-After', '10']]) };
