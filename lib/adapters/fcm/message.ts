/** What is sent to FCM HTTP v1 for a request, by the profile of the app: a data message, every value a text. */
import { callerFor, genericKeys, type Privacy } from '../../delivery/content.ts';
import type { PushRequest } from '../../ports/push-service.ts';

/** What the app reads: our own keys, Linphone's, or nothing at all. */
export type FcmProfile = 'generic' | 'linphone' | 'pjsip';

export interface FcmPolicy {
  readonly profile: FcmProfile;
  readonly privacy: Privacy;
}

/** FCM's limit for the data, octets. */
const largest = 4096;
/** A call that waited longer is no call any more, seconds. */
const longestCall = 30;

const shown: ReadonlySet<PushRequest['class']> = new Set(['call', 'cancel', 'message']);

/** The JSON body. `token`: the registration token. */
export function fcmMessage(request: PushRequest, token: string, policy: FcmPolicy, now: number): Buffer {
  const data = texts(dataOf(request, policy, now));
  const fits = Buffer.byteLength(JSON.stringify(data)) <= largest;
  const message = {
    token,
    ...(policy.profile === 'pjsip' ? {} : { data: fits ? data : { 'call-id': request.callId } }),
    android: {
      // high is for what the phone will show; anything else makes Android trust the app less (Google's 7-day rule)
      priority: shown.has(request.class) && request.priority !== 'normal' ? 'HIGH' : 'NORMAL',
      ttl: `${secondsLeft(request, now)}s`,
      // calls never: collapsing two would lose one
      ...(request.class === 'refresh' || request.class === 'notify' ? { collapse_key: request.class } : {}),
    },
  };
  return Buffer.from(JSON.stringify({ message }));
}

function secondsLeft(request: PushRequest, now: number): number {
  const left = Math.max(0, Math.ceil((request.wakeUntil - now) / 1000));
  return request.class === 'call' ? Math.min(left, longestCall) : Math.min(left, 2_419_200);
}

function dataOf(request: PushRequest, { profile, privacy }: FcmPolicy, now: number): Readonly<Record<string, unknown>> {
  if (profile !== 'linphone') return genericKeys(request, privacy, now);
  const caller = callerFor(request, privacy);
  const instance = request.instanceId?.replace(/^<|>$/g, '');
  return {
    'call-id': request.callId,
    uuid: instance === undefined ? undefined : `<${instance}>`,
    'from-uri': caller.uri,
    'display-name': caller.name,
    'sip-from': caller.name ?? caller.uri,
    'loc-key': request.class === 'call' ? 'IC_MSG' : 'IM_MSG',
    'loc-args': caller.name ?? caller.uri,
    'send-time': new Date(now).toISOString().slice(0, 19).replace('T', ' '),
    'custom-payload': '{}',
  };
}

/** FCM refuses a number where a text belongs. */
function texts(keys: Readonly<Record<string, unknown>>): Record<string, string> {
  const data: Record<string, string> = {};
  for (const [name, value] of Object.entries(keys)) if (value !== undefined) data[name] = String(value);
  return data;
}
