/**
 * Contact values of REGISTER, requests and responses (RFC 3261 20.10, RFC 5626 4): URI, expiry, q, instance-id, reg-id.
 * Says nothing about push parameters: see push-params.ts.
 */
import type { Headers } from './headers.ts';
import { parseNameAddr } from './name-addr.ts';
import { findParam, parseUri, type SipUri, type UriParam } from './uri.ts';

export interface Contact {
  /** the value as received, with display name, brackets and parameters */
  readonly text: string;
  /** undefined for schemes other than sip and sips */
  readonly uri: SipUri | undefined;
  readonly uriText: string;
  /** seconds asked for by this Contact; undefined when it has no `expires`; a malformed value reads as 3600 (RFC 3261 20.10) */
  readonly expires?: number;
  /** q times 1000; 1000 when absent or malformed */
  readonly q: number;
  /** +sip.instance without quotes and angle brackets; a urn:uuid is in lower case (RFC 4122 3) */
  readonly instanceId?: string;
  readonly regId?: number;
  /** header parameters, those after the closing bracket */
  readonly params: readonly UriParam[];
}

const longestExpiry = 0xffff_ffff;

/** Reads one Contact value; undefined when it is none, also for a sip: URI that cannot be read. */
export function parseContact(value: string): Contact | undefined {
  const addr = parseNameAddr(value);
  if (addr === undefined) return undefined;
  const uri = contactUri(addr.uri);
  if (uri === undefined && !/^(?!sips?:)[a-z][a-z0-9+.-]*:./i.test(addr.uri)) return undefined;
  const { params } = addr;
  const expires = findParam(params, 'expires');
  const instanceId = readInstance(findParam(params, '+sip.instance')?.value);
  const regId = readRegId(findParam(params, 'reg-id')?.value);
  return {
    text: value.trim(),
    uri,
    uriText: addr.uri,
    ...(expires === undefined ? {} : { expires: readExpires(expires.value) ?? 3600 }),
    q: readQ(findParam(params, 'q')?.value),
    ...(instanceId === undefined ? {} : { instanceId }),
    ...(regId === undefined ? {} : { regId }),
    params,
  };
}

/** Every Contact of a message; `*` when it stands alone, 'malformed' when one cannot be read or `*` has company (RFC 3261 10.3 step 6). */
export function parseContacts(headers: Headers): readonly Contact[] | '*' | 'malformed' {
  const values = headers.list('Contact');
  if (values.length === 0) return headers.has('Contact') ? 'malformed' : [];
  if (values.length === 1 && values[0] === '*') return '*';
  const contacts: Contact[] = [];
  for (const value of values) {
    const contact = parseContact(value);
    if (contact === undefined) return 'malformed';
    contacts.push(contact);
  }
  return contacts;
}

/** Seconds this Contact asks for: its own `expires`, else the Expires header, else `fallback` (RFC 3261 10.3 step 7, EDGE-REG-08). */
export function askedExpires(contact: Contact, headers: Headers, fallback: number): number {
  return contact.expires ?? readExpires(headers.get('Expires')) ?? fallback;
}

/** delta-seconds (RFC 3261 20.19): digits only, below 2^32; undefined for anything else, so that the default counts (RFC 4475 3.1.2.4). */
export function readExpires(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d+$/.test(value)) return undefined;
  const seconds = Number(value);
  return seconds > longestExpiry ? undefined : seconds;
}

/** Quotes inside the brackets (draft-ivanov-sipcore-pnsip) are no URI characters: they are read as escaped ones, with what they hide. */
function contactUri(text: string): SipUri | undefined {
  if (!text.includes('"')) return parseUri(text);
  const hidden = text.replace(/"[^"]*"/g, (quoted) => quoted.replaceAll(';', '%3B'));
  return parseUri(hidden.replaceAll('"', '%22'));
}

function readQ(value: string | undefined): number {
  if (value === undefined || !/^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(value)) return 1000;
  return Math.round(Number(value) * 1000);
}

function readInstance(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  let text = value;
  if (text.length >= 2 && text.startsWith('"') && text.endsWith('"')) text = text.slice(1, -1);
  if (text.startsWith('<') && text.endsWith('>')) text = text.slice(1, -1);
  if (text === '') return undefined;
  return /^urn:uuid:/i.test(text) ? text.toLowerCase() : text;
}

function readRegId(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,10}$/.test(value)) return undefined;
  const regId = Number(value);
  return regId >= 1 && regId <= 0x7fff_ffff ? regId : undefined;
}
