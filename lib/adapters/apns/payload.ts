/** What is pushed: which token, type and payload for a request, by the profile of the app. Builds apns2's notification model; sends nothing. */
import { createHash } from 'node:crypto';
import { Notification, type NotificationOptions, Priority, PushType } from 'apns2';
import type { PushToken } from '../../core/binding.ts';
import type { PushClass } from '../../core/push-class.ts';
import { callerFor, genericKeys, type Keys, type Privacy } from '../../delivery/content.ts';
import type { PushRequest } from '../../ports/push-service.ts';

/** What the app reads: our own keys, Linphone's, or nothing at all (PJSIP's CallKit sample and its relatives). */
export type Profile = 'generic' | 'linphone' | 'pjsip';
/** How long APNs keeps a call's push: until the phone need not be woken any more, or seconds; 0 is one attempt. */
export type CallExpiration = 'window' | number;

export interface PayloadPolicy {
  readonly profile: Profile;
  readonly privacy: Privacy;
  readonly callExpiration: CallExpiration;
}

/** Apps that show the caller from the push get it unless switched off; PJSIP reads nothing, so it gets nothing. */
export function defaultPrivacy(profile: Profile): Privacy {
  return profile === 'pjsip' ? 'none' : 'full';
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

const utc = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

function linphoneParts(
  request: PushRequest,
  privacy: Privacy,
  now: number,
): { readonly aps: Keys; readonly top: Keys; readonly name: string } {
  const caller = callerFor(request, privacy);
  const name = caller.name ?? caller.uri ?? '';
  const instance = request.instanceId?.replace(/^<|>$/g, '');
  return {
    name,
    aps: {
      'call-id': request.callId,
      // old versions drop a push without a loc-key, and ignore one whose uuid is not their own +sip.instance
      'loc-key': request.class === 'call' ? 'IC_MSG' : 'IM_MSG',
      'loc-args': [name],
      ...(instance === undefined ? {} : { uuid: `<${instance}>` }),
      'send-time': utc(now),
    },
    top: {
      'from-uri': caller.uri ?? '',
      'display-name': caller.name ?? '',
      pn_ttl: Math.max(0, Math.round((request.wakeUntil - now) / 1000)),
      customPayload: {},
    },
  };
}

/** The `aps` dictionary and the keys beside it. */
function contentOf(request: PushRequest, plan: PushPlan, policy: PayloadPolicy, now: number): NotificationOptions {
  const { profile, privacy } = policy;
  if (plan.type === PushType.background) {
    return profile === 'linphone'
      ? { contentAvailable: true, badge: 0, ...linphoneContent(request, privacy, now) }
      : { contentAvailable: true, ...(profile === 'generic' ? { data: genericKeys(request, privacy, now) } : {}) };
  }
  if (plan.type === PushType.voip) {
    switch (profile) {
      case 'generic':
        return { data: genericKeys(request, privacy, now) };
      case 'linphone':
        return { sound: '', ...linphoneContent(request, privacy, now) };
      case 'pjsip':
        return {};
      default:
        return profile satisfies never;
    }
  }
  const isCall = request.class === 'call';
  if (profile === 'linphone') {
    const { aps, top, name } = linphoneParts(request, privacy, now);
    const { 'loc-key': locKey, 'loc-args': _, ...beside } = aps;
    return {
      sound: 'default',
      mutableContent: true,
      badge: isCall ? 0 : 1,
      aps: { alert: { 'loc-key': locKey, 'loc-args': [name] } },
      data: { ...top, ...beside },
    };
  }
  return {
    sound: 'default',
    mutableContent: true,
    // the app translates; the service extension may replace it
    aps: {
      alert: {
        'title-loc-key': titleOf(request),
        body: callerFor(request, privacy).name ?? '',
      },
    },
    ...(profile === 'generic' ? { data: genericKeys(request, privacy, now) } : {}),
  };
}

function titleOf(request: PushRequest): string {
  if (request.class === 'call') return 'INCOMING_CALL';
  if (request.class !== 'cancel') return 'NEW_MESSAGE';
  return request.reason === 'answered-elsewhere' ? 'ANSWERED_ELSEWHERE' : 'MISSED_CALL';
}

function linphoneContent(request: PushRequest, privacy: Privacy, now: number): NotificationOptions {
  const { aps, top } = linphoneParts(request, privacy, now);
  return { aps: { ...aps }, data: top };
}

/** Unix seconds; 0: one attempt, nothing stored. */
export function expirationOf(request: PushRequest, callExpiration: CallExpiration, now: number): number {
  const left = Math.max(0, Math.ceil((request.wakeUntil - now) / 1000));
  const seconds = Math.floor(now / 1000);
  if (request.class !== 'call') return left === 0 ? 0 : seconds + left;
  const kept = callExpiration === 'window' ? Math.min(left, longestKeptSeconds) : callExpiration;
  return kept === 0 ? 0 : seconds + kept;
}

/** The smallest payload an app can still find its call by. */
function minimalContent(request: PushRequest, plan: PushPlan): NotificationOptions {
  const data = { 'call-id': request.callId };
  if (plan.type === PushType.voip) return { aps: { ...data }, data };
  if (plan.type === PushType.background) return { contentAvailable: true, data };
  return {
    aps: { alert: { 'title-loc-key': titleOf(request) } },
    sound: 'default',
    data,
  };
}

/** `minimal`: APNs or our own count said that the full one is too large. */
export function notificationFor(
  request: PushRequest,
  plan: PushPlan,
  topic: string,
  policy: PayloadPolicy,
  now: number,
  minimal = false,
): Notification {
  const options = minimal ? minimalContent(request, plan) : contentOf(request, plan, policy, now);
  options.type = plan.type;
  options.priority = plan.priority;
  options.topic = topic;
  options.expiration = expirationOf(request, policy.callExpiration, now);
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
