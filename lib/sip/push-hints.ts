/**
 * What phones say about their pushes beside RFC 8599: the texts and sounds of Linphone, and the keys of a browser's subscription
 * (RFC 8291). Read from the stored Contact when a push is made; never changes what SIP does (DIA-10).
 */
import { parseContact } from './contact.ts';
import { findParam, unescape, type UriParam } from './uri.ts';

export interface PushHints {
  /** pn-call-str, pn-msg-str, pn-groupchat-str: keys of texts in the app */
  readonly callText?: string;
  readonly messageText?: string;
  readonly groupText?: string;
  /** pn-call-snd, pn-msg-snd: names of sounds in the app */
  readonly callSound?: string;
  readonly messageSound?: string;
  /** pn-silent=1: data only. All our pushes to Android are; iOS decides by the kind of token. */
  readonly silent?: boolean;
  /** pn-timeout, seconds: how long after the request the phone wants its push */
  readonly timeoutSeconds?: number;
  /** pn-call-remote-push-interval, 0 to 30 seconds: how often an alert is repeated while it rings */
  readonly repeatSeconds?: number;
  /** pn-p256dh and pn-auth, base64url: keys of a Web Push subscription (RFC 8291 2); both or none */
  readonly keys?: { readonly p256dh: string; readonly auth: string };
}

/** Cheap test that spares most Contacts the work. */
const worthReading = /pn-(?:call-|msg-|groupchat-|silent|timeout|p256dh)/i;

/** `contact`: the value as received. What cannot be read is left out; undefined when there is nothing. */
export function pushHints(contact: string): PushHints | undefined {
  if (!worthReading.test(contact)) return undefined;
  const parsed = parseContact(contact);
  if (parsed?.uri === undefined) return undefined;
  const places: readonly (readonly UriParam[])[] = [parsed.uri.params, parsed.params];
  const value = (name: string): string | undefined => {
    for (const params of places) {
      const found = findParam(params, name)?.value;
      if (found !== undefined) return unescape(found);
    }
    return undefined;
  };
  const word = (name: string): string | undefined => matching(value(name), /^[\w .-]{1,64}$/);
  const seconds = (name: string, most: number): number | undefined => {
    const text = matching(value(name), /^\d{1,4}$/);
    return text === undefined || Number(text) > most ? undefined : Number(text);
  };
  const p256dh = matching(value('pn-p256dh'), /^B[\w-]{86}={0,2}$/);
  const auth = matching(value('pn-auth'), /^[\w-]{22}={0,2}$/);
  const silent = value('pn-silent');
  const hints = {
    callText: word('pn-call-str'),
    messageText: word('pn-msg-str'),
    groupText: word('pn-groupchat-str'),
    callSound: word('pn-call-snd'),
    messageSound: word('pn-msg-snd'),
    silent: silent === undefined ? undefined : silent === '1',
    timeoutSeconds: seconds('pn-timeout', 3600),
    repeatSeconds: seconds('pn-call-remote-push-interval', 30),
    keys: p256dh === undefined || auth === undefined ? undefined : { p256dh, auth },
  };
  return Object.fromEntries(Object.entries(hints).filter(([, one]) => one !== undefined)) as PushHints;
}

function matching(text: string | undefined, pattern: RegExp): string | undefined {
  return text !== undefined && pattern.test(text) ? text : undefined;
}
