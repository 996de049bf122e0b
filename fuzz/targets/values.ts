/** Header values: every parser of lib/sip, and printing what it has read. */
import { aorOf, canonicalUser } from '../../lib/sip/aor.ts';
import { parseAuth, printAuth } from '../../lib/sip/auth.ts';
import { askedExpires, parseContact, parseContacts } from '../../lib/sip/contact.ts';
import { parseCSeq } from '../../lib/sip/cseq.ts';
import { printFeatureCaps, readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import { Headers, splitAtCommas } from '../../lib/sip/headers.ts';
import { parseNameAddr, printNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { readPush, stripPush, stripPushParams } from '../../lib/sip/push-params.ts';
import { sameUri } from '../../lib/sip/uri-compare.ts';
import { parseUri, printUri, unescape } from '../../lib/sip/uri.ts';
import { markSource, parseVia } from '../../lib/sip/via.ts';
import { messages, words } from '../seeds.ts';
import { must, mustEqual, type Target } from '../target.ts';

/** The values of the messages, alone. */
const seeds = messages.flatMap((text) =>
  text
    .split('\r\n')
    .filter((line) => line.includes(': '))
    .map((line) => line.slice(line.indexOf(': ') + 2)),
);

const fields = ['Contact', 'Feature-Caps', 'X-MPUSH', 'Expires'];

export function valueTarget(): Target {
  return {
    name: 'values',
    seeds: [...seeds, ...seeds.map((value) => value.replace(/^.*<([^>]*)>.*$/, '$1'))],
    words,
    withinMs: 2000,
    run(input) {
      const values = splitAtCommas(input);
      mustEqual(splitAtCommas(values.join(', ')), values, 'split, joined and split again');
      nameAddr(input);
      uri(input);
      auth(input);
      via(input);
      parseCSeq(input);
      const headers = Headers.of(fields.map((name) => [name, input] as const));
      contacts(headers);
      features(headers);
      hidden(input);
    },
  };
}

function nameAddr(input: string): void {
  tagOf(input);
  const addr = parseNameAddr(input);
  if (addr === undefined) return;
  const again = parseNameAddr(printNameAddr(addr));
  // a URI that stood without brackets gets some; inside them it may hold less
  if (again !== undefined) mustEqual(again, addr, 'name-addr, printed and read again');
}

function uri(input: string): void {
  const found = parseUri(input);
  const aor = aorOf(input);
  if (found === undefined) {
    mustEqual(aor, undefined, 'an AOR of what is no URI');
    return;
  }
  const again = parseUri(printUri(found));
  must(again !== undefined, 'a printed URI is not read again');
  if (again === undefined) return;
  mustEqual(printUri(again), printUri(found), 'URI, printed and read again');
  must(sameUri(found, found) && sameUri(found, again) === sameUri(again, found), 'a URI is not the same as itself');
  if (aor !== undefined) mustEqual(aorOf(`sip:${aor}`), aor, 'the AOR of an AOR');
  if (found.user !== undefined) mustEqual(canonicalUser(canonicalUser(found.user)), canonicalUser(found.user), 'user');
  unescape(input);
}

function auth(input: string): void {
  const found = parseAuth(input);
  if (found === undefined) return;
  const again = parseAuth(printAuth(found));
  mustEqual(again, found, 'credentials, printed and read again');
}

function via(input: string): void {
  const found = parseVia(input);
  // the engine cuts lines and lists before
  if (found === undefined || /[\r\n,]/.test(input)) return;
  const marked = markSource(input, found, '198.51.100.20', 40_001);
  const again = parseVia(marked);
  mustEqual(again, found, 'Via, marked and read again');
  if (again === undefined) return;
  // received and rport may change places, once
  const twice = markSource(marked, again, '198.51.100.20', 40_001);
  mustEqual(markSource(twice, again, '198.51.100.20', 40_001), twice, 'marked again and again');
}

function contacts(headers: Headers): void {
  const found = parseContacts(headers);
  if (typeof found === 'string') return;
  for (const contact of found) {
    const expires = askedExpires(contact, headers, 3600);
    must(Number.isInteger(expires) && expires >= 0 && expires <= 0xffff_ffff, 'an expiry out of range');
    must(contact.q >= 0 && contact.q <= 1000, 'q out of range');
    readPush(contact, headers);
  }
}

function features(headers: Headers): void {
  for (const one of readFeatureCaps(headers)) {
    const printed = printFeatureCaps(one);
    must(!/[\r\n]/.test(printed), 'a line break in Feature-Caps');
  }
}

const secret = 'THE-SECRET';

/** Whatever else is written around it, a token in its place never leaves. */
function hidden(input: string): void {
  stripPushParams(input);
  stripPush(input);
  const contact = parseContact(input);
  if (contact?.uri === undefined || input.includes(secret) || input.includes('"')) return;
  const withToken = `<${printUri({ ...contact.uri, params: [...contact.uri.params, { name: 'pn-prid', value: secret }] })}>`;
  if (parseContact(withToken)?.uri === undefined) return;
  must(!stripPushParams(withToken).includes(secret), 'a token is left in a stripped Contact');
}
