/** When two SIP URIs name the same thing (RFC 3261 19.1.4), with the stricter reading of push parameters (RFC 8599 5.3). */
import { type SipUri, unescape, type UriParam } from './uri.ts';

/** Present in one URI only, these make it another URI; transport too, as the RFC's own examples show. */
const neverIgnored = ['user', 'ttl', 'method', 'maddr', 'transport'];

/** Values that are secrets of a push service: compared octet for octet (PN-PARAM-10). */
const exact = new Set(['pn-prid', 'pn-param', 'pn-purr']);

export function sameUri(a: SipUri, b: SipUri): boolean {
  return (
    a.scheme === b.scheme &&
    a.port === b.port &&
    sameHost(a.host, b.host) &&
    sameText(a.user, b.user) &&
    sameText(a.password, b.password) &&
    sameParams(a.params, b.params) &&
    sameHeaders(a.headers, b.headers)
  );
}

function sameHost(a: string, b: string): boolean {
  return a === b || a.toLowerCase() === b.toLowerCase();
}

function sameText(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && plain(a) === plain(b);
}

/** Undoes the escapes of characters that mean the same when written out; those of reserved characters and of `%` stay. */
function plain(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (escaped, hex: string) => {
    const c = String.fromCharCode(Number.parseInt(hex, 16));
    return ';/?:@&=+$,%'.includes(c) ? escaped.toUpperCase() : c;
  });
}

function sameParams(a: readonly UriParam[], b: readonly UriParam[]): boolean {
  if (a.length === b.length && a.every(({ name, value }, at) => name === b[at]?.name && value === b[at].value))
    return true;
  // by name, so that two long lists do not cost the product of their lengths
  const ofA = firstOfEach(a);
  const ofB = firstOfEach(b);
  for (const name of neverIgnored) if (ofA.has(name) !== ofB.has(name)) return false;
  for (const [name, value] of ofA) {
    const other = ofB.get(name);
    if (other !== undefined && !sameValue(name, value, other)) return false;
  }
  return true;
}

/** Written twice, which the grammar forbids, the first one counts: a URI is always the same as itself. */
function firstOfEach(params: readonly UriParam[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { name, value } of params) {
    const key = name.toLowerCase();
    if (!values.has(key)) values.set(key, value ?? '');
  }
  return values;
}

function sameValue(name: string, a: string, b: string): boolean {
  if (a === b) return true;
  if (exact.has(name)) return unescape(a) === unescape(b);
  return plain(a).toLowerCase() === plain(b).toLowerCase();
}

/** Header components count always, in any order. */
function sameHeaders(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  const sorted = (text: string): string => text.split('&').map(headerText).sort().join('&');
  return sorted(a) === sorted(b);
}

function headerText(text: string): string {
  const equals = text.indexOf('=');
  if (equals < 0) return plain(text).toLowerCase();
  return `${plain(text.slice(0, equals)).toLowerCase()}=${plain(text.slice(equals + 1))}`;
}
