/** Whom a request is for: the bindings of one phone or of the user, or the status that says why there are none. */
import type { Binding } from '../../lib/core/binding.ts';
import type { Domain } from '../../lib/core/domain.ts';
import { answersTo, liveBindings, wakeableBindings } from '../../lib/core/binding-set.ts';
import { everyDevice } from '../../lib/core/contact-token.ts';
import { isOfCall } from '../../lib/core/gruu.ts';
import { modes } from '../../lib/core/modes.ts';
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { Called } from '../../lib/wake/called.ts';
import type { Classified, RouteDeps } from './route-deps.ts';

export function calledBy(
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

/** The bindings a request is for: of one phone, or of the user. */
export function called(
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

/** undefined: the Contact is that of a registration of the edge itself, for all devices of the AOR. */
export function oneDevice({ bindingId }: Extract<Classified, { is: 'to-device' }>): string | undefined {
  return bindingId === everyDevice ? undefined : bindingId;
}

/** Whom a request may be for: also who is not registered any more and can still be woken. */
export async function wakeableOf(aor: string, deps: RouteDeps) {
  return wakeableBindings((await deps.store.read(aor)).bindings, deps.now());
}

export async function bindingsOf(aor: string, deps: RouteDeps) {
  return liveBindings((await deps.store.read(aor)).bindings, deps.now());
}

/** 480 for a user or phone that is not registered; 404 for one there is not, and for a temporary GRUU that has ended (PN-INT-10, -11). */
export async function withoutPhone(
  { aor, domain, gruu }: Extract<Classified, { is: 'to-user' }>,
  deps: RouteDeps,
): Promise<404 | 480> {
  return gruu?.call === undefined && (await isUser(aor, domain, deps)) ? 480 : 404;
}

export async function isUser(aor: string, domain: Domain, deps: RouteDeps): Promise<boolean> {
  const user = aor.slice(0, aor.lastIndexOf('@'));
  return domain.users.has(user) || (await deps.store.readSecret(user, domain.realm)) !== undefined;
}
