/**
 * What happens to each request, in order: screen, classify, then exactly one use-case. This page is the table of contents of the
 * edge; the status codes that leave here are listed in docs/architecture.md.
 */
import type { Binding } from '../../lib/core/binding.ts';
import type { Domain } from '../../lib/core/domain.ts';
import { answersTo, liveBindings, wakeableBindings } from '../../lib/core/binding-set.ts';
import { everyDevice } from '../../lib/core/contact-token.ts';
import { isOfCall } from '../../lib/core/gruu.ts';
import { modes } from '../../lib/core/modes.ts';
import { saysWhere } from '../../lib/call/dialog-contacts.ts';
import { EdgeError, errorTable } from '../../lib/errors.ts';
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { DialogTransaction, InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { registerHere } from '../../lib/register/registrar.ts';
import { readRegister, type RegisterDeps } from '../../lib/register/read-register.ts';
import { registerUpstream } from '../../lib/register/upstream.ts';
import { asksForRegEvent, type RegEventDeps, serveRegEvent } from '../../lib/reg-event/serve-reg-event.ts';
import { clientWith, dialogWith, legsWith, type Login } from '../../lib/behalf/credentials.ts';
import { placeCall, type PlaceCallDeps } from '../../lib/relay/place-call.ts';
import { placeSubscription, type SubscribeDeps } from '../../lib/relay/place-subscription.ts';
import { relayStandalone, type StandaloneDeps } from '../../lib/relay/standalone.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { flowUri } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { parseNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { canBeReached } from '../../lib/wake/reach.ts';
import type { Called } from '../../lib/wake/called.ts';
import { holdRequest } from '../../lib/wake/hold-request.ts';
import { holdSubscribe, type HoldSubscribeDeps } from '../../lib/wake/hold-subscribe.ts';
import { wake, type WakeDeps } from '../../lib/wake/wake.ts';
import { phoneOfDialog, WakefulDialog } from '../../lib/wake/wakeful-dialog.ts';
import { authenticate, type AuthenticateDeps } from './middleware/authenticate.ts';
import {
  classify,
  domainFor,
  domainOf,
  isFrom,
  isRegistrar,
  type Classified as Any,
  type Classifier,
} from './middleware/classify.ts';
import { followPath } from './middleware/follow-path.ts';
import { followTarget } from './middleware/follow-target.ts';
import { hasOurContact, hasOurVia, hintOfRefusal } from './middleware/loops.ts';
import { following } from './redirects.ts';
import { screen, screenAsRegistrar } from './middleware/screen.ts';

export interface RouteDeps {
  readonly classifier: Classifier;
  readonly authenticate: AuthenticateDeps;
  readonly register: RegisterDeps;
  readonly wake: WakeDeps & HoldSubscribeDeps;
  readonly subscribe: SubscribeDeps;
  readonly regEvent: RegEventDeps;
  readonly placeCall: PlaceCallDeps;
  readonly standalone: StandaloneDeps;
  readonly store: LocationStore;
  readonly now: () => number;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly draining: () => boolean;
  /** REGISTERs are for one of the other edges: this one ends; never when left out */
  readonly sendsPhonesAway?: () => boolean;
  /** the edge itself goes where a phone sends a call by 3xx */
  readonly followsRedirects?: boolean;
  /** what the edge proves itself with to the PBX of an AOR whose account it holds; when left out it holds none */
  readonly loginOf?: (aor: string) => Promise<Login | undefined>;
}

type Found = Exclude<Any, { is: 'along-path' } | { is: 'in-dialog' }>;
/** `arrivedAt`: ms since the epoch, before anything was waited for */
type Classified = Found & { readonly arrivedAt: number };

/** Everything that may be asked of the edge, for Allow. */
const allow =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER, UPDATE, PRACK';

/** What strangers can have us say as often as they like. */
const sentences = {
  refused: 'request refused',
  notRegistered: 'request from a phone that is not registered from there',
  failed: 'request failed',
  ownContact: 'your PBX sent back our own contact: its route for this domain leads to the edge',
  ownRequest: 'your PBX sent back our own request: its route for this domain leads to the edge',
} as const;

/** With what the use-cases say of requests they refuse: these must not fill the log. */
export const saidToStrangers: readonly string[] = [
  ...Object.values(sentences),
  'REGISTER refused',
  'REGISTER refused by the PBX',
  'no room to hold another INVITE',
];

/** Takes every request outside a dialog; answers each exactly once and never throws. */
export async function route(
  transaction: ServerTransaction | DialogTransaction | InviteTransaction,
  deps: RouteDeps,
): Promise<void> {
  const { method } = transaction.request;
  const arrivedAt = deps.now();
  try {
    const refusal = screen(transaction);
    if (refusal !== undefined) {
      deps.telemetry.count('refusals', { reason: refusal.why });
      return void (await transaction.respond(refusal.answer));
    }
    if (method === 'REGISTER') return await onRegister(transaction, deps);
    deps.wake.awake.heard(transaction.flow);
    const found = classify(transaction, deps.classifier);
    const placed = await followed(transaction, found, deps);
    if (await sentBack(transaction, placed, deps)) return;
    const proven = await throughTrunk(transaction, placed, deps);
    if (proven === undefined) return;
    const classified = { ...proven, arrivedAt };
    if (classified.is === 'refused') {
      deps.telemetry.count('refusals', { reason: classified.why });
      deps.log.info(
        {
          method,
          status: classified.status,
          reason: classified.why,
          outcome: hintOfRefusal[classified.why],
          remote: transaction.flow.address,
        },
        sentences.refused,
      );
      return void (await transaction.respond({ status: classified.status }));
    }
    const isPing = classified.is === 'to-edge' || transaction.request.body === '';
    if (method === 'OPTIONS' && classified.is !== 'to-upstream' && isPing)
      return await onOptions(transaction, classified, deps);
    if (method === 'INVITE') return await onInvite(transaction as InviteTransaction, classified, deps);
    if (method === 'SUBSCRIBE') return await onSubscribe(transaction as DialogTransaction, classified, deps);
    return await onStandalone(transaction, classified, deps);
  } catch (error) {
    const code = error instanceof EdgeError ? error.code : 'EDGE_INTERNAL';
    deps.log[errorTable[code].log](
      { method, code, err: error, callId: transaction.request.headers.get('Call-ID') },
      sentences.failed,
    );
    if (method === 'REGISTER') deps.telemetry.count('registrations', { result: 'failed' });
    const status = errorTable[code].sip ?? 500;
    await transaction.respond(status === 503 ? { status, headers: Headers.of([['Retry-After', '5']]) } : { status });
  }
}

/** A call of the trunk whose address proves nothing shows the password of one of its users; undefined: it has been answered. */
async function throughTrunk(
  transaction: ServerTransaction,
  classified: Found,
  deps: RouteDeps,
): Promise<Found | undefined> {
  if (classified.is !== 'to-user' || classified.unproven !== true) return classified;
  const { domain } = classified;
  const users = domain.trunk?.users ?? new Set<string>();
  const [first = ''] = users;
  const sender = await authenticate(transaction, domain, `${first}@${domain.name}`, 407, deps.authenticate, users);
  return sender === 'passed' ? { ...classified, trusted: true } : undefined;
}

/** What the edge has sent to the PBX and the PBX sends back: answered here, or it would go round for ever. */
async function sentBack(transaction: ServerTransaction, placed: Found, deps: RouteDeps): Promise<boolean> {
  const outward = placed.is === 'to-upstream' || (placed.is === 'refused' && placed.why === 'unknown-contact');
  if (!outward || !hasOurVia(transaction.request, deps.classifier.domains)) return false;
  await refuseLoop(transaction, sentences.ownRequest, deps);
  return true;
}

async function refuseLoop(transaction: ServerTransaction, sentence: string, deps: RouteDeps): Promise<void> {
  const { request, flow } = transaction;
  deps.telemetry.count('refusals', { reason: 'loop' });
  deps.log.warn(
    {
      method: request.method,
      status: 482,
      callId: request.headers.get('Call-ID'),
      remote: `${flow.address}:${flow.port}`,
    },
    sentence,
  );
  await transaction.respond({ status: 482 });
}

async function followed(transaction: ServerTransaction, found: Any, deps: RouteDeps): Promise<Found> {
  if (found.is === 'along-path') return followPath(transaction, found, await bindingsOf(found.aor, deps));
  if (found.is === 'in-dialog')
    return followTarget(transaction, found, await bindingsOf(found.aor, deps), deps.classifier);
  return found;
}

async function onRegister(transaction: ServerTransaction, deps: RouteDeps): Promise<void> {
  if (deps.sendsPhonesAway?.() === true) {
    deps.telemetry.count('registrations', { result: 'failed' });
    deps.telemetry.count('refusals', { reason: 'draining' });
    return void (await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) }));
  }
  if (hasOurContact(transaction.request, deps.classifier.contactKey)) {
    deps.telemetry.count('registrations', { result: 'rejected' });
    return refuseLoop(transaction, sentences.ownContact, deps);
  }
  const to = parseNameAddr(transaction.request.headers.get('To') ?? '');
  const aor = aorOf(to?.uri ?? '');
  const known = aor === undefined ? undefined : domainOf(deps.classifier.domains, aor.slice(aor.lastIndexOf('@') + 1));
  if (aor === undefined || known === undefined) {
    deps.telemetry.count('registrations', { result: 'rejected' });
    return void (await transaction.respond({ status: aor === undefined ? 400 : 404 }));
  }
  const domain = domainFor(known, aor, deps.classifier);
  const unknown = modes[domain.registration].facesPhone === 'edge' ? screenAsRegistrar(transaction) : undefined;
  if (unknown !== undefined) {
    deps.telemetry.count('registrations', { result: 'rejected' });
    deps.telemetry.count('refusals', { reason: unknown.why });
    return void (await transaction.respond(unknown.answer));
  }
  if (isRegistrar(domain)) {
    const sender = await authenticate(transaction, domain, aor, 401, deps.authenticate);
    if (sender !== 'passed')
      return deps.telemetry.count('registrations', { result: sender === 'challenged' ? 'challenged' : 'rejected' });
  }
  const fromProxy = known.proxies !== undefined && isFrom(known.proxies, transaction.flow.address);
  const asked = await readRegister({ transaction, domain, aor, fromProxy }, deps.register);
  if (asked === undefined) return;
  await (isRegistrar(domain) ? registerHere(asked, deps.register) : registerUpstream(asked, deps.register));
}

async function onInvite(transaction: InviteTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  if (deps.draining()) {
    deps.telemetry.count('refusals', { reason: 'draining' });
    return void (await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) }));
  }
  switch (classified.is) {
    case 'to-device':
      return ring(transaction, classified.domain, calledBy(classified, await answering(classified, deps)), deps);
    case 'to-user': {
      if (!classified.trusted && (await authenticateCaller(transaction, classified.domain, deps)) === 'answered')
        return;
      const registered = called(classified, await wakeableOf(classified.aor, deps));
      if (registered.length > 0)
        return ring(
          transaction,
          classified.domain,
          calledBy(classified, classified.trusted ? asItIs : await wakefulCaller(transaction, 'call', deps)),
          deps,
        );
      if (classified.gruu !== undefined)
        return void (await transaction.respond({ status: await withoutPhone(classified, deps) }));
      // a phone calls somebody we do not know: that is what the PBX is for; what the PBX itself sends here ends here
      if (!classified.trusted)
        return placeCall(
          transaction,
          classified.domain,
          await wakefulCaller(transaction, 'call', deps),
          deps.placeCall,
        );
      return void (await transaction.respond({ status: await withoutPhone(classified, deps) }));
    }
    case 'to-upstream':
      if (!(await mayCall(transaction, classified.domain, classified.from, deps))) return;
      return placeCall(
        transaction,
        classified.domain,
        await wakefulCaller(transaction, 'call', deps),
        await withAccount(classified.domain, classified.from, deps.placeCall, deps),
      );
    case 'to-edge':
    case 'refused':
      return void (await transaction.respond({ status: 404 }));
    default:
      return classified satisfies never;
  }
}

async function ring(transaction: InviteTransaction, domain: Domain, called: Called, deps: RouteDeps): Promise<void> {
  if (deps.followsRedirects !== true) return wake(transaction, called, deps.wake);
  const { log, telemetry } = deps;
  const send = async (again: InviteTransaction, target: string, onward: Called): Promise<void> => {
    // the ring before has let go of the call once this is known
    const registered = await wakeableOf(target, deps);
    if (isRegistrar(domain) && registered.length > 0) return wake(again, onward, deps.wake);
    const placing = await withAccount(domain, called.aor, deps.placeCall, deps);
    placeCall(again, domain, called.wakeful, placing, { caller: called.from, fields: onward.diverted ?? [] });
  };
  return wake(transaction, following(transaction, domain, called, { log, telemetry, send }), deps.wake);
}

/** A qualify of the PBX has no body and never wakes anybody (PN-PROXY-33): 200 while the phone can be reached or woken, 480 when not. */
async function onOptions(transaction: ServerTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  const headers = Headers.of([
    ['Allow', allow],
    ['Accept', 'application/sdp'],
  ]);
  if (classified.is !== 'to-device' && classified.is !== 'to-user')
    return void (await transaction.respond({ status: 200, headers }));
  // who is registered is nobody's business but the PBX's and that of our users
  if (
    classified.is === 'to-user' &&
    !classified.trusted &&
    (await authenticateCaller(transaction, classified.domain, deps)) === 'answered'
  )
    return;
  const asked = called(classified, await wakeableOf(classified.aor, deps));
  // the registration of the edge itself stands, whether a phone does or not
  const ours = classified.is === 'to-device' && oneDevice(classified) === undefined;
  const wakeable = ours || asked.some((binding) => canBeReached(binding, deps.wake.policy, deps.now()));
  await transaction.respond(wakeable ? { status: 200, headers } : { status: 480 });
}

/** For a phone: held like any other request. From a phone: to the PBX. Either way two dialogs that are tied together. */
async function onSubscribe(transaction: DialogTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  const toUpstream = async (domain: Domain, from?: string): Promise<void> =>
    placeSubscription(
      transaction,
      domain,
      await wakefulCaller(transaction, 'subscription', deps),
      await withAccount(domain, from, deps.subscribe, deps),
    );
  const { headers } = transaction.request;
  // a subscription that a REFER began has no engine's dialog that a longer one could be made of; it lasts as long as its NOTIFYs say
  if (tagOf(headers.get('To') ?? '') !== undefined && /^\s*refer\s*(?:;|$)/i.test(headers.get('Event') ?? ''))
    return void (await transaction.respond({ status: 403 }));
  switch (classified.is) {
    case 'to-device':
      return holdSubscribe(transaction, calledBy(classified, await answering(classified, deps)), deps.wake);
    case 'to-user': {
      const { trusted, aor, gruu } = classified;
      const isReg = asksForRegEvent(transaction.request.headers);
      // who is registered where is nobody's business but the user's
      if (trusted && isReg) return void (await transaction.respond({ status: 403 }));
      if (trusted) return holdSubscribe(transaction, calledBy(classified, asItIs), deps.wake);
      if ((await authenticateCaller(transaction, classified.domain, deps)) === 'answered') return;
      if (isReg) {
        const from = aorOf(parseNameAddr(transaction.request.headers.get('From') ?? '')?.uri ?? '');
        if (from !== aor || gruu !== undefined) return void (await transaction.respond({ status: 403 }));
        return serveRegEvent(transaction, aor, await wakefulCaller(transaction, 'subscription', deps), deps.regEvent);
      }
      // what the PBX keeps of a user (mail, presence) and what a phone does: to ask the PBX is what phones mean
      return toUpstream(classified.domain);
    }
    case 'to-upstream':
      if (!(await mayCall(transaction, classified.domain, classified.from, deps))) return;
      return toUpstream(classified.domain, classified.from);
    case 'to-edge':
    case 'refused':
      return void (await transaction.respond({ status: unknownDialogOr404(transaction) }));
    default:
      return classified satisfies never;
  }
}

/** A request of a dialog that we do not know (any more): the other side drops it too and begins anew (RFC 3261 12.2.2). */
function unknownDialogOr404({ request }: ServerTransaction): 404 | 481 {
  return tagOf(request.headers.get('To') ?? '') === undefined ? 404 : 481;
}

function calledBy(
  classified: Extract<Classified, { is: 'to-device' | 'to-user' }>,
  wakeful: (caller: Dialog) => Dialog,
): Called {
  const { flowGone } = modes[classified.domain.registration];
  const { aor, arrivedAt, domain } = classified;
  const { edgeHost, earlyRinging } = domain;
  if (classified.is === 'to-device') {
    const { sender } = classified;
    const bindingId = oneDevice(classified);
    const from = sender === undefined ? 'upstream' : 'phone';
    const early = from === 'upstream' ? { earlyRinging } : {};
    return { aor, bindingId, arrivedAt, from, sender, edgeHost, flowGone, wakeful, ...early };
  }
  const from = classified.trusted ? 'upstream' : 'phone';
  const early = classified.trusted ? { earlyRinging } : {};
  return { aor, bindingId: classified.gruu?.phone, arrivedAt, from, edgeHost, flowGone, wakeful, ...early };
}

const asItIs = (dialog: Dialog): Dialog => dialog;

/** The dialog of a PBX that calls an account of the edge: when it challenges what is said in it, the edge answers. */
async function answering(
  { domain, aor }: Extract<Classified, { is: 'to-device' }>,
  deps: RouteDeps,
): Promise<(caller: Dialog) => Dialog> {
  if (modes[domain.registration].credentialsUpstream !== 'account') return asItIs;
  const login = await deps.loginOf?.(aor);
  return login === undefined ? asItIs : (dialog) => dialogWith(dialog, login);
}

/** What a phone says to the PBX is said by its account where the edge holds one. */
async function withAccount<T extends Partial<Pick<PlaceCallDeps, 'legs'> & Pick<StandaloneDeps, 'client'>>>(
  domain: Domain,
  from: string | undefined,
  used: T,
  deps: RouteDeps,
): Promise<T> {
  if (from === undefined || modes[domain.registration].credentialsUpstream !== 'account') return used;
  const login = await deps.loginOf?.(from);
  if (login === undefined) return used;
  const { legs, client } = used;
  return {
    ...used,
    ...(legs === undefined ? {} : { legs: legsWith(legs, login) }),
    ...(client === undefined ? {} : { client: clientWith(client, login) }),
  };
}

/** The dialog of a phone that calls or subscribes, so that it is woken in the middle of it (RFC 8599 6). */
async function wakefulCaller(
  transaction: ServerTransaction,
  kind: 'call' | 'subscription',
  deps: RouteDeps,
): Promise<(caller: Dialog) => Dialog> {
  const { flow, request } = transaction;
  const aor = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  const bindings = aor === undefined ? [] : await bindingsOf(aor, deps);
  const binding = registeredFrom(transaction, bindings);
  if (aor === undefined || binding?.push === undefined) return asItIs;
  return (dialog) => new WakefulDialog(dialog, phoneOfDialog(binding, kind, flow), deps.wake);
}

async function onStandalone(transaction: ServerTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  switch (classified.is) {
    case 'to-device':
      return holdRequest(transaction, calledBy(classified, asItIs), deps.wake);
    case 'to-user': {
      const { trusted, domain } = classified;
      if (!trusted && (await authenticateCaller(transaction, domain, deps)) === 'answered') return;
      const sender = trusted ? undefined : await senderOf(transaction, deps);
      if (!trusted && sender === undefined && transaction.request.method === 'REFER')
        return registerFirst(transaction, undefined, deps);
      const known = called(classified, await wakeableOf(classified.aor, deps)).length > 0;
      if (!known && classified.gruu !== undefined)
        return void (await transaction.respond({ status: await withoutPhone(classified, deps) }));
      if (!known) {
        // as with a call: whom we do not know the PBX may know
        if (!trusted) return relayStandalone(transaction, domain, { sender }, deps.standalone);
        if (!(await isUser(classified.aor, domain, deps))) return void (await transaction.respond({ status: 404 }));
      }
      return holdRequest(transaction, { ...calledBy(classified, asItIs), sender }, deps.wake);
    }
    case 'to-upstream': {
      const { domain, from, target } = classified;
      if (target === undefined && !(await mayCall(transaction, domain, from, deps))) return;
      const sender = await senderOf(transaction, deps);
      if (sender === undefined && transaction.request.method === 'REFER') return registerFirst(transaction, from, deps);
      return relayStandalone(
        transaction,
        domain,
        { sender, target },
        await withAccount(domain, from, deps.standalone, deps),
      );
    }
    case 'to-edge':
    case 'refused':
      return void (await transaction.respond({ status: unknownDialogOr404(transaction) }));
    default:
      return classified satisfies never;
  }
}

/** The phone that a request comes from, where the other side has to be told where it is. */
async function senderOf(transaction: ServerTransaction, deps: RouteDeps): Promise<Binding | undefined> {
  const { flow, request } = transaction;
  if (!saysWhere(request)) return undefined;
  const aor = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  const bindings = aor === undefined ? [] : await bindingsOf(aor, deps);
  return registeredFrom(transaction, bindings) ?? bindings.find((one) => one.flow.address === flow.address);
}

/** Of phones behind one proxy, which share its flow, the one whose Contact stands in the request. */
function registeredFrom({ flow, request }: ServerTransaction, bindings: readonly Binding[]): Binding | undefined {
  const here = bindings.filter((one) => flowUri(one.flow) === flowUri(flow));
  const contact = parseNameAddr(request.headers.list('Contact')[0] ?? '')?.uri;
  return here.find(({ target, path }) => path.length > 0 && target === contact) ?? here[0];
}

async function registerFirst(transaction: ServerTransaction, aor: string | undefined, deps: RouteDeps): Promise<void> {
  deps.telemetry.count('refusals', { reason: 'not-registered' });
  deps.log.info({ method: transaction.request.method, aor, remote: transaction.flow.address }, sentences.notRegistered);
  await transaction.respond({ status: 403, reason: 'Register First' });
}

/** Who is from a phone proves it: to us where we are the registrar, to the PBX elsewhere (then it must at least be registered from there). */
async function mayCall(
  transaction: ServerTransaction,
  domain: Domain,
  from: string | undefined,
  deps: RouteDeps,
): Promise<boolean> {
  if (isRegistrar(domain)) return (await authenticateCaller(transaction, domain, deps)) !== 'answered';
  const bindings = from === undefined ? [] : await bindingsOf(from, deps);
  if (bindings.some(({ flow }) => flow.address === transaction.flow.address)) return true;
  await registerFirst(transaction, from, deps);
  return false;
}

async function authenticateCaller(
  transaction: ServerTransaction,
  domain: Domain,
  deps: RouteDeps,
): Promise<'passed' | 'answered'> {
  const from = aorOf(parseNameAddr(transaction.request.headers.get('From') ?? '')?.uri ?? '');
  if (from === undefined) {
    await transaction.respond({ status: 400, reason: 'Bad From' });
    return 'answered';
  }
  if (domain.name !== '*' && from.slice(from.lastIndexOf('@') + 1) !== domain.name) {
    // the digest proves a user of this domain, not whatever the phone calls itself
    await transaction.respond({ status: 403, reason: 'From Is Not Yours' });
    return 'answered';
  }
  return (await authenticate(transaction, domain, from, 407, deps.authenticate)) === 'passed' ? 'passed' : 'answered';
}

/** Whom a request may be for: also who is not registered any more and can still be woken. */
async function wakeableOf(aor: string, deps: RouteDeps) {
  return wakeableBindings((await deps.store.read(aor)).bindings, deps.now());
}

async function bindingsOf(aor: string, deps: RouteDeps) {
  return liveBindings((await deps.store.read(aor)).bindings, deps.now());
}

/** undefined: the Contact is that of a registration of the edge itself, for all devices of the AOR. */
function oneDevice({ bindingId }: Extract<Classified, { is: 'to-device' }>): string | undefined {
  return bindingId === everyDevice ? undefined : bindingId;
}

/** The bindings a request is for: of one phone, or of the user. */
function called(
  classified: Extract<Classified, { is: 'to-device' | 'to-user' }>,
  bindings: readonly Binding[],
): readonly Binding[] {
  if (classified.is === 'to-device') {
    const one = oneDevice(classified);
    return one === undefined ? bindings : bindings.filter((binding) => answersTo(binding, one));
  }
  const { gruu } = classified;
  if (gruu === undefined) return bindings;
  return bindings.filter(
    (binding) => answersTo(binding, gruu.phone) && (gruu.call === undefined || isOfCall(binding, gruu.call)),
  );
}

/** 480 for a user or phone that is not registered; 404 for one there is not, and for a temporary GRUU that has ended (PN-INT-10, -11). */
async function withoutPhone(
  { aor, domain, gruu }: Extract<Classified, { is: 'to-user' }>,
  deps: RouteDeps,
): Promise<404 | 480> {
  return gruu?.call === undefined && (await isUser(aor, domain, deps)) ? 480 : 404;
}

async function isUser(aor: string, domain: Domain, deps: RouteDeps): Promise<boolean> {
  const user = aor.slice(0, aor.lastIndexOf('@'));
  return domain.users.has(user) || (await deps.store.readSecret(user, domain.realm)) !== undefined;
}
