/** Who asks: proof by password or by registration, the phone behind a request, and the account the edge speaks with for it. */
import type { Binding } from '../../lib/core/binding.ts';
import type { Domain } from '../../lib/core/domain.ts';
import { modes } from '../../lib/core/modes.ts';
import { saysWhere } from '../../lib/call/dialog-contacts.ts';
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { ServerTransaction } from '../../lib/ports/server-transaction.ts';
import { clientWith, dialogWith, legsWith } from '../../lib/behalf/credentials.ts';
import type { PlaceCallDeps } from '../../lib/relay/place-call.ts';
import type { StandaloneDeps } from '../../lib/relay/standalone.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { flowUri } from '../../lib/sip/flow.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { phoneOfDialog, WakefulDialog } from '../../lib/wake/wakeful-dialog.ts';
import { authenticate } from './middleware/authenticate.ts';
import { isRegistrar } from './middleware/classify.ts';
import { type Classified, type Found, type RouteDeps, sentences } from './route-deps.ts';
import { bindingsOf } from './whom.ts';

/** A call of the trunk whose address proves nothing shows the password of one of its users; undefined: it has been answered. */
export async function throughTrunk(
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

/** The dialog of a PBX that calls an account of the edge: when it challenges what is said in it, the edge answers. */
export async function answering(
  { domain, aor }: Extract<Classified, { is: 'to-device' }>,
  deps: RouteDeps,
): Promise<(caller: Dialog) => Dialog> {
  if (modes[domain.registration].credentialsUpstream !== 'account') return asItIs;
  const login = await deps.loginOf?.(aor);
  return login === undefined ? asItIs : (dialog) => dialogWith(dialog, login);
}

/** What a phone says to the PBX is said by its account where the edge holds one. */
export async function withAccount<T extends Partial<Pick<PlaceCallDeps, 'legs'> & Pick<StandaloneDeps, 'client'>>>(
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
export async function wakefulCaller(
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

/** The phone that a request comes from, where the other side has to be told where it is. */
export async function senderOf(transaction: ServerTransaction, deps: RouteDeps): Promise<Binding | undefined> {
  const { flow, request } = transaction;
  if (!saysWhere(request)) return undefined;
  const aor = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  const bindings = aor === undefined ? [] : await bindingsOf(aor, deps);
  return registeredFrom(transaction, bindings) ?? bindings.find((one) => one.flow.address === flow.address);
}

/** Of phones behind one proxy, which share its flow, the one whose Contact stands in the request. */
export function registeredFrom(
  { flow, request }: ServerTransaction,
  bindings: readonly Binding[],
): Binding | undefined {
  const here = bindings.filter((one) => flowUri(one.flow) === flowUri(flow));
  const contact = parseNameAddr(request.headers.list('Contact')[0] ?? '')?.uri;
  return here.find(({ target, path }) => path.length > 0 && target === contact) ?? here[0];
}

export async function registerFirst(
  transaction: ServerTransaction,
  aor: string | undefined,
  deps: RouteDeps,
): Promise<void> {
  deps.telemetry.count('refusals', { reason: 'not-registered' });
  deps.log.info({ method: transaction.request.method, aor, remote: transaction.flow.address }, sentences.notRegistered);
  await transaction.respond({ status: 403, reason: 'Register First' });
}

/** Who is from a phone proves it: to us where we are the registrar, to the PBX elsewhere (then it must at least be registered from there). */
export async function mayCall(
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

export async function authenticateCaller(
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

export const asItIs = (dialog: Dialog): Dialog => dialog;
