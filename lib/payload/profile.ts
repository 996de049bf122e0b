/** What an app is told, by its profile: the one table of who reads what over which service. Builds values; sends nothing. */
import { callUuid } from '../core/call-uuid.ts';
import type { PushClass } from '../core/push-class.ts';
import type { PushRequest } from '../ports/push-service.ts';
import { ariaAps, ariaKeys } from './aria.ts';
import { type Amount, type Privacy, sidesOf } from './caller.ts';
import { genericKeys, isOfCall, type Keys, opaqueKeys } from './content.ts';
import { linphoneApple, linphoneData } from './linphone.ts';
import { fillTemplate, type PayloadTemplate, templateFor } from './template.ts';

/**
 * What the app reads: that there is something and which call (opaque), our own keys with the caller (generic), Linphone's, nothing
 * at all (PJSIP's CallKit sample and its relatives), Aria's, or what the operator wrote.
 */
export const profiles = ['opaque', 'generic', 'linphone', 'pjsip', 'aria', 'template'] as const;
export type Profile = (typeof profiles)[number];

export interface PayloadPolicy {
  readonly profile: Profile;
  readonly privacy: Privacy;
  /** of profile template */
  readonly template?: PayloadTemplate;
}

/** How a push comes to an iPhone. */
export type Shape = 'voip' | 'alert' | 'background';

/** Whether the app has a word for this kind of push; without one it would show something wrong, or nothing. */
export function hasWordFor({ profile, template }: PayloadPolicy, pushClass: PushClass): boolean {
  switch (profile) {
    case 'opaque':
    case 'generic':
      return true;
    case 'linphone':
    case 'pjsip':
      return pushClass !== 'cancel';
    case 'aria':
      return pushClass === 'call' || pushClass === 'refresh';
    case 'template':
      return pushClass === 'refresh' || templateFor(template, pushClass) !== undefined;
    default:
      return profile satisfies never;
  }
}

/** The `aps` dictionary and the keys beside it. */
export interface AppleContent {
  readonly aps: Keys;
  readonly top: Keys;
}

/** For APNs. `bare`: the smallest an app can still find its call by. */
export function appleContent(
  request: PushRequest,
  shape: Shape,
  policy: PayloadPolicy,
  now: number,
  amount: Amount = 'whole',
): AppleContent {
  const { profile, privacy } = policy;
  if (amount === 'bare') return bareContent(request, shape, profile);
  switch (profile) {
    case 'opaque':
      return { aps: apsOf(request, shape, undefined), top: opaqueKeys(request, now) };
    case 'generic':
      return {
        aps: apsOf(request, shape, sidesOf(request, privacy, amount).name),
        top: genericKeys(request, privacy, now, amount),
      };
    case 'pjsip':
      return { aps: apsOf(request, shape, sidesOf(request, privacy, amount).name), top: {} };
    case 'linphone':
      return linphoneApple(request, shape, privacy, now, amount);
    case 'aria':
      return shape === 'background'
        ? { aps: apsOf(request, shape, undefined), top: {} }
        : { aps: ariaAps(request, privacy, amount), top: ariaKeys(request, privacy, amount) };
    case 'template':
      return templateContent(request, shape, policy, now, amount);
    default:
      return profile satisfies never;
  }
}

/** What iOS demands of each shape; the app translates the title, and its service extension may replace it. */
function apsOf(request: PushRequest, shape: Shape, name: string | undefined): Keys {
  if (shape === 'voip') return {};
  if (shape === 'background') return { 'content-available': 1 };
  return {
    alert: { 'title-loc-key': titleOf(request), ...(name === undefined ? {} : { body: name }) },
    sound: 'default',
    'mutable-content': 1,
  };
}

function titleOf(request: PushRequest): string {
  if (request.class === 'call') return 'INCOMING_CALL';
  if (request.class !== 'cancel') return 'NEW_MESSAGE';
  return request.reason === 'answered-elsewhere' ? 'ANSWERED_ELSEWHERE' : 'MISSED_CALL';
}

function templateContent(
  request: PushRequest,
  shape: Shape,
  { template, privacy }: PayloadPolicy,
  now: number,
  amount: Amount,
): AppleContent {
  const own = templateFor(template, request.class);
  const { aps, ...top } = own === undefined ? {} : fillTemplate(own, request, privacy, now, amount);
  const written = typeof aps === 'object' && aps !== null ? (aps as Keys) : {};
  // a background push that shows something is dropped, an alert without an alert as well
  const { alert: _, sound: _sound, badge: _badge, ...silent } = written;
  const needed = apsOf(request, shape, undefined);
  return { aps: shape === 'background' ? { ...silent, ...needed } : { ...needed, ...written }, top };
}

function bareContent(request: PushRequest, shape: Shape, profile: Profile): AppleContent {
  const call = nameOfCall(request, profile);
  const needed = apsOf(request, shape, undefined);
  return { aps: shape === 'voip' && profile === 'linphone' ? { ...needed, ...call } : needed, top: call };
}

function nameOfCall(request: PushRequest, profile: Profile): Record<string, string> {
  switch (profile) {
    case 'aria':
      return { type: 'incoming_call', callToken: callUuid(request.callId), callerUri: 'unknown@unknown' };
    case 'linphone':
    case 'generic':
    case 'pjsip':
      return { 'call-id': request.callId };
    case 'opaque':
    case 'template':
      return { type: request.class, ...(isOfCall(request) ? { 'call-uuid': callUuid(request.callId) } : {}) };
    default:
      return profile satisfies never;
  }
}

/** For FCM: every value a text; undefined for an app that reads nothing. */
export function dataContent(
  request: PushRequest,
  policy: PayloadPolicy,
  now: number,
  amount: Amount = 'whole',
): Readonly<Record<string, string>> | undefined {
  if (policy.profile === 'pjsip') return undefined;
  if (amount === 'bare') return nameOfCall(request, policy.profile);
  return texts(dataKeys(request, policy, now, amount));
}

function dataKeys(request: PushRequest, policy: PayloadPolicy, now: number, amount: Amount): Keys {
  const { profile, privacy, template } = policy;
  switch (profile) {
    case 'opaque':
    case 'pjsip':
      return opaqueKeys(request, now);
    case 'generic':
      return genericKeys(request, privacy, now, amount);
    case 'linphone':
      return linphoneData(request, privacy, now, amount);
    case 'aria':
      return request.class === 'call' ? { type: 'incoming_call', ...ariaKeys(request, privacy, amount) } : {};
    case 'template':
      return fillTemplate(templateFor(template, request.class) ?? {}, request, privacy, now, amount);
    default:
      return profile satisfies never;
  }
}

/** FCM refuses a number where a text belongs. */
function texts(keys: Keys): Record<string, string> {
  const data: Record<string, string> = {};
  for (const [name, value] of Object.entries(keys))
    if (value !== undefined) data[name] = typeof value === 'string' ? value : JSON.stringify(value);
  return data;
}

/** For Web Push with keys: a page has no profile of its own, only more or less of our keys. */
export function browserContent(request: PushRequest, privacy: Privacy, now: number, amount: Amount): Keys {
  return privacy === 'none' ? opaqueKeys(request, now) : genericKeys(request, privacy, now, amount);
}
