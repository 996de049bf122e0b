/**
 * Mode M: the PBX is the registrar and holds the credentials. The phone's REGISTER goes on with its Contact replaced by a stable
 * opaque one of the edge; 401 and 407 pass back untouched; the binding is stored only on the PBX's 2xx (PN-REG-15, PN-PROXY-08).
 */
import { sealContact, openContact } from '../core/contact-token.ts';
import { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { stripPushParams } from '../sip/push-params.ts';
import { findParam, parseUri, printParams, printUri } from '../sip/uri.ts';
import { account } from './account.ts';
import { addRegistered } from './answer.ts';
import { announce, commit, userPartOf, type Granted } from './commit.ts';
import type { Asked, AskedContact, RegisterDeps } from './read-register.ts';

/** The registrar wants another try of the same phone: a held call goes on waiting (PN-PROXY-10). */
const tryAgain = new Set([401, 407, 423, 494]);

export async function registerUpstream(asked: Asked, deps: RegisterDeps): Promise<void> {
  const { transaction, domain } = asked;
  // judged before the PBX is asked too: what it has accepted cannot be taken back without the phone's credentials
  const foreseen = foresee(asked, deps);
  if (foreseen !== undefined) return refuse(asked, foreseen, deps);
  const { response, local } = await deps.client.send({
    method: 'REGISTER',
    uri: requestUri(transaction.request.uri),
    nextHop: domain.upstream,
    headers: upstreamHeaders(asked, deps),
    body: '',
    timeoutMs: deps.policy.upstreamTimeoutMs,
  });
  if (local) {
    // the phone keeps its binding: an outage of the PBX is not the phone's fault (EDGE-REG-16)
    deps.telemetry.count('registrations', { result: 'upstream-timeout' });
    deps.log.warn(
      { callId: asked.callId, status: response.status, remote: domain.upstream },
      'the PBX does not answer REGISTER',
    );
    await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '30']]) });
    return;
  }
  if (response.status >= 300) return passRefusal(asked, response, deps);

  const granted = grantedBy(asked, response, deps);
  const change = await commit(asked, granted, deps);
  if (change.is === 'stale' || change.is === 'full') return refuse(asked, change.is, deps);
  account(asked, granted, change, deps);
  const foreign = response.headers.list('Contact').filter((value) => openedBy(value, deps) === undefined);
  const headers = addRegistered(passedBack(response), granted, change.bindings, foreign, deps);
  const sent = transaction.respond({ status: response.status, reason: response.reason, headers });
  // written after the 2xx on the same control connection, so the phone sees its 2xx before the INVITE (PN-PROXY-17)
  announce(asked, change, deps);
  await sent;
}

/** What the set of bindings will surely say, whatever the PBX grants: an older CSeq of the same Call-ID, or too many devices. */
function foresee({ contacts, callId, cseq, stored }: Asked, deps: RegisterDeps): 'stale' | 'full' | undefined {
  if (contacts === '*') return undefined;
  if (contacts.some(({ known }) => known?.callId === callId && cseq < known.cseq)) return 'stale';
  const isNew = ({ known, expires, contact }: AskedContact): boolean =>
    known === undefined &&
    expires > 0 &&
    !stored.some((one) => one.instanceId !== undefined && one.instanceId === contact.instanceId);
  const leaving = contacts.filter(({ known, expires }) => known !== undefined && expires === 0).length;
  return contacts.some(isNew) && stored.length - leaving + contacts.filter(isNew).length > deps.policy.maxBindings
    ? 'full'
    : undefined;
}

async function refuse(asked: Asked, because: 'stale' | 'full', deps: RegisterDeps): Promise<void> {
  deps.telemetry.count('registrations', { result: because === 'stale' ? 'stale' : 'rejected' });
  deps.log.warn({ callId: asked.callId, aor: asked.aor, outcome: because }, 'REGISTER refused');
  await asked.transaction.respond({ status: because === 'stale' ? 500 : 403 });
}

async function passRefusal(asked: Asked, response: SipResponse, deps: RegisterDeps): Promise<void> {
  deps.telemetry.count('registrations', { result: tryAgain.has(response.status) ? 'challenged' : 'rejected' });
  if (!tryAgain.has(response.status))
    deps.log.info({ callId: asked.callId, aor: asked.aor, status: response.status }, 'REGISTER refused by the PBX');
  if (!tryAgain.has(response.status) && asked.contacts !== '*') {
    for (const { known } of asked.contacts) {
      if (known !== undefined)
        void deps.bus.publish({ is: 'refresh-rejected', aor: asked.aor, bindingId: known.id, status: response.status });
    }
  }
  await asked.transaction.respond({ status: response.status, reason: response.reason, headers: passedBack(response) });
}

/** RFC 3261 10.2: the Request-URI of a REGISTER has no user part; phones that send one are forgiven (errata 7136). */
function requestUri(uri: string): string {
  const parsed = parseUri(uri);
  return parsed === undefined
    ? uri
    : printUri({ ...parsed, user: undefined, password: undefined, params: [], headers: undefined });
}

const notUpstream = new Set([
  'via',
  'route',
  'record-route',
  'path',
  'contact',
  'expires',
  'max-forwards',
  'content-length',
  'content-type',
  'feature-caps',
  'supported',
  'require',
  'x-mpush',
]);
/** Option tags whose mechanism ends at the edge. */
const ourOptions = new Set(['path', 'outbound', 'gruu']);

function upstreamHeaders(asked: Asked, deps: RegisterDeps): Headers {
  const { headers: received } = asked.transaction.request;
  const headers = Headers.empty();
  for (const [name, value, key] of received.entries()) {
    // some phones write their push parameters into From and To as well; digest does not cover these
    if (!notUpstream.has(key)) headers.add(name, key === 'from' || key === 'to' ? stripPushParams(value) : value);
  }
  for (const name of ['Supported', 'Require']) {
    const options = received.list(name).filter((option) => !ourOptions.has(option.toLowerCase()));
    if (options.length > 0) headers.add(name, options.join(', '));
  }
  headers.add('Max-Forwards', String(forwardsLeft(received.get('Max-Forwards'))));
  if (asked.contacts === '*') {
    // `*` would take other edges' and desk phones' bindings with it: remove what is ours, one by one
    const ours = asked.stored.map((binding) => `<${edgeContact(asked, binding.id, deps)}>;expires=0`);
    if (ours.length > 0) headers.add('Contact', ours.join(', ')).add('Expires', '0');
    return headers;
  }
  // the old address of a phone that moved and the new one are the same Contact at the PBX: the removal must not undo the rest
  const kept = new Set(asked.contacts.filter(({ expires }) => expires > 0).map(({ id }) => id));
  const told = asked.contacts.filter((one) => one.expires > 0 || !kept.has(one.id));
  // in one line: an engine may take the first one only
  if (told.length > 0) headers.add('Contact', told.map((one) => upstreamContact(asked, one, deps)).join(', '));
  const first = asked.contacts.find(({ expires }) => expires > 0) ?? asked.contacts[0];
  if (first !== undefined) headers.add('Expires', String(first.expires));
  return headers;
}

/** Contact parameters that mean something between phone and edge only. */
const ourContactParams = new Set([
  '+sip.instance',
  'reg-id',
  'expires',
  '+sip.pnsreg',
  'pub-gruu',
  'temp-gruu',
  'temp-gruu-cookie',
]);

function upstreamContact(asked: Asked, one: AskedContact, deps: RegisterDeps): string {
  const params = (parseNameAddr(stripPushParams(one.contact.text))?.params ?? []).filter(
    (param) => !ourContactParams.has(param.name.toLowerCase()),
  );
  return `<${edgeContact(asked, one.id, deps)}>${printParams([...params, { name: 'expires', value: String(one.expires) }])}`;
}

function edgeContact(asked: Asked, bindingId: string, deps: RegisterDeps): string {
  return `sip:${sealContact(deps.contactKey, { aor: asked.aor, bindingId })}@${asked.domain.edgeHost}`;
}

function openedBy(contactValue: string, deps: RegisterDeps): string | undefined {
  const user = userPartOf(contactValue);
  return user === undefined ? undefined : openContact(deps.contactKey, user)?.bindingId;
}

/** What the PBX granted to each contact: its expires on our Contact, else Expires, else what was asked. */
function grantedBy(asked: Asked, response: SipResponse, deps: RegisterDeps): readonly Granted[] | '*' {
  if (asked.contacts === '*') return '*';
  const listed = new Map<string, string>();
  for (const value of response.headers.list('Contact')) {
    const id = openedBy(value, deps);
    if (id !== undefined) listed.set(id, value);
  }
  const header = Number.parseInt(response.headers.get('Expires') ?? '', 10);
  return asked.contacts.map((one) => {
    const value = listed.get(one.id);
    const param = value === undefined ? undefined : findParam(parseNameAddr(value)?.params ?? [], 'expires')?.value;
    const upstream = one.expires === 0 ? 0 : Number.parseInt(param ?? '', 10);
    const expires = Number.isInteger(upstream) ? upstream : Number.isInteger(header) ? header : one.expires;
    return { asked: one, expires: Math.min(expires, deps.policy.maxExpires), upstreamExpires: expires };
  });
}

const notBack = new Set([
  'via',
  'from',
  'to',
  'call-id',
  'cseq',
  'contact',
  'content-length',
  'content-type',
  'record-route',
  'path',
  'require',
  'expires',
]);

function passedBack(response: SipResponse): Headers {
  const headers = Headers.empty();
  for (const [name, value, key] of response.headers.entries()) if (!notBack.has(key)) headers.add(name, value);
  return headers;
}

function forwardsLeft(maxForwards: string | undefined): number {
  const hops = Number.parseInt(maxForwards ?? '', 10);
  return Number.isInteger(hops) && hops > 0 && hops <= 255 ? hops - 1 : 69;
}
