/**
 * Which header fields pass a bridge. A bridge is two user agents back to back, but its users must not notice: everything
 * end-to-end passes unchanged and in order, known or not (RFC 3261 16.6, EDGE-PRX-06); what belongs to one hop, to one
 * dialog or to the push service never does (PN-SEC-02). Identity crosses the border of trust as RFC 3325 says.
 */
import { authParam, parseAuth } from '../sip/auth.ts';
import { headerKey, Headers } from '../sip/headers.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { pushFields, stripPushParams } from '../sip/push-params.ts';
import {
  type DialogNames,
  translateReferTo,
  translateReplaces,
  translateTargetDialog,
  translateUri,
  type TwinDialog,
} from './dialog-names.ts';

export type Side = 'phone' | 'upstream';

export interface PassOptions {
  /** who sent it; what a phone says about its own identity is not believed (EDGE-PRX-16). Default: the upstream */
  readonly from?: Side;
  /** who gets it; a phone is not told an identity that was asked to be hidden (RFC 3325 7). Default: the upstream */
  readonly towards?: Side;
  /** phones are not told who somebody is beyond From, nor by whom a call came */
  readonly keepsIdentities?: boolean;
  /** the dialog on the other side of the bridge that stands for this one; for Replaces, Join, Target-Dialog and Refer-To */
  readonly translate?: (names: DialogNames) => TwinDialog | undefined;
  /** what the receiver calls whom the sender calls by this URI; undefined: the same */
  readonly across?: (uri: string) => string | undefined;
  /** the edge's own realm: credentials for it have been checked and end here (RFC 3261 22.3) */
  readonly realm?: string | undefined;
}

export interface PassInviteOptions extends PassOptions {
  /** To of the new leg; the caller's without its tag when left out */
  readonly to?: string;
}

/** Of one hop or one dialog: each side of the bridge has its own. */
const ownOfEachSide = new Set([
  'via',
  'route',
  'record-route',
  'path',
  'service-route',
  'max-forwards',
  'from',
  'to',
  'call-id',
  'cseq',
  'contact',
  'content-length',
  'rseq',
  'rack',
  'proxy-require',
  'feature-caps',
  ...pushFields,
  'flow-timer',
  'min-expires',
]);

/** Set by networks about phones, never by phones. */
const onlyFromUpstream = new Set([
  'p-asserted-identity',
  'p-asserted-service',
  'p-charging-vector',
  'p-charging-function-addresses',
]);

/** Who a call has come by, and who somebody is by older custom (RFC 5806, RFC 7044): the word of a PBX, and of a phone only where it redirects. */
const wordOfThePbx = new Set(['remote-party-id', 'diversion', 'history-info']);

/** Fields that tell a phone about identities; which a site may keep to itself. */
const identities = new Set(['p-asserted-identity', 'p-asserted-service', ...wordOfThePbx]);

/** A phone that sends such a field says of itself what it cannot know (EDGE-PRX-16). */
export function isAssertedByNetworks(key: string): boolean {
  return onlyFromUpstream.has(key);
}

/** Fields that hold URIs which may be copies of a registered Contact. */
const holdUris = new Set([
  'refer-to',
  'referred-by',
  'reply-to',
  'p-asserted-identity',
  'p-preferred-identity',
  'p-called-party-id',
  'remote-party-id',
  'diversion',
  'history-info',
  'call-info',
  'alert-info',
  'error-info',
]);

/** Option tags of one hop: reliable provisionals are acknowledged on each side, the rest is between a device and its proxy. */
const hopTags = new Set(['path', 'outbound', 'gruu']);

/** The header fields of the INVITE of a new leg. */
export function passInvite(headers: Headers, options: PassInviteOptions): Headers {
  const passed = Headers.of([
    ['Max-Forwards', String(hopsLeft(headers))],
    ['From', withoutTag(headers.get('from') ?? '')],
    ['To', options.to ?? withoutTag(headers.get('to') ?? '')],
  ]);
  // an answer to a late offer would have to travel in a PRACK, which ends at each side
  const mayBeReliable = headers.has('content-type');
  pass(headers, passed, options, (tag) => !hopTags.has(tag) && (tag !== '100rel' || mayBeReliable));
  return passed;
}

/** The header fields of a SUBSCRIBE that begins the dialog on the other side, under names of our own. */
export function passSubscribe(
  headers: Headers,
  options: PassInviteOptions,
  names: { readonly callId: string; readonly tag: string },
): Headers {
  const passed = passInvite(headers, options);
  passed.set('From', `${passed.get('from') ?? ''};tag=${names.tag}`);
  return passed.add('Call-ID', names.callId).add('CSeq', '1 SUBSCRIBE');
}

/** The header fields of a request inside the dialog on the other side. */
export function passRequest(headers: Headers, options: PassOptions = {}): Headers {
  const passed = Headers.of([['Max-Forwards', String(hopsLeft(headers))]]);
  pass(headers, passed, options, (tag) => !hopTags.has(tag));
  return passed;
}

/**
 * The header fields of a request outside the dialogs we bridge: it keeps its Call-ID, CSeq, From and To, so that its copies are one
 * request, and a dialog that its two ends have by themselves stays one.
 */
export function passStandalone(headers: Headers, options: PassInviteOptions): Headers {
  const passed = Headers.of([
    ['Max-Forwards', String(hopsLeft(headers))],
    ['From', stripPushParams(headers.get('from') ?? '')],
    ['To', options.to ?? stripPushParams(headers.get('to') ?? '')],
    ['Call-ID', headers.get('call-id') ?? ''],
    ['CSeq', headers.get('cseq') ?? ''],
  ]);
  pass(headers, passed, options, (tag) => !hopTags.has(tag));
  return passed;
}

/** The header fields of a final answer. With `status` 3xx or 485 the Contacts pass too: they are what it says. */
export function passAnswer(headers: Headers, status = 200, options: PassOptions = {}): Headers {
  const passed = Headers.empty();
  const redirects = (status >= 300 && status < 400) || status === 485;
  if (redirects) {
    for (const contact of headers.lines('contact')) passed.add('Contact', stripPushParams(contact));
  }
  pass(headers, passed, options, (tag) => !hopTags.has(tag), redirects);
  return passed;
}

/** The header fields of a provisional; without what describes a body when the body stays behind. */
export function passProgress(headers: Headers, withBody: boolean, options: PassOptions = {}): Headers {
  const passed = Headers.empty();
  pass(headers, passed, options, (tag) => !hopTags.has(tag));
  if (withBody) return passed;
  for (const key of ['content-type', 'content-disposition', 'content-encoding', 'content-language', 'mime-version'])
    passed.delete(key);
  return passed;
}

/** What describes the body of an ACK, and what else may stand in one. */
export function passAck(headers: Headers): Headers {
  const passed = Headers.empty();
  pass(headers, passed, {}, () => true);
  // credentials of the INVITE are for the proxies of that side (RFC 3261 13.2.2.4)
  return passed.delete('authorization').delete('proxy-authorization');
}

function pass(
  from: Headers,
  to: Headers,
  options: PassOptions,
  keepsTag: (tag: string) => boolean,
  redirects = false,
): void {
  const hidden = options.towards === 'phone' ? hiddenBy(from) : nothing;
  for (let at = 0; at < from.size; at++) {
    const key = from.keyAt(at);
    if (ownOfEachSide.has(key) || key.startsWith('pn-')) continue;
    if (options.from === 'phone' && (onlyFromUpstream.has(key) || (wordOfThePbx.has(key) && !redirects))) continue;
    if (hidden.has(key) || (options.towards === 'phone' && key === 'p-preferred-identity')) continue;
    if (options.keepsIdentities === true && options.towards === 'phone' && identities.has(key)) continue;
    if (key === 'proxy-authorization' && isForUs(from.valueAt(at), options)) continue;
    const passed = passValue(key, from.valueAt(at), options, keepsTag);
    if (passed !== undefined) to.add(from.nameAt(at), passed);
  }
}

const nothing: ReadonlySet<string> = new Set();

/** Whether Privacy keeps from phones by whom the call came. */
export function hidesWay(headers: Headers): boolean {
  return hiddenBy(headers).has('diversion');
}

/** What Privacy asks to be kept from those who are not trusted (RFC 3323 4.2, RFC 3325 9.3, RFC 7044 10.1.2). */
function hiddenBy(headers: Headers): ReadonlySet<string> {
  if (!headers.has('privacy')) return nothing;
  const asked = new Set(
    headers.list('privacy').flatMap((value) =>
      value
        .toLowerCase()
        .split(';')
        .map((one) => one.trim()),
    ),
  );
  const hidden = new Set<string>();
  if (asked.has('id')) for (const key of [...onlyFromUpstream, 'remote-party-id']) hidden.add(key);
  if (['history', 'header', 'session'].some((one) => asked.has(one)))
    for (const key of ['history-info', 'diversion']) hidden.add(key);
  return hidden;
}

/** A phone is nobody's proxy: what is for one must not reach it, least of all another phone's digest. */
function isForUs(credentials: string, { towards, realm }: PassOptions): boolean {
  if (towards === 'phone') return true;
  if (realm === undefined) return false;
  const auth = parseAuth(credentials);
  return auth !== undefined && authParam(auth, 'realm') === realm;
}

/** undefined: nothing of it is left. */
function passValue(
  key: string,
  value: string,
  options: PassOptions,
  keepsTag: (tag: string) => boolean,
): string | undefined {
  switch (key) {
    case 'supported':
      return filterTags(value, keepsTag);
    case 'require':
      return filterTags(value, (tag) => tag !== '100rel' && keepsTag(tag));
    case 'replaces':
    case 'join':
      return options.translate === undefined ? value : translateReplaces(value, options.translate);
    case 'target-dialog':
      return options.translate === undefined ? value : translateTargetDialog(value, options.translate);
    case 'refer-to':
      return stripPushParams(
        across(options.translate === undefined ? value : translateReferTo(value, options.translate), options),
      );
    case 'referred-by':
      return stripPushParams(across(value, options));
    default:
      return holdUris.has(key) ? stripPushParams(value) : value;
  }
}

function across(value: string, options: PassOptions): string {
  return options.across === undefined ? value : translateUri(value, options.across);
}

/** As written when every tag stays. An empty Supported is a statement of its own and passes. */
function filterTags(value: string, keeps: (tag: string) => boolean): string | undefined {
  const tags = value.split(',');
  const kept = tags.filter((tag) => keeps(tag.trim().toLowerCase()));
  if (kept.length === tags.length) return value;
  return kept.length === 0 ? undefined : kept.map((tag) => tag.trim()).join(', ');
}

/** Max-Forwards of the next hop (RFC 3261 16.6 item 3); a value above 255 counts as absent (RFC 4475 3.1.2.4). */
function hopsLeft(headers: Headers): number {
  const text = headers.get('max-forwards') ?? '';
  return /^\d+$/.test(text) && Number(text) <= 255 ? Math.max(0, Number(text) - 1) : 70;
}

/** From or To without its tag and without push parameters; every other octet as written. */
export function withoutTag(value: string): string {
  const addr = parseNameAddr(value);
  if (addr === undefined) return value;
  const params = addr.params.filter((param) => param.name.toLowerCase() !== 'tag');
  const stripped = params.length === addr.params.length ? value : printNameAddr({ ...addr, params });
  return stripPushParams(stripped);
}

/** True when fields of this name belong to one side and never pass; for tests and documentation. */
export function isOwnOfEachSide(name: string): boolean {
  return ownOfEachSide.has(headerKey(name));
}
