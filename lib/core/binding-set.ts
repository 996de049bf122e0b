/**
 * The set of bindings of one AOR and how an accepted REGISTER changes it (RFC 3261 10.3, RFC 5626 6, RFC 8599 4.1).
 * Decides which REGISTERs come from the same device. Stores nothing, knows no clock.
 */
import { createHmac, hash } from 'node:crypto';
import type { Contact } from '../sip/contact.ts';
import type { Flow } from '../sip/flow.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { type PushAsk, stripPush } from '../sip/push-params.ts';
import { parseUri, type SipUri } from '../sip/uri.ts';
import { sameUri } from '../sip/uri-compare.ts';
import type { Aor, Binding, PushToken } from './binding.ts';
import { afterRegister } from './token-life.ts';

export interface AcceptedContact {
  /** fully built, id included */
  readonly binding: Binding;
  /** granted seconds; 0 removes */
  readonly expires: number;
}

export interface AcceptedRegister {
  readonly aor: Aor;
  readonly callId: string;
  readonly cseq: number;
  /** `*` removes all */
  readonly contacts: readonly AcceptedContact[] | '*';
}

export type BindingChange =
  | {
      readonly is: 'changed';
      /** what is to be stored: push records whose registration has ended among them */
      readonly bindings: readonly Binding[];
      /** ids */
      readonly added: readonly string[];
      readonly refreshed: readonly string[];
      readonly removed: readonly string[];
    }
  /** nothing to store: a retransmission, or the removal of what is not there */
  | { readonly is: 'unchanged'; readonly bindings: readonly Binding[] }
  /** same Call-ID and CSeq not higher (RFC 3261 10.3 step 7): nothing may change */
  | { readonly is: 'stale' }
  /** more bindings than allowed for one AOR */
  | { readonly is: 'full' };

/** What tells devices apart. */
interface Device {
  readonly instanceId: string | undefined;
  readonly regId: number | undefined;
  readonly push:
    | {
        readonly provider: string;
        readonly param: string | undefined;
        readonly tokens: readonly Pick<PushToken, 'token'>[];
      }
    | undefined;
  /** the Contact URI without push parameters; text when it is no SIP URI. Read only when nothing better tells. */
  readonly uri: () => SipUri | string;
}

export function liveBindings(bindings: readonly Binding[], now: number): readonly Binding[] {
  return bindings.every((binding) => binding.expiresAt > now)
    ? bindings
    : bindings.filter((binding) => binding.expiresAt > now);
}

/** Those that a request may be for: the live ones, and those whose phone can still be woken to register anew. */
export function wakeableBindings(bindings: readonly Binding[], now: number): readonly Binding[] {
  return bindings.every((binding) => isWakeable(binding, now))
    ? bindings
    : bindings.filter((binding) => isWakeable(binding, now));
}

function isWakeable({ expiresAt, wakeableUntil, push }: Binding, now: number): boolean {
  if (expiresAt > now) return true;
  return wakeableUntil !== undefined && wakeableUntil > now && push !== undefined && push.deadSince === undefined;
}

/** When a store may forget this set, ms since the epoch: no phone in it is registered or can be woken any more. */
export function keptUntil(bindings: readonly Binding[]): number {
  return bindings.reduce((latest, { expiresAt, wakeableUntil, push }) => {
    const woken = push === undefined || push.deadSince !== undefined ? undefined : wakeableUntil;
    return Math.max(latest, expiresAt, woken ?? 0);
  }, 0);
}

/** The phone behind a binding, for calls: all flows of one instance are one phone and get one INVITE (RFC 5626 7, PN-INT-03). */
export function phoneOf(binding: Binding): string {
  return binding.instanceId ?? binding.id;
}

/**
 * The name under which others know the phone: that of its one binding, or, where it may have several flows (reg-id), one made of its
 * instance-id, so that all of them are one phone to the PBX.
 */
export function phoneName({
  id,
  instanceId,
  regId,
}: Partial<Pick<Binding, 'instanceId' | 'regId'>> & Pick<Binding, 'id'>): string {
  return instanceId === undefined || regId === undefined ? id : instanceName(instanceId);
}

/** Whether a call for this name is for this binding: its own id, or the instance it belongs to. */
export function answersTo(binding: Binding, name: string): boolean {
  return binding.id === name || (binding.instanceId !== undefined && instanceName(binding.instanceId) === name);
}

/** 20 hexadecimal digits, as a binding id has. */
export function instanceName(instanceId: string): string {
  return hash('sha256', `instance ${instanceId}`, 'hex').slice(0, 20);
}

/**
 * The binding this Contact refreshes: by instance-id (and reg-id), else by push resource, else by contact, else, when the
 * Call-ID is given, by Call-ID among pushed bindings of one app without instance-id (PN-DEREG-04).
 */
export function matchDevice(
  bindings: readonly Binding[],
  contact: Contact,
  ask: PushAsk,
  callId?: string,
): Binding | undefined {
  if (bindings.length === 0) return undefined;
  return match(bindings, deviceOf(contact, ask), callId, new Set());
}

/** `touched`: bindings of the same REGISTER, which share its Call-ID without being the same device. */
function match(
  bindings: readonly Binding[],
  device: Device,
  callId: string | undefined,
  touched: ReadonlySet<string>,
): Binding | undefined {
  const known = bindings.map((binding) => [binding, deviceOfBinding(binding)] as const);
  const find = (same: (a: Device, b: Device) => boolean): Binding | undefined =>
    known.find(([, other]) => same(device, other))?.[0];
  return (
    find((a, b) => sameInstance(a, b) && a.regId === b.regId) ??
    find((a, b) => sameInstance(a, b) && !otherFlow(a, b)) ??
    find(samePushResource) ??
    find(sameContact) ??
    (callId === undefined
      ? undefined
      : known.find(
          ([binding, other]) => binding.callId === callId && !touched.has(binding.id) && sameApp(device, other),
        )?.[0])
  );
}

function sameInstance(a: Device, b: Device): boolean {
  return a.instanceId !== undefined && a.instanceId === b.instanceId;
}

/** Two flows of one phone (RFC 5626): two bindings, whatever else they share. */
function otherFlow(a: Device, b: Device): boolean {
  return sameInstance(a, b) && a.regId !== undefined && b.regId !== undefined && a.regId !== b.regId;
}

function samePushResource(a: Device, b: Device): boolean {
  if (a.push === undefined || b.push === undefined || otherFlow(a, b)) return false;
  if (a.push.provider !== b.push.provider || a.push.param !== b.push.param) return false;
  const { tokens } = b.push;
  return a.push.tokens.some(({ token }) => tokens.some((other) => other.token === token));
}

/** Phones in two homes may have one private address: two instance-ids tell them apart. */
function sameContact(a: Device, b: Device): boolean {
  if (otherFlow(a, b)) return false;
  if (a.instanceId !== undefined && b.instanceId !== undefined && a.instanceId !== b.instanceId) return false;
  const one = a.uri();
  const other = b.uri();
  return typeof one === 'string' || typeof other === 'string' ? one === other : sameUri(one, other);
}

/** New token and new port at once, no instance-id: only the Call-ID still says that it is the same phone. */
function sameApp(a: Device, b: Device): boolean {
  if (a.instanceId !== undefined || b.instanceId !== undefined || a.push === undefined || b.push === undefined)
    return false;
  return a.push.provider === b.push.provider && a.push.param === b.push.param;
}

function deviceOf(contact: Contact, ask: PushAsk): Device {
  return {
    instanceId: contact.instanceId,
    regId: contact.instanceId === undefined ? undefined : contact.regId,
    push: ask.is === 'push' ? ask : undefined,
    uri: () => comparable(contact.uriText),
  };
}

function deviceOfBinding(binding: Binding): Device {
  return {
    instanceId: binding.instanceId,
    regId: binding.instanceId === undefined ? undefined : binding.regId,
    push: binding.push,
    uri: () => comparable(parseNameAddr(binding.contact)?.uri ?? binding.target),
  };
}

function comparable(uriText: string): SipUri | string {
  const stripped = stripPush(uriText);
  return parseUri(stripped) ?? stripped;
}

export interface BindingLimits {
  readonly maxBindings: number;
  /** one more is refused, or takes the place of the one that has not registered for longest; refuse when left out */
  readonly whenFull?: 'refuse' | 'replace_oldest';
}

/** Applies one REGISTER that was accepted: all of its Contacts or none (PN-INT-13). `now`: ms since the epoch. */
export function acceptRegister(
  bindings: readonly Binding[],
  register: AcceptedRegister,
  now: number,
  limits: BindingLimits,
): BindingChange {
  const live = wakeableBindings(bindings, now);
  if (register.contacts === '*') return removeAll(live, register, now);
  const before = new Map(live.map((binding) => [binding.id, binding]));
  const set = new Map(before);
  const touched = new Set<string>();
  // what stays comes first: a phone that moved names its old address with expires=0 in the same REGISTER (PJSIP does), on
  // whichever side of the new one, and by instance-id or token both are one device
  const contacts = [...register.contacts.filter(stays), ...register.contacts.filter((contact) => !stays(contact))];
  for (const { binding: candidate, expires } of contacts) {
    const known = [...set.values()];
    const device = deviceOfBinding(candidate);
    const matched = match(known, device, register.callId, touched) ?? set.get(candidate.id);
    // what has ended is no step in a sequence any more, only a phone that is known again
    const isSuccessor = matched === undefined || touched.has(matched.id) || matched.expiresAt <= now;
    if (!isSuccessor && isStale(matched, register)) {
      if (expires <= 0 || !isRepeated(matched, candidate)) return { is: 'stale' };
      touched.add(matched.id);
      continue;
    }
    if (expires <= 0) {
      if (matched !== undefined && !touched.has(matched.id) && !isFormerAddress(matched, candidate.target))
        set.delete(matched.id);
      continue;
    }
    const id = matched?.id ?? candidate.id;
    touched.add(id);
    // one token, one device: whoever brought it before has lost it
    for (const other of known)
      if (other.id !== id && samePushResource(device, deviceOfBinding(other))) set.delete(other.id);
    const accepted = {
      ...candidate,
      id,
      ...formerOf(matched, candidate),
      ...(candidate.push && { push: afterRegister(matched?.push, candidate.push) }),
    };
    set.set(id, accepted);
  }
  if (!makeRoom(set, before, touched, limits, now)) return { is: 'full' };
  const added = [...set.keys()].filter((id) => !before.has(id));
  const refreshed = [...set.keys()].filter((id) => before.has(id) && before.get(id) !== set.get(id));
  const removed = [...before.keys()].filter((id) => !set.has(id));
  if (added.length + refreshed.length + removed.length === 0) return { is: 'unchanged', bindings: live };
  return { is: 'changed', bindings: [...set.values()], added, refreshed, removed };
}

/** A flow that leads nowhere: of a phone that has never registered, or has taken its registration back. */
export const noFlow: Flow = { transport: 'udp', address: '0.0.0.0', port: 9, engine: 'none' };

/** Phones that an operator has made stay when they take their registration back: they sleep then, and are pushed. */
export function keepProvisioned(before: readonly Binding[], change: BindingChange): BindingChange {
  if (change.is !== 'changed') return change;
  const kept = before.filter(({ id, provisioned }) => provisioned === true && change.removed.includes(id));
  if (kept.length === 0) return change;
  return {
    ...change,
    bindings: [...change.bindings, ...kept.map((binding) => ({ ...binding, flow: noFlow }))],
    removed: change.removed.filter((id) => !kept.some((one) => one.id === id)),
  };
}

/**
 * Whether taking back `gone` means an address that the phone has left: it has registered from another one since, and by instance-id or
 * token both are one device (pjsip takes the old Contact back in a REGISTER of its own, before or after the new one).
 */
export function isFormerAddress(known: Binding, gone: string): boolean {
  if (sameAddress(known.target, gone)) return false;
  return known.formerTargets?.some((former) => sameAddress(former, gone)) === true;
}

/** So many networks a phone may have left before it takes back the first. */
const rememberedTargets = 3;

function formerOf(before: Binding | undefined, { target }: Binding): Pick<Binding, 'formerTargets'> {
  if (before === undefined) return {};
  const left = [before.target, ...(before.formerTargets ?? [])].filter((former) => !sameAddress(former, target));
  return left.length === 0 ? {} : { formerTargets: left.slice(0, rememberedTargets) };
}

/** Host and port are where a phone is; parameters are not. */
function sameAddress(one: string, other: string): boolean {
  const a = parseUri(one);
  const b = parseUri(other);
  if (a === undefined || b === undefined) return one === other;
  return a.host.toLowerCase() === b.host.toLowerCase() && a.port === b.port;
}

function stays({ expires }: AcceptedContact): boolean {
  return expires > 0;
}

/** `Contact: *` (RFC 3261 10.3 step 6): all or, when one of them may not be changed by this request, none. */
function removeAll(live: readonly Binding[], register: AcceptedRegister, now: number): BindingChange {
  if (live.length === 0) return { is: 'unchanged', bindings: live };
  if (live.some((binding) => binding.expiresAt > now && isStale(binding, register))) return { is: 'stale' };
  return { is: 'changed', bindings: [], added: [], refreshed: [], removed: live.map((binding) => binding.id) };
}

function isStale(stored: Binding, register: AcceptedRegister): boolean {
  return stored.callId === register.callId && register.cseq <= stored.cseq;
}

/** The same REGISTER once more, not an older one. */
function isRepeated(stored: Binding, again: Binding): boolean {
  return (
    stored.cseq === again.cseq &&
    stored.contact === again.contact &&
    stored.push?.provider === again.push?.provider &&
    stored.push?.param === again.push?.param &&
    JSON.stringify(stored.push?.tokens) === JSON.stringify(again.push?.tokens)
  );
}

/**
 * A new flow of a known phone takes the place of its oldest one (EDGE-REG-15); false when that is not enough.
 * A limit that was lowered later turns no refresh away.
 */
function makeRoom(
  set: Map<string, Binding>,
  before: ReadonlyMap<string, Binding>,
  touched: ReadonlySet<string>,
  { maxBindings, whenFull }: BindingLimits,
  now: number,
): boolean {
  // who is registered comes before who could only be woken
  const lapsed = [...set.values()].filter(({ id, expiresAt }) => expiresAt <= now && !touched.has(id));
  for (const { id } of lapsed.sort((a, b) => a.registeredAt - b.registeredAt))
    if (set.size > maxBindings) set.delete(id);
  if (set.size <= maxBindings) return true;
  const added = [...set.values()].filter(({ id }) => !before.has(id));
  for (const { instanceId } of added) {
    if (set.size <= maxBindings || instanceId === undefined) continue;
    const others = [...set.values()].filter((other) => other.instanceId === instanceId && !touched.has(other.id));
    const oldest = others.sort((a, b) => a.registeredAt - b.registeredAt)[0];
    if (oldest !== undefined) set.delete(oldest.id);
  }
  if (whenFull === 'replace_oldest' && added.length > 0) {
    const others = [...set.values()].filter(({ id }) => !touched.has(id));
    others.sort((a, b) => a.registeredAt - b.registeredAt);
    for (const { id } of others.slice(0, Math.max(0, set.size - maxBindings))) set.delete(id);
  }
  return set.size <= maxBindings || added.length === 0;
}

/**
 * The id of a device that has no binding yet: 20 hexadecimal digits, the same for the same device on every node.
 * A device that has a binding keeps the id of that binding (matchDevice).
 */
export function bindingId(secret: string, aor: Aor, contact: Contact, ask: PushAsk): string {
  const device = deviceOf(contact, ask);
  let identity: readonly unknown[];
  if (device.instanceId !== undefined) identity = ['instance', device.instanceId, device.regId ?? 0];
  else if (device.push !== undefined)
    identity = [
      'push',
      device.push.provider,
      device.push.param ?? '',
      device.push.tokens.map(({ token }) => token).sort(),
    ];
  else identity = ['contact', stripPush(contact.uriText)];
  return createHmac('sha256', secret)
    .update(JSON.stringify([aor, ...identity]))
    .digest('hex')
    .slice(0, 20);
}
