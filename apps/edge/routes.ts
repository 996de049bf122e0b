/**
 * What happens to each request, in order: screen, classify, then exactly one use-case. This page is the table of contents of the
 * edge; the status codes that leave here are listed in docs/architecture.md.
 */
import type { Domain } from '../../lib/core/domain.ts';
import { liveBindings } from '../../lib/core/binding-set.ts';
import { EdgeError, errorTable } from '../../lib/errors.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { registerHere } from '../../lib/register/registrar.ts';
import { registerUpstream } from '../../lib/register/mid-registrar.ts';
import { readRegister, type RegisterDeps } from '../../lib/register/read-register.ts';
import { placeCall, type PlaceCallDeps } from '../../lib/relay/place-call.ts';
import { relayStandalone, type StandaloneDeps } from '../../lib/relay/standalone.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { flowUri } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { canBeReached, wake, type WakeDeps } from '../../lib/wake/wake.ts';
import { authenticate, type AuthenticateDeps } from './middleware/authenticate.ts';
import { classify, domainOf, type Classified, type Classifier } from './middleware/classify.ts';
import { screen } from './middleware/screen.ts';

export interface RouteDeps {
  readonly classifier: Classifier;
  readonly authenticate: AuthenticateDeps;
  readonly register: RegisterDeps;
  readonly wake: WakeDeps;
  readonly placeCall: PlaceCallDeps;
  readonly standalone: StandaloneDeps;
  readonly store: LocationStore;
  readonly now: () => number;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly draining: () => boolean;
}

/** Everything that may be asked of the edge, for Allow. */
const allow =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER, UPDATE, PRACK';

/** What strangers can have us say as often as they like. */
const sentences = {
  refused: 'request refused',
  notRegistered: 'request from a phone that is not registered from there',
  failed: 'request failed',
} as const;

/** With what the use-cases say of requests they refuse: these must not fill the log. */
export const saidToStrangers: readonly string[] = [
  ...Object.values(sentences),
  'REGISTER refused',
  'REGISTER refused by the PBX',
  'no room to hold another INVITE',
];

/** Takes every request outside a dialog; answers each exactly once and never throws. */
export async function route(transaction: ServerTransaction | InviteTransaction, deps: RouteDeps): Promise<void> {
  const { method } = transaction.request;
  try {
    const refusal = screen(transaction);
    if (refusal !== undefined) {
      deps.telemetry.count('refusals', { reason: refusal.why });
      return void (await transaction.respond(refusal.answer));
    }
    if (method === 'REGISTER') return await onRegister(transaction, deps);
    const classified = classify(transaction, deps.classifier);
    if (classified.is === 'refused') {
      deps.telemetry.count('refusals', { reason: classified.why });
      deps.log.info(
        { method, status: classified.status, reason: classified.why, remote: transaction.flow.address },
        sentences.refused,
      );
      return void (await transaction.respond({ status: classified.status }));
    }
    if (method === 'OPTIONS' && classified.is !== 'to-upstream') return await onOptions(transaction, classified, deps);
    if (method === 'INVITE') return await onInvite(transaction as InviteTransaction, classified, deps);
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

async function onRegister(transaction: ServerTransaction, deps: RouteDeps): Promise<void> {
  const to = parseNameAddr(transaction.request.headers.get('To') ?? '');
  const aor = aorOf(to?.uri ?? '');
  const known = aor === undefined ? undefined : domainOf(deps.classifier.domains, aor.slice(aor.lastIndexOf('@') + 1));
  if (aor === undefined || known === undefined) {
    deps.telemetry.count('registrations', { result: 'rejected' });
    return void (await transaction.respond({ status: aor === undefined ? 400 : 404 }));
  }
  const { domain } = known;
  if (domain.registration === 'registrar') {
    const sender = await authenticate(transaction, domain, aor, 401, deps.authenticate);
    if (sender !== 'passed')
      return deps.telemetry.count('registrations', { result: sender === 'challenged' ? 'challenged' : 'rejected' });
  }
  const asked = await readRegister(transaction, domain, aor, deps.register);
  if (asked === undefined) return;
  await (domain.registration === 'registrar'
    ? registerHere(asked, deps.register)
    : registerUpstream(asked, deps.register));
}

async function onInvite(transaction: InviteTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  if (deps.draining()) {
    deps.telemetry.count('refusals', { reason: 'draining' });
    return void (await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) }));
  }
  switch (classified.is) {
    case 'to-device':
      return wake(transaction, { aor: classified.aor, bindingId: classified.bindingId, from: 'upstream' }, deps.wake);
    case 'to-user': {
      if (!classified.trusted && (await authenticateCaller(transaction, classified.domain, deps)) === 'answered')
        return;
      const registered = await bindingsOf(classified.aor, deps);
      if (registered.length > 0)
        return wake(
          transaction,
          { aor: classified.aor, bindingId: undefined, from: classified.trusted ? 'upstream' : 'phone' },
          deps.wake,
        );
      // a phone calls somebody we do not know: that is what the PBX is for; what the PBX itself sends here ends here
      if (!classified.trusted) return placeCall(transaction, classified.domain, deps.placeCall);
      return void (await transaction.respond({
        status: (await isUser(classified.aor, classified.domain, deps)) ? 480 : 404,
      }));
    }
    case 'to-upstream':
      if (!(await mayCall(transaction, classified.domain, classified.from, deps))) return;
      return placeCall(transaction, classified.domain, deps.placeCall);
    case 'to-edge':
    case 'refused':
      return void (await transaction.respond({ status: 404 }));
    default:
      return classified satisfies never;
  }
}

/** OPTIONS never wakes anybody (PN-PROXY-33): 200 while the phone can be reached or woken, 480 when not. */
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
  const bindings = await bindingsOf(classified.aor, deps);
  const called = classified.is === 'to-device' ? bindings.filter(({ id }) => id === classified.bindingId) : bindings;
  const wakeable = called.some((binding) => canBeReached(binding, deps.wake.policy, deps.now()));
  await transaction.respond(wakeable ? { status: 200, headers } : { status: 480 });
}

async function onStandalone(transaction: ServerTransaction, classified: Classified, deps: RouteDeps): Promise<void> {
  switch (classified.is) {
    case 'to-device':
    case 'to-user': {
      if (
        classified.is === 'to-user' &&
        !classified.trusted &&
        (await authenticateCaller(transaction, classified.domain, deps)) === 'answered'
      )
        return;
      const bindings = await bindingsOf(classified.aor, deps);
      const binding =
        classified.is === 'to-device' ? bindings.find(({ id }) => id === classified.bindingId) : bindings.at(-1);
      if (binding === undefined) return void (await transaction.respond({ status: 480 }));
      return relayStandalone(
        transaction,
        {
          uri: binding.target,
          nextHop: flowUri(binding.flow),
          to: `<sip:${binding.aor}>`,
          from: classified.is === 'to-user' && !classified.trusted ? 'phone' : 'upstream',
          towards: 'phone',
        },
        deps.standalone,
      );
    }
    case 'to-upstream':
      if (!(await mayCall(transaction, classified.domain, classified.from, deps))) return;
      return relayStandalone(
        transaction,
        {
          uri: transaction.request.uri,
          nextHop: classified.domain.upstream,
          from: 'phone',
          towards: 'upstream',
          realm: classified.domain.registration === 'registrar' ? classified.domain.realm : undefined,
        },
        deps.standalone,
      );
    case 'to-edge':
    case 'refused':
      return void (await transaction.respond({ status: 404 }));
    default:
      return classified satisfies never;
  }
}

/** Who is from a phone proves it: to us where we are the registrar, to the PBX elsewhere (then it must at least be registered from there). */
async function mayCall(
  transaction: ServerTransaction,
  domain: Domain,
  from: string | undefined,
  deps: RouteDeps,
): Promise<boolean> {
  if (domain.registration === 'registrar') return (await authenticateCaller(transaction, domain, deps)) !== 'answered';
  const bindings = from === undefined ? [] : await bindingsOf(from, deps);
  if (bindings.some(({ flow }) => flow.address === transaction.flow.address)) return true;
  deps.telemetry.count('refusals', { reason: 'not-registered' });
  deps.log.info(
    { method: transaction.request.method, aor: from, remote: transaction.flow.address },
    sentences.notRegistered,
  );
  await transaction.respond({ status: 403, reason: 'Register First' });
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

async function bindingsOf(aor: string, deps: RouteDeps) {
  return liveBindings((await deps.store.read(aor)).bindings, deps.now());
}

async function isUser(aor: string, domain: Domain, deps: RouteDeps): Promise<boolean> {
  const user = aor.slice(0, aor.lastIndexOf('@'));
  return domain.users.has(user) || (await deps.store.readSecret(user, domain.realm)) !== undefined;
}
