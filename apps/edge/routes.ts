/**
 * What happens to each request, in order: screen, classify, then exactly one use-case. This page is the table of contents of the
 * edge; the status codes that leave here are listed in docs/architecture.md.
 */
import type { Domain } from '../../lib/core/domain.ts';
import { modes } from '../../lib/core/modes.ts';
import { EdgeError, errorTable } from '../../lib/errors.ts';
import type { DialogTransaction, InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import { registerHere } from '../../lib/register/registrar.ts';
import { readRegister } from '../../lib/register/read-register.ts';
import { registerUpstream } from '../../lib/register/upstream.ts';
import { asksForRegEvent, serveRegEvent } from '../../lib/reg-event/serve-reg-event.ts';
import { placeCall } from '../../lib/relay/place-call.ts';
import { placeSubscription } from '../../lib/relay/place-subscription.ts';
import { relayStandalone } from '../../lib/relay/standalone.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { parseNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { canBeReached } from '../../lib/wake/reach.ts';
import type { Called } from '../../lib/wake/called.ts';
import { holdRequest } from '../../lib/wake/hold-request.ts';
import { holdSubscribe } from '../../lib/wake/hold-subscribe.ts';
import { wake } from '../../lib/wake/wake.ts';
import { authenticate } from './middleware/authenticate.ts';
import { classify, domainFor, domainOf, isFrom, isRegistrar, type Classified as Any } from './middleware/classify.ts';
import { followPath } from './middleware/follow-path.ts';
import { followTarget } from './middleware/follow-target.ts';
import { hasOurContact, hasOurVia, hintOfRefusal } from './middleware/loops.ts';
import { following } from './redirects.ts';
import { screen, screenAsRegistrar } from './middleware/screen.ts';
import { type Classified, type Found, type RouteDeps, sentences } from './route-deps.ts';
import {
  asItIs,
  answering,
  authenticateCaller,
  mayCall,
  registerFirst,
  senderOf,
  throughTrunk,
  wakefulCaller,
  withAccount,
} from './who-asks.ts';
import { bindingsOf, called, calledBy, isUser, oneDevice, wakeableOf, withoutPhone } from './whom.ts';

/** Everything that may be asked of the edge, for Allow. */
const allow =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER, UPDATE, PRACK';

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
  // the subscription that a REFER began is kept by its two ends, who refresh and end it as they tell each other of it (RFC 3515 2.4.4)
  if (tagOf(headers.get('To') ?? '') !== undefined && /^\s*refer\s*(?:;|$)/i.test(headers.get('Event') ?? ''))
    return onStandalone(transaction, classified, deps);
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
