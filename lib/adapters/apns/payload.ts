/** What is pushed: which token, type and times for a request. Builds apns2's notification model around what the profile of the app wants; sends nothing. */
import { createHash } from 'node:crypto';
import { Notification, type NotificationOptions, Priority, PushType } from 'apns2';
import type { PushToken } from '../../core/binding.ts';
import type { PushClass } from '../../core/push-class.ts';
import type { Amount } from '../../payload/caller.ts';
import { appleContent, type PayloadPolicy, type Shape } from '../../payload/profile.ts';
import type { PushRequest } from '../../ports/push-service.ts';

/** How long APNs keeps a call's push: until the phone need not be woken any more, or seconds; 0 is one attempt. */
export type CallExpiration = 'window' | number;

export interface ApnsPolicy extends PayloadPolicy {
  readonly callExpiration: CallExpiration;
}

export interface PushPlan {
  readonly kind: 'voip' | 'alert';
  readonly token: string;
  readonly type: PushType;
  readonly priority: Priority;
}

const longestKeptSeconds = 30;
/** APNs limits, in octets */
const largest = { voip: 5120, alert: 4096 } as const;

/**
 * Which token gets which type of push. A VoIP push that is not a call makes iOS kill the app and, after a few, stop its
 * pushes, so nothing but a call ever goes to a VoIP token.
 */
export function planPush(pushClass: PushClass, tokens: readonly PushToken[]): PushPlan | undefined {
  const voip = tokens.find(({ kind }) => kind === 'voip');
  const alert = tokens.find(({ kind }) => kind === 'alert');
  switch (pushClass) {
    case 'call':
      if (voip !== undefined)
        return { kind: 'voip', token: voip.token, type: PushType.voip, priority: Priority.immediate };
      return alert && { kind: 'alert', token: alert.token, type: PushType.alert, priority: Priority.immediate };
    case 'cancel':
    case 'message':
      return alert && { kind: 'alert', token: alert.token, type: PushType.alert, priority: Priority.immediate };
    case 'notify':
    case 'refresh':
      return alert && { kind: 'alert', token: alert.token, type: PushType.background, priority: Priority.throttled };
    default:
      return pushClass satisfies never;
  }
}

/** Unix seconds; 0: one attempt, nothing stored. */
export function expirationOf(request: PushRequest, callExpiration: CallExpiration, now: number): number {
  const left = Math.max(0, Math.ceil((request.wakeUntil - now) / 1000));
  const seconds = Math.floor(now / 1000);
  if (request.class !== 'call') return left === 0 ? 0 : seconds + left;
  const kept = callExpiration === 'window' ? Math.min(left, longestKeptSeconds) : callExpiration;
  return kept === 0 ? 0 : seconds + kept;
}

const shapes: ReadonlyMap<PushType, Shape> = new Map([
  [PushType.voip, 'voip'],
  [PushType.background, 'background'],
]);

/** `amount`: less than `whole` when APNs or our own count said that it is too large. */
export function notificationFor(
  request: PushRequest,
  plan: PushPlan,
  topic: string,
  policy: ApnsPolicy,
  now: number,
  amount: Amount = 'whole',
): Notification {
  const { aps, top } = appleContent(request, shapes.get(plan.type) ?? 'alert', policy, now, amount);
  const options: NotificationOptions = {
    aps: { ...aps },
    data: { ...top },
    type: plan.type,
    priority: plan.priority,
    topic,
    expiration: expirationOf(request, policy.callExpiration, now),
  };
  // never on VoIP: collapsing two calls would lose one
  if (plan.type === PushType.alert) {
    options.collapseId = createHash('sha256').update(request.callId).digest('base64url').slice(0, 32);
  }
  return new Notification(plan.token, options);
}

/** The JSON of a notification; undefined when APNs would refuse its size. */
export function encodeNotification(notification: Notification): Buffer | undefined {
  const body = Buffer.from(JSON.stringify(notification.buildApnsOptions()));
  return body.length <= (notification.pushType === PushType.voip ? largest.voip : largest.alert) ? body : undefined;
}
