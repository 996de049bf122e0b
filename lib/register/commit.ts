/**
 * Stores what a registrar has accepted and tells waiting calls (RFC 3261 10.3 step 7: all or nothing, atomic per AOR).
 * Reads, lets core/binding-set decide, swaps, and begins again when another REGISTER of this AOR came between.
 */
import type { Binding } from '../core/binding.ts';
import {
  type AcceptedRegister,
  acceptRegister,
  type BindingChange,
  keepProvisioned,
  keptUntil,
} from '../core/binding-set.ts';
import { nextRefresh, refreshTask } from '../core/refresh-schedule.ts';
import { canBePushed } from '../core/register-decision.ts';
import { EdgeError } from '../errors.ts';
import type { BindingChange as Published } from '../ports/node-bus.ts';
import { flowUri } from '../sip/flow.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { stripPush } from '../sip/push-params.ts';
import type { Asked, AskedContact, RegisterDeps } from './read-register.ts';

/** A contact together with what its registrar granted. */
export interface Granted {
  readonly asked: AskedContact;
  /** seconds for the phone; 0: removed */
  readonly expires: number;
  /** seconds at the PBX; undefined when the edge is the registrar */
  readonly upstreamExpires: number | undefined;
}

/** So many writers on one AOR in a row are no accident but a storm. */
const attempts = 50;

/** What the set is after the REGISTER; 'stale' and 'full' changed nothing. Rejects with EDGE_STORE_*. */
export async function commit(
  asked: Asked,
  granted: readonly Granted[] | '*',
  deps: RegisterDeps,
): Promise<BindingChange> {
  const now = deps.clock.now();
  const contacts: AcceptedRegister['contacts'] =
    granted === '*' ? '*' : granted.map((one) => ({ binding: bindingOf(asked, one, now, deps), expires: one.expires }));
  for (let attempt = 0; attempt < attempts; attempt++) {
    // what was read before the registrar was asked is nearly always still true, and the swap fails where it is not
    const { version, bindings } = attempt === 0 ? asked.read : await deps.store.read(asked.aor);
    const register = { aor: asked.aor, callId: asked.callId, cseq: asked.cseq, contacts };
    const limits = {
      maxBindings: deps.policy.maxBindings,
      ...(deps.policy.whenFull === undefined ? {} : { whenFull: deps.policy.whenFull }),
    };
    const change = keepProvisioned(bindings, acceptRegister(bindings, register, now, limits));
    if (change.is !== 'changed') {
      // no swap proves this one: look once more
      if (attempt === 0) continue;
      return change;
    }
    const [stored] = await Promise.all([
      deps.store.swap(asked.aor, version, change.bindings, Math.max(now, keptUntil(change.bindings))),
      schedule(asked, change, now, deps),
      // after the swap on the same way to the store: whoever takes a token from us later finds it there
      deps.mover?.registered(freshOf(change), bindings),
    ]);
    if (stored === 'stored') return change;
  }
  throw new EdgeError(
    'EDGE_STORE_CONTENDED',
    `the bindings of one AOR changed ${attempts} times while one REGISTER was stored`,
  );
}

function freshOf(change: Extract<BindingChange, { is: 'changed' }>): readonly Binding[] {
  const fresh = new Set([...change.added, ...change.refreshed]);
  return change.bindings.filter(({ id }) => fresh.has(id));
}

/** Beside the swap and not after it, so that no crash comes between; a task too many finds nothing to do. */
async function schedule({ aor }: Asked, change: BindingChange, now: number, deps: RegisterDeps): Promise<void> {
  const { refresh } = deps.policy;
  if (change.is !== 'changed' || refresh === undefined) return;
  const fresh = new Set([...change.added, ...change.refreshed]);
  for (const binding of change.bindings) {
    if (!fresh.has(binding.id) || binding.push === undefined) continue;
    const at = nextRefresh(binding, now, refresh);
    if (at !== undefined) await deps.agenda.put(refreshTask(aor, binding.id), at);
    else if (!binding.push.wakesItself) deps.telemetry.count('refreshImpossible');
  }
}

/** Publishes what changed, refreshes first: a held call must not wait for anything else. */
export function announce(asked: Asked, change: BindingChange, deps: RegisterDeps): void {
  if (change.is === 'stale' || change.is === 'full') return;
  const news = (is: 'refresh-accepted' | 'removed', bindingId: string): Published => ({
    is,
    aor: asked.aor,
    bindingId,
  });
  if (change.is === 'unchanged') {
    // the same REGISTER again: whoever waits may have missed the first news
    if (asked.contacts !== '*')
      for (const { id, expires } of asked.contacts)
        if (expires > 0) void deps.bus.publish(news('refresh-accepted', id));
    return;
  }
  for (const id of [...change.added, ...change.refreshed]) void deps.bus.publish(news('refresh-accepted', id));
  for (const id of change.removed)
    void deps.bus.publish(
      isMoving(asked, id) ? { is: 'removed', aor: asked.aor, bindingId: id, moving: true } : news('removed', id),
    );
}

/** The phone names the Contact it had, and speaks from somewhere else. */
function isMoving({ contacts, transaction, stored }: Asked, id: string): boolean {
  if (contacts === '*') return false;
  const known = stored.find((binding) => binding.id === id);
  return (
    known !== undefined &&
    flowUri(known.flow) !== flowUri(transaction.flow) &&
    contacts.some(
      ({ expires, contact, known: meant }) =>
        expires === 0 && meant?.id === id && stripPush(contact.uriText) === known.target,
    )
  );
}

function bindingOf(asked: Asked, granted: Granted, now: number, deps: RegisterDeps): Binding {
  const { contact, ask, decision, id, known } = granted.asked;
  const provisioned = known?.provisioned === true ? known : undefined;
  const { request, flow } = asked.transaction;
  const userAgent = request.headers.get('User-Agent');
  const wakes = decision.is === 'push' && ask.is === 'push' && pushable(granted, deps);
  return {
    id,
    aor: asked.aor,
    contact: contact.text,
    target: stripPush(contact.uriText),
    ...(contact.instanceId === undefined ? {} : { instanceId: contact.instanceId }),
    ...(contact.regId === undefined ? {} : { regId: contact.regId }),
    q: contact.q,
    callId: asked.callId,
    cseq: asked.cseq,
    flow,
    path: asked.path,
    ...(asked.mode.calledBy === 'flow-token' ? { byPath: true as const } : {}),
    ...(wakes
      ? {
          push: {
            provider: ask.provider,
            providerAsSent: ask.providerAsSent,
            environment: ask.environment,
            param: ask.param,
            tokens: ask.tokens,
            app: decision.app,
            wakesItself: ask.wakesItself,
          },
        }
      : provisioned?.push === undefined
        ? {}
        : { push: provisioned.push }),
    ...(decision.is === 'plain' && ask.is === 'push' ? { unsupportedPush: ask.provider } : {}),
    registeredAt: now,
    expiresAt: Math.max(now + granted.expires * 1000, provisioned?.expiresAt ?? 0),
    ...(wakes && deps.policy.wakeLapsedMs > 0
      ? { wakeableUntil: now + granted.expires * 1000 + deps.policy.wakeLapsedMs }
      : {}),
    ...(provisioned === undefined ? {} : { provisioned: true as const }),
    ...(granted.upstreamExpires === undefined ? {} : { upstreamExpiresAt: now + granted.upstreamExpires * 1000 }),
    ...(userAgent === undefined ? {} : { userAgent: userAgent.slice(0, 120) }),
  };
}

/** A grant too short to be refreshed by a push is a plain binding (PN-REG-09, row 4). */
export function pushable({ asked, expires }: Granted, { policy }: RegisterDeps): boolean {
  return asked.decision.is === 'push' && canBePushed(expires, policy);
}

/** `user@host` part of a Contact in another's answer that belongs to the edge itself; undefined for foreign contacts. */
export function userPartOf(contactValue: string): string | undefined {
  const uri = parseNameAddr(contactValue)?.uri;
  return uri === undefined ? undefined : /^sips?:([^@;?]+)@/i.exec(uri)?.[1];
}
