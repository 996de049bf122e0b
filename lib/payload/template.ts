/**
 * Payloads an operator writes: a mapping whose texts have placeholders in braces. Which are known is checked when the config is
 * read, so nothing is left to fail at a call. Pure.
 */
import { callUuid } from '../core/call-uuid.ts';
import type { PushClass } from '../core/push-class.ts';
import type { PushRequest } from '../ports/push-service.ts';
import { addressOf, type Amount, type Privacy, sidesOf, userOf } from './caller.ts';
import { isOfCall, type Keys } from './content.ts';

/** Every placeholder and what stands in its place; what is not there, or not to be shown, is an empty text. */
export const placeholders = {
  type: 'call, cancel, message, notify or refresh',
  event: 'the SIP method or event in words of Flexisip: INVITE, MESSAGE, NOTIFY, REFRESH, CANCEL',
  'call-id': 'Call-ID',
  'call-uuid': 'UUID of the call, as in X-Call-UUID of the INVITE',
  'from-uri': 'SIP URI of the caller (privacy full)',
  'from-address': 'the same as user@host (privacy full)',
  'from-user': 'its user (privacy full)',
  'from-name': 'display name of the caller (privacy full, name)',
  'to-uri': 'SIP URI of the called user (privacy full)',
  'to-user': 'its user (privacy full)',
  'has-video': 'true or false',
  reason: 'why a call is over: caller-cancelled, answered-elsewhere, timeout',
  app: 'name of the app in the config',
  param: 'pn-param',
  'instance-id': '+sip.instance of the phone',
  sound: 'sound the phone asked for (pn-call-snd, pn-msg-snd)',
  'loc-key': 'text key the phone asked for (pn-call-str, pn-msg-str)',
  'sent-at': 'now, milliseconds since 1970',
  'expires-at': 'when the call is over, milliseconds since 1970',
  'seconds-left': 'seconds until then',
} as const;

/** These too in what is posted to a webhook: the other side has to find the phone. */
export const webhookPlaceholders = {
  token: 'pn-prid',
  provider: 'pn-provider',
  id: 'UUID of this push, the same when it is repeated',
} as const;

export type Placeholder = keyof typeof placeholders;

/** By push class; `default` for the classes that are not named. A class without any is not pushed. */
export type PayloadTemplate = { readonly [K in PushClass | 'default']?: Keys };

export function templateFor(template: PayloadTemplate | undefined, pushClass: PushClass): Keys | undefined {
  return template?.[pushClass] ?? template?.default;
}

/** `{{` and `}}` are a brace each; anything else in braces is a placeholder. */
const token = /\{\{|\}\}|\{([^{}]*)\}/g;

/** The placeholders in a text that nobody knows. */
export function unknownPlaceholders(text: string): readonly string[] {
  return [...text.matchAll(token)].flatMap(([, name]) =>
    name === undefined || Object.hasOwn(placeholders, name) ? [] : [name],
  );
}

/** The mapping with every placeholder filled in, all the way down. */
export function fillTemplate(
  template: Keys,
  request: PushRequest,
  privacy: Privacy,
  now: number,
  amount: Amount = 'whole',
  more: Readonly<Record<string, string>> = {},
): Keys {
  const values: Readonly<Record<string, string | undefined>> = { ...valuesOf(request, privacy, now, amount), ...more };
  const fill = (value: unknown): unknown => {
    if (typeof value === 'string')
      return value.replace(token, (found, name: string | undefined) =>
        name === undefined ? found.slice(0, 1) : (values[name] ?? ''),
      );
    if (Array.isArray(value)) return value.map(fill);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fill(one)]));
  };
  return fill(template) as Keys;
}

const events = { call: 'INVITE', cancel: 'CANCEL', message: 'MESSAGE', notify: 'NOTIFY', refresh: 'REFRESH' } as const;

function valuesOf(
  request: PushRequest,
  privacy: Privacy,
  now: number,
  amount: Amount,
): Readonly<Record<Placeholder, string | undefined>> {
  const { uri, name, to } = sidesOf(request, privacy, amount);
  const { hints } = request;
  const isCall = request.class === 'call';
  return {
    type: request.class,
    event: events[request.class],
    'call-id': request.callId,
    'call-uuid': isOfCall(request) ? callUuid(request.callId) : undefined,
    'from-uri': uri,
    'from-address': addressOf(uri),
    'from-user': userOf(uri),
    'from-name': name,
    'to-uri': to,
    'to-user': userOf(to),
    'has-video': isCall ? String(request.hasVideo) : 'false',
    reason: request.reason,
    app: request.app,
    param: request.param,
    'instance-id': request.instanceId,
    sound: (isCall ? hints?.callSound : hints?.messageSound) ?? 'default',
    'loc-key': (isCall ? hints?.callText : hints?.messageText) ?? (isCall ? 'IC_MSG' : 'IM_MSG'),
    'sent-at': String(now),
    'expires-at': String(request.wakeUntil),
    'seconds-left': String(Math.max(0, Math.round((request.wakeUntil - now) / 1000))),
  };
}
