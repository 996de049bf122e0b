/**
 * The PBX is the registrar and holds the credentials (modes P and M): the REGISTER goes on, 401 and 407 pass back untouched, and the
 * binding is stored only on the PBX's 2xx (PN-REG-15, PN-PROXY-08). What the PBX gets to see is the business of a Form.
 */
import type { Binding } from '../core/binding.ts';
import { isAssertedByNetworks } from '../core/pass-headers.ts';
import { type Mode, modes } from '../core/modes.ts';
import { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { parseUri, printUri } from '../sip/uri.ts';
import { account } from './account.ts';
import { hintOf } from '../core/refusal-hints.ts';
import { announce, commit } from './commit.ts';
import type { Form } from './form.ts';
import { midRegistrar } from './mid-registrar.ts';
import { passThrough } from './pass-through.ts';
import type { Asked, AskedContact, RegisterDeps } from './read-register.ts';
import { leftUpstream, registerAgain } from './throttle.ts';

const forms: Readonly<Record<Exclude<Mode['contactUpstream'], 'none'>, Form>> = {
  kept: passThrough,
  sealed: midRegistrar,
};

/** The registrar wants another try of the same phone: a held call goes on waiting (PN-PROXY-10). */
const tryAgain = new Set([401, 407, 423, 494]);

export async function registerUpstream(asked: Asked, deps: RegisterDeps): Promise<void> {
  const { transaction, domain, mode } = asked;
  const form = mode.contactUpstream === 'none' ? undefined : forms[mode.contactUpstream];
  if (form === undefined) throw new Error('this registrar has no PBX behind it');
  // judged before the PBX is asked too: what it has accepted cannot be taken back without the phone's credentials
  const foreseen = foresee(asked, deps);
  if (foreseen !== undefined) return refuse(asked, foreseen, deps);
  const left = leftUpstream(asked, deps);
  if (left !== undefined && (await registerAgain(asked, left, deps)) === 'answered') return;
  const { response, local } = await deps.client.send({
    method: 'REGISTER',
    uri: requestUri(transaction.request.uri),
    nextHop: domain.upstream,
    headers: form.request(ofThisHop(asked), asked, deps),
    body: mode.contactUpstream === 'kept' ? transaction.request.body : '',
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
  if (response.status === 420 && mode.contactUpstream === 'kept') {
    const retried = domain.pbxWithoutPath === 'mid-registrar';
    const unsupported = response.headers.list('Unsupported').join(', ');
    deps.log.warn(
      { aor: asked.aor, remote: domain.upstream, status: 420, reason: `Unsupported: ${unsupported}` },
      'the PBX does not support Path, which mode path needs: give it Path, or set registration: mid-registrar or pbx_without_path: mid-registrar',
    );
    // it has changed nothing there, and a Contact of ours needs no Path
    if (retried) return registerUpstream({ ...asked, mode: modes['mid-registrar'] }, deps);
  }
  const passed = passedBack(response, form);
  if (response.status >= 300) return passRefusal(asked, response, passed, deps);

  const granted = form.granted(asked, response, deps);
  const change = await commit(asked, granted, deps);
  if (change.is === 'stale' || change.is === 'full') return refuse(asked, change.is, deps);
  account(asked, granted, change, deps);
  const sent = transaction.respond({
    status: response.status,
    reason: response.reason,
    headers: form.answer(passed, { asked, response, granted, bindings: change.bindings }, deps),
    ...bodyOf(response, passed),
  });
  // written after the 2xx on the same control connection, so the phone sees its 2xx before the INVITE (PN-PROXY-17)
  announce(asked, change, deps);
  await sent;
}

/** What the set of bindings will surely say, whatever the PBX grants: an older CSeq of the same Call-ID, or too many devices. */
function foresee({ contacts, callId, cseq, stored }: Asked, deps: RegisterDeps): 'stale' | 'full' | undefined {
  if (contacts === '*') return undefined;
  const lives = (known: Binding): boolean => stored.includes(known);
  if (contacts.some(({ known }) => known?.callId === callId && lives(known) && cseq < known.cseq)) return 'stale';
  const isNew = ({ known, expires, contact }: AskedContact): boolean =>
    (known === undefined || !lives(known)) &&
    expires > 0 &&
    !stored.some((one) => one.instanceId !== undefined && one.instanceId === contact.instanceId);
  const leaving = contacts.filter(({ known, expires }) => known !== undefined && lives(known) && expires === 0).length;
  return contacts.some(isNew) && stored.length - leaving + contacts.filter(isNew).length > deps.policy.maxBindings
    ? 'full'
    : undefined;
}

async function refuse(asked: Asked, because: 'stale' | 'full', deps: RegisterDeps): Promise<void> {
  deps.telemetry.count('registrations', { result: because === 'stale' ? 'stale' : 'rejected' });
  deps.log.warn({ callId: asked.callId, aor: asked.aor, outcome: because }, 'REGISTER refused');
  await asked.transaction.respond({ status: because === 'stale' ? 500 : 403 });
}

async function passRefusal(asked: Asked, response: SipResponse, headers: Headers, deps: RegisterDeps): Promise<void> {
  deps.telemetry.count('registrations', { result: tryAgain.has(response.status) ? 'challenged' : 'rejected' });
  if (!tryAgain.has(response.status))
    deps.log.info(
      { callId: asked.callId, aor: asked.aor, status: response.status, reason: whyRefused(asked, response) },
      'REGISTER refused by the PBX',
    );
  // one that is only away keeps its phones (EDGE-REG-16), and they are told when to come again
  if (response.status === 503 && !headers.has('Retry-After')) headers.add('Retry-After', '30');
  if (!tryAgain.has(response.status) && asked.contacts !== '*') {
    for (const { known } of asked.contacts) {
      if (known !== undefined)
        void deps.bus.publish({ is: 'refresh-rejected', aor: asked.aor, bindingId: known.id, status: response.status });
    }
  }
  await asked.transaction.respond({
    status: response.status,
    reason: response.reason,
    headers,
    ...bodyOf(response, headers),
  });
}

function whyRefused({ domain, mode }: Asked, { status, headers }: SipResponse): string | undefined {
  return hintOf({
    status,
    unsupported: headers.list('Unsupported').map((tag) => tag.toLowerCase()),
    byPath: mode.calledBy === 'flow-token',
    requirePath: domain.requirePath,
    throttled: domain.throttle !== undefined,
  });
}

/** A body passes together with what says what it is. */
function bodyOf({ body }: SipResponse, passed: Headers): { readonly body?: string } {
  return body !== '' && passed.has('Content-Type') ? { body } : {};
}

/** RFC 3261 10.2: the Request-URI of a REGISTER has no user part; phones that send one are forgiven (errata 7136). */
function requestUri(uri: string): string {
  const parsed = parseUri(uri);
  return parsed === undefined
    ? uri
    : printUri({ ...parsed, user: undefined, password: undefined, params: [], headers: undefined });
}

/** Of one hop, or written anew. */
const ownOfEachHop = new Set(['via', 'route', 'record-route', 'max-forwards', 'content-length']);

/** What a phone may say, with Max-Forwards of the next hop; what only a network may say must come from a proxy of ours (EDGE-PRX-16). */
function ofThisHop({ transaction, fromProxy }: Asked): Headers {
  const { headers: received } = transaction.request;
  const headers = Headers.of([['Max-Forwards', String(forwardsLeft(received.get('Max-Forwards')))]]);
  for (const [name, value, key] of received.entries()) {
    if (ownOfEachHop.has(key)) continue;
    if (!fromProxy && (key === 'path' || key === 'feature-caps' || isAssertedByNetworks(key))) continue;
    headers.add(name, value);
  }
  return headers;
}

/** The engine makes them from the request. */
const madeByEngine = new Set(['via', 'from', 'to', 'call-id', 'cseq', 'content-length', 'record-route']);

function passedBack(response: SipResponse, form: Form): Headers {
  const headers = Headers.empty();
  for (const [name, value, key] of response.headers.entries())
    if (!madeByEngine.has(key) && form.passesBack(key)) headers.add(name, value);
  return headers;
}

function forwardsLeft(maxForwards: string | undefined): number {
  const hops = Number.parseInt(maxForwards ?? '', 10);
  return Number.isInteger(hops) && hops > 0 && hops <= 255 ? hops - 1 : 69;
}
