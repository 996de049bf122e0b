/** How a set of bindings is written in lmdb: JSON text, made small by lmdb's LZ4 with a dictionary of what every binding says. */
import { createHash } from 'node:crypto';
import type { Aor, Binding } from '../../core/binding.ts';

/** What is stored under one key: when it may be forgotten, the bindings, and the AOR where the key does not tell it. */
type Stored = readonly [keepUntil: number, bindings: readonly Binding[], aor?: Aor];

/**
 * AORs that may be keys as they are: printable, at most 390 octets (lmdb takes 1,978, but short keys keep the tree flat) and
 * without halves of surrogate pairs or control characters, which do not come back from lmdb's key encoding as they went in.
 */
const plain = /^[!-~\u00a0-\ud7ff\ue000-\uffff][ -~\u00a0-\ud7ff\ue000-\uffff]{0,129}$/;
/** No plain AOR starts with a space. */
const hashedPrefix = ' sha256:';

/** The key of an AOR: the AOR itself, or a hash of it when it is long or odd. */
export function keyOf(aor: Aor): string {
  return plain.test(aor) ? aor : hashedPrefix + createHash('sha256').update(aor, 'utf16le').digest('hex');
}

export function encode(aor: Aor, key: string, bindings: readonly Binding[], keepUntil: number): string {
  const until = Number.isFinite(keepUntil) ? Math.ceil(keepUntil) : Number.MAX_SAFE_INTEGER;
  const stored: Stored = key === aor ? [until, bindings] : [until, bindings, aor];
  return JSON.stringify(stored);
}

/** The bindings of a stored text; none when it cannot be read: then the next accepted REGISTER writes it anew. */
export function decodeBindings(text: string): readonly Binding[] {
  return parse(text)?.[1] ?? [];
}

/** The AOR an entry belongs to; undefined when it cannot be told. */
export function decodeAor(key: string, text: string): Aor | undefined {
  return key.startsWith(hashedPrefix) ? parse(text)?.[2] : key;
}

/** When an entry may be forgotten (ms), read without parsing all of it; an unreadable entry may be forgotten at once. */
export function decodeKeepUntil(text: string): number {
  const until = Number.parseInt(text.slice(1, 18), 10);
  return Number.isNaN(until) ? 0 : until;
}

function parse(text: string): Stored | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && Array.isArray(value[1]) ? (value as unknown as Stored) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Text that LZ4 may refer to, likeliest words last. A store keeps the dictionary it was made with, so this may be improved
 * without a migration.
 */
export const dictionary = [
  '"instanceId":"<urn:uuid:00000000-0000-1000-8000-","deadSince":17',
  '"provider":"webpush","providerAsSent":"webpush","kind":"webhook","environment":"sandbox"',
  '"provider":"fcm","providerAsSent":"fcm","param":"tokens":[{"kind":"fcm","token":"',
  ';pn-provider=fcm;pn-param=;pn-prid=;pn-provider=webpush;pn-purr=;+sip.pnsreg;+sip.pnsreg="121";q=1.0;ob',
  'Linphone (belle-sip/) linphone-android baresip SIP.js JsSIP PJSIP pjsua (iOS Android ',
  '"wakesItself":true,"transport":"udp","transport":"tls","transport":"wss","path":["<sip:;lr>"]',
  '[1790000000000,[{"id":"","aor":"@example.com","contact":"<sip:@192.168.1.10:5060;transport=udp;transport=tls',
  ';transport=tcp;pn-provider=apns;pn-param=.voip;pn-prid=;pn-timeout=0;pn-silent=1',
  '>;+sip.instance=\\"<urn:uuid:00000000-0000-4000-8000>\\";reg-id=1;expires=3600","target":"sip:',
  ';transport=tcp","instanceId":"urn:uuid:","regId":1,"q":1000,"callId":"","cseq":1,"flow":{"transport":"tcp",',
  '"address":"192.168.1.10","port":5060,"engine":""},"path":[],"push":{"provider":"apns","providerAsSent":"apns",',
  '"environment":"production","param":"com..voip","tokens":[{"kind":"alert","token":"","kind":"voip","token":"',
  '"}],"app":"","wakesItself":false},"registeredAt":17,"expiresAt":17,"upstreamExpiresAt":17,"userAgent":"',
].join('');
