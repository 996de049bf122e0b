/** What Linphone reads, on iOS and Android: its own names, and the texts and sounds its Contact asked for (pn-*-str, pn-*-snd). */
import type { PushRequest } from '../ports/push-service.ts';
import { type Amount, type Privacy, sidesOf } from './caller.ts';
import type { Keys } from './content.ts';

const utc = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

/** Key of the text the app shows: the one it asked for, else the one it has always had. */
function textKey({ class: pushClass, hints }: PushRequest): string {
  switch (pushClass) {
    case 'call':
      return hints?.callText ?? 'IC_MSG';
    case 'notify':
      return 'MWI_NOTIFY_STR';
    case 'message':
    case 'refresh':
    case 'cancel':
      return hints?.messageText ?? 'IM_MSG';
    default:
      return pushClass satisfies never;
  }
}

interface Parts {
  readonly callId: string;
  readonly textKey: string;
  readonly uri: string;
  readonly name: string;
  /** name, else address */
  readonly shown: string;
  /** in angle brackets; old versions ignore a push whose uuid is not their own +sip.instance */
  readonly instance: string | undefined;
  readonly sentAt: string;
  readonly secondsLeft: number;
}

function partsOf(request: PushRequest, privacy: Privacy, now: number, amount: Amount): Parts {
  const { uri, name } = sidesOf(request, privacy, amount);
  const instance = request.instanceId?.replace(/^<|>$/g, '');
  return {
    callId: request.callId,
    textKey: textKey(request),
    uri: uri ?? '',
    name: name ?? '',
    shown: name ?? uri ?? '',
    instance: instance === undefined ? undefined : `<${instance}>`,
    sentAt: utc(now),
    secondsLeft: Math.max(0, Math.round((request.wakeUntil - now) / 1000)),
  };
}

/** `shape`: as it is shown on the phone. */
export function linphoneApple(
  request: PushRequest,
  shape: 'voip' | 'alert' | 'background',
  privacy: Privacy,
  now: number,
  amount: Amount,
): { readonly aps: Keys; readonly top: Keys } {
  const parts = partsOf(request, privacy, now, amount);
  // old versions drop a push without a loc-key
  const text = { 'loc-key': parts.textKey, 'loc-args': [parts.shown] };
  const call = { 'call-id': parts.callId, uuid: parts.instance, 'send-time': parts.sentAt };
  const top = {
    'from-uri': parts.uri,
    'display-name': parts.name,
    pn_ttl: parts.secondsLeft,
    customPayload: {},
  };
  if (shape === 'voip') return { aps: { ...call, ...text, sound: '' }, top };
  if (shape === 'background') return { aps: { ...call, ...text, 'content-available': 1, badge: 0 }, top };
  const isCall = request.class === 'call';
  const sound = isCall ? request.hints?.callSound : request.hints?.messageSound;
  return {
    aps: { alert: text, sound: sound ?? 'default', 'mutable-content': 1, badge: isCall ? 0 : 1 },
    top: { ...top, ...call, ...(isCall ? {} : { 'chat-room-addr': parts.uri }) },
  };
}

/** Texts only, for FCM. */
export function linphoneData(request: PushRequest, privacy: Privacy, now: number, amount: Amount): Keys {
  const parts = partsOf(request, privacy, now, amount);
  return {
    'call-id': parts.callId,
    uuid: parts.instance,
    'from-uri': parts.uri === '' ? undefined : parts.uri,
    'display-name': parts.name === '' ? undefined : parts.name,
    'sip-from': parts.shown === '' ? undefined : parts.shown,
    'loc-key': parts.textKey,
    'loc-args': parts.shown === '' ? undefined : parts.shown,
    'send-time': parts.sentAt,
    'custom-payload': '{}',
  };
}
