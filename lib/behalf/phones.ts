/**
 * Phones that nobody has ever seen register: an AOR and what a push service needs, told by an operator. They are bindings like others,
 * without a flow, until the phone registers; then the same device is one binding again.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { bindingId, liveBindings, matchDevice, noFlow } from '../core/binding-set.ts';
import { EdgeError } from '../errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { NodeBus } from '../ports/node-bus.ts';
import { parseContact } from '../sip/contact.ts';
import { Headers } from '../sip/headers.ts';
import { readPush, stripPush } from '../sip/push-params.ts';

export interface PhonesDeps {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly clock: Clock;
  /** secret behind binding ids, shared by all nodes of one store */
  readonly edgeSecret: string;
  readonly maxBindings: number;
  /** name of the configured app that can push it; undefined: none */
  readonly supports: (
    provider: string,
    param: string | undefined,
    tokens: readonly { readonly token: string }[],
  ) => string | undefined;
}

/** As a phone would say it in its Contact (RFC 8599 14). */
export interface NewPhone {
  readonly provider: string;
  readonly param: string | undefined;
  readonly prid: string;
  /** +sip.instance of the phone, when it is known: `urn:uuid:...` */
  readonly instanceId: string | undefined;
}

/** Longer than any phone lives, and an end all the same. */
const lifeMs = 20 * 366 * 86_400_000;
const attempts = 20;

export type Provisioned =
  | { readonly is: 'created' | 'replaced'; readonly id: string }
  | { readonly is: 'refused'; readonly why: string };

/** Rejects with EDGE_STORE_*. */
export async function putPhone(aor: Aor, phone: NewPhone, deps: PhonesDeps): Promise<Provisioned> {
  const user = aor.slice(0, aor.lastIndexOf('@'));
  const parts = { 'pn-provider': phone.provider, 'pn-param': phone.param, 'pn-prid': phone.prid };
  const params = Object.entries(parts).flatMap(([name, value]) =>
    value === undefined ? [] : [`;${name}=${encodeURIComponent(value)}`],
  );
  const instance = phone.instanceId === undefined ? '' : `;+sip.instance="<${phone.instanceId}>"`;
  const contact = parseContact(`<sip:${user}@phone.invalid${params.join('')}>${instance}`);
  const ask = contact === undefined ? undefined : readPush(contact, Headers.empty(), []);
  if (contact === undefined || ask?.is !== 'push')
    return {
      is: 'refused',
      why: ask?.is === 'incomplete' ? ask.why : 'this is nothing a phone could say in its Contact',
    };
  const app = deps.supports(ask.provider, ask.param, ask.tokens);
  if (app === undefined) return { is: 'refused', why: 'no configured app can push this provider, param and prid' };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const now = deps.clock.now();
    const { version, bindings } = await deps.store.read(aor);
    const live = liveBindings(bindings, now);
    const known = matchDevice(live, contact, ask);
    const id = known?.id ?? bindingId(deps.edgeSecret, aor, contact, ask);
    if (known === undefined && live.length >= deps.maxBindings)
      return {
        is: 'refused',
        why: `${aor} has ${live.length} devices, and that is as many as may be (registration.max_bindings)`,
      };
    const fresh: Binding = known ?? {
      id,
      aor,
      contact: contact.text,
      target: stripPush(contact.uriText),
      q: 1000,
      callId: 'provisioned',
      cseq: 0,
      flow: noFlow,
      path: [],
      registeredAt: now,
      expiresAt: 0,
      ...(contact.instanceId === undefined ? {} : { instanceId: contact.instanceId }),
    };
    const { provider, providerAsSent, environment, param, tokens, wakesItself } = ask;
    const push = { provider, providerAsSent, environment, param, tokens, app, wakesItself };
    const binding: Binding = { ...fresh, push, provisioned: true, expiresAt: now + lifeMs };
    const others = live.filter((other) => other.id !== id);
    if ((await deps.store.swap(aor, version, [...others, binding], now + lifeMs)) === 'stored')
      return { is: known === undefined ? 'created' : 'replaced', id };
  }
  throw contended();
}

/** Takes away a phone, whoever has made it; false when there is none. Rejects with EDGE_STORE_*. */
export async function removePhone(aor: Aor, id: string, { store, bus }: PhonesDeps): Promise<boolean> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const { version, bindings } = await store.read(aor);
    const left = bindings.filter((binding) => binding.id !== id);
    if (left.length === bindings.length) return false;
    const keepUntil = left.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), 0);
    if ((await store.swap(aor, version, left, keepUntil)) !== 'stored') continue;
    void bus.publish({ is: 'removed', aor, bindingId: id });
    return true;
  }
  throw contended();
}

function contended(): EdgeError {
  return new EdgeError(
    'EDGE_STORE_CONTENDED',
    'the bindings of one AOR changed again and again while a phone was provisioned',
  );
}
