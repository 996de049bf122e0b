/**
 * The phones one request is for, as far as they are known at each moment: listens for refreshes, then looks into the store
 * (subscribe first, look second), tells core/held-invite which flows are worth trying, and pushes. Decides nothing.
 */
import type { Aor, Binding, PushRecord } from '../core/binding.ts';
import { breadthOf } from '../core/breadth.ts';
import { answersTo, phoneOf, wakeableBindings } from '../core/binding-set.ts';
import type { HoldEvent, Target } from '../core/hold-words.ts';
import { canPush, type PushClass, tokenFor } from '../core/push-class.ts';
import type { Rung, Sent } from '../core/push-ladder.ts';
import { type HoldGate, opening } from '../call/hold-gate.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { BindingNews, NodeBus } from '../ports/node-bus.ts';
import type { PushRuleBook } from '../ports/push-policy.ts';
import type { EndReason, PushOutcome, PushService } from '../ports/push-service.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { SipRequest } from '../sip/message.ts';
import type { Flow } from '../sip/flow.ts';
import { providerLabel } from '../telemetry/metrics.ts';
import type { Pushed, TokenKeeper } from '../tokens/keeper.ts';
import type { AwakeFlows } from './awake-flows.ts';
import { climbLadder } from './climb.ts';
import { isSameRegistration, keyOfFlow } from './known-flow.ts';
import { PhoneRules } from './phone-rules.ts';
import { pushDevice } from './push-device.ts';
import { isWorthTrying, type ReachPolicy } from './reach.ts';

export interface DevicesDeps {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly push: PushService;
  readonly tokens: TokenKeeper;
  readonly rules: PushRuleBook;
  readonly awake: AwakeFlows;
  readonly clock: Clock;
  /** asked before each push; without one nothing has to wait */
  readonly gate?: HoldGate | undefined;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** milliseconds with fractions, for measuring; never set back */
  readonly precise: () => number;
  readonly policy: ReachPolicy & {
    /** longest wait for the push service, ms */
    readonly pushDeadlineMs: number;
  };
}

export interface Wanted {
  readonly aor: Aor;
  /** undefined: every device of the AOR */
  readonly bindingId: string | undefined;
  /** what the push is about, and what it may say of the sender */
  readonly request: SipRequest;
  /** undefined: nobody is pushed for this request */
  readonly pushClass: PushClass | undefined;
  /** when the request came, ms since the epoch; now when left out */
  readonly arrivedAt?: number | undefined;
  /** longest wait for the phone to register, ms */
  readonly holdMs: number;
}

/** A flow on which a device may be reached, with the binding that brought it. */
export interface KnownFlow {
  readonly flow: Flow;
  readonly binding: Binding;
}

const lookAgainMs = 300;
/** Whoever has told of a REGISTER may have died before all have heard it: so the store is asked now and then, too. */
const lookEveryMs = 5000;
/**
 * A REGISTER that was stored so long before the request came may have its 200 and its news still to come: the phone takes it for the
 * answer to our push and sends no other. Where its news may have been missed, it counts as heard.
 */
const crossedMs = 2000;
const unknownPlace = 'a phone has registered, and the store does not say where';
const missedNews = 'phones may have registered unheard, and the store does not say which';
/** A phone that has taken back the Contact of its old network registers from the new one about a round trip later. */
const movesWithinMs = 2000;

export class Devices {
  readonly #wanted: Wanted;
  readonly #deps: DevicesDeps;
  readonly #tell: (event: HoldEvent) => void;
  readonly #callId: string;
  readonly #startedAt: number;
  /** ms since the epoch, to be compared with registeredAt */
  readonly #arrivedAt: number;
  /** by binding id; the newest we know */
  readonly #bindings = new Map<string, Binding>();
  /** device by binding id, as first seen: an app that was installed anew keeps its binding (same token) under a new instance-id */
  readonly #devices = new Map<string, string>();
  /** by the key that core/held-invite knows a flow by */
  readonly #flows = new Map<string, KnownFlow>();
  /** by device */
  readonly #pushedAt = new Map<string, number>();
  readonly #refreshedAt = new Map<string, number>();
  /** by device: what its climbs have sent */
  readonly #sent = new Map<string, Sent>();
  /** by device: pushes that a service took over */
  readonly #accepted = new Map<string, readonly { readonly pushed: Pushed; readonly high: boolean }[]>();
  /** by binding id: registrations whose flow the core knows to be worth trying */
  readonly #told = new Map<string, Binding>();
  readonly #rules: PhoneRules;
  /** by device: takes back the watch over its flows */
  readonly #watches = new Map<string, () => void>();
  /** take back the wait for phones that are moving */
  readonly #moving = new Set<() => void>();
  #early: BindingNews[] | undefined = [];
  #unsubscribe: (() => void) | undefined;
  #stopLooking: (() => void) | undefined;
  #over = false;
  /** how many phones the request may reach (RFC 5393 5.3.3) */
  readonly breadth: number;

  constructor(wanted: Wanted, deps: DevicesDeps, tell: (event: HoldEvent) => void) {
    this.#wanted = wanted;
    this.breadth = breadthOf(wanted.request.headers);
    this.#deps = deps;
    this.#tell = tell;
    this.#callId = wanted.request.headers.get('Call-ID') ?? '';
    this.#startedAt = deps.precise();
    this.#arrivedAt = wanted.arrivedAt ?? deps.clock.now();
    this.#rules = new PhoneRules(wanted, this.#arrivedAt, deps);
  }

  /** Finds the devices; news is kept until `listen`. Rejects with EDGE_STORE_UNAVAILABLE, then nothing is left to close. */
  async open(): Promise<readonly Target[]> {
    this.#unsubscribe = await this.#deps.bus.subscribe(this.#wanted.aor, (news) => {
      if (this.#early === undefined) void this.#hear(news);
      else this.#early.push(news);
    });
    const found = await this.#look().catch((error: unknown) => {
      this.close();
      throw error;
    });
    for (const binding of found) this.#bindings.set(binding.id, binding);
    await this.#rules.ask(found);
    return found.map((binding) => this.#target(binding));
  }

  /** From now on news is told, that which came before too. */
  listen(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const news of early) void this.#hear(news);
    this.#lookNowAndThen();
  }

  #lookNowAndThen(): void {
    if (this.#over) return;
    this.#stopLooking = this.#deps.clock.after(lookEveryMs, () => {
      void this.#hearUnheard(false).then(() => this.#lookNowAndThen());
    });
  }

  close(): void {
    this.#over = true;
    this.#stopLooking?.();
    for (const stop of this.#watches.values()) stop();
    this.#watches.clear();
    for (const stop of this.#moving) stop();
    this.#moving.clear();
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  /** ms since the request came */
  get elapsed(): number {
    return this.#deps.precise() - this.#startedAt;
  }

  /** The flow behind a key. */
  known(key: string): KnownFlow | undefined {
    return this.#flows.get(key);
  }

  /** The same, measured as the moment the request is released to the device. */
  take(device: string, key: string): KnownFlow | undefined {
    const known = this.#flows.get(key);
    if (known === undefined) return undefined;
    const refreshedAt = this.#refreshedAt.get(device);
    if (refreshedAt !== undefined)
      this.#deps.telemetry.observe('registerToInvite', (this.#deps.precise() - refreshedAt) / 1000);
    return known;
  }

  /** Key and flow of the device's newest registration, worth trying or not. */
  registered(device: string): { readonly key: string; readonly flow: Flow } | undefined {
    const binding = this.#find(device, () => true);
    return binding && { key: this.#keyOf(binding), flow: binding.flow };
  }

  /** As HoldPlan.push. */
  async push(device: string, signal: AbortSignal): Promise<boolean | 'gave-up'> {
    const { pushClass } = this.#wanted;
    const binding = this.#find(device, ({ push }) => canPush(push, pushClass));
    if (binding?.push === undefined || pushClass === undefined) return this.#cannotPush(device);
    const { push } = binding;
    const now = this.#deps.precise();
    const cameSince = (this.#refreshedAt.get(device) ?? 0) > (this.#pushedAt.get(device) ?? Number.POSITIVE_INFINITY);
    this.#pushedAt.set(device, now);
    this.#deps.telemetry.observe('inviteToPush', (now - this.#startedAt) / 1000);
    this.#watch(device);
    const alive = push.tokens.filter(
      ({ token }) => !this.#deps.tokens.isKnownDead(push.provider, token, binding.registeredAt),
    );
    const facts = {
      pushClass,
      push: { tokens: alive, ...(push.life === undefined ? {} : { life: push.life }) },
      rules: this.#rules.of(binding),
      cameSince,
      now: this.#deps.clock.now(),
    };
    const { end, sent } = await climbLadder(
      {
        facts,
        sent: this.#sent.get(device) ?? {},
        push: (rung, withdrawn) => this.#climbed(device, binding, push, pushClass, rung, withdrawn),
      },
      this.#deps.clock,
      signal,
    );
    this.#sent.set(device, sent);
    return end === 'gave-up' ? end : end !== 'refused';
  }

  async #climbed(
    device: string,
    binding: Binding,
    push: PushRecord,
    pushClass: PushClass,
    { token, repeat, priority }: Rung,
    signal: AbortSignal,
  ): Promise<PushOutcome> {
    const { request, holdMs } = this.#wanted;
    const wait = opening(this.#deps.gate);
    if (wait !== undefined) await wait;
    if (signal.aborted) return { is: 'cancelled' };
    const at = this.#deps.clock.now();
    const outcome = await pushDevice(
      {
        ...{ binding, push, token, pushClass, request },
        holdMs: Math.max(0, holdMs - (at - this.#arrivedAt)),
        ...(repeat > 0 ? { repeat } : {}),
        ...(priority === 'normal' ? { priority } : {}),
      },
      this.#deps,
      signal,
    );
    if (outcome.is === 'accepted') {
      const pushed = { binding, token: token.token, at, occasion: this.#callId };
      this.#accepted.set(device, [...(this.#accepted.get(device) ?? []), { pushed, high: priority === 'high' }]);
    }
    return outcome;
  }

  /** These were pushed and have not come: written down with their tokens. Nobody waits for that. */
  noteUnanswered(devices: Iterable<string> = this.#accepted.keys()): void {
    for (const device of [...devices]) {
      const accepted = this.#accepted.get(device) ?? [];
      this.#accepted.delete(device);
      if (this.#refreshedAt.has(device)) continue;
      for (const { pushed, high } of accepted) void this.#deps.tokens.unanswered(pushed, high);
    }
  }

  /** How long a leg to this device may be silent before it is pushed, ms; undefined: as all others. */
  silentMs(leg: string): number | undefined {
    const device = leg.slice(0, leg.lastIndexOf('/'));
    const binding = this.#find(device, ({ push }) => canPush(push, this.#wanted.pushClass));
    return binding && this.#rules.of(binding).idleMs;
  }

  /** A request from the phone is as good as a refresh where it was registered already (AMB-14). */
  #watch(device: string): void {
    this.#watches.get(device)?.();
    const stops = [...this.#bindings.values()]
      // the flow of a proxy says nothing about one of the phones behind it
      .filter((binding) => this.#deviceOf(binding) === device && binding.path.length === 0)
      .map((binding) =>
        this.#deps.awake.watch(binding.flow, () => {
          // registered anew elsewhere since
          if (this.#bindings.get(binding.id)?.flow !== binding.flow) return;
          this.#tell({ is: 'refresh-accepted', device, flow: this.#keyOf(binding) });
        }),
      );
    this.#watches.set(device, () => stops.forEach((stop) => stop()));
  }

  /** Tells a phone that was pushed that its call is over, if it has a token for that. Nobody waits for the outcome. */
  pushEnd(device: string, reason: EndReason, keptMs: number): void {
    const binding = this.#find(device, ({ push }) => canPush(push, 'cancel'));
    const token = tokenFor(binding?.push, 'cancel');
    if (binding?.push === undefined || token === undefined) return;
    const { push } = binding;
    const { request } = this.#wanted;
    void pushDevice(
      { binding, push, token, pushClass: 'cancel', request, holdMs: keptMs, reason },
      this.#deps,
      new AbortController().signal,
    );
  }

  /** Of several flows of the device the one that registered last. */
  #find(device: string, fits: (binding: Binding) => boolean): Binding | undefined {
    let newest: Binding | undefined;
    for (const one of this.#bindings.values())
      if (
        this.#deviceOf(one) === device &&
        fits(one) &&
        (newest === undefined || one.registeredAt > newest.registeredAt)
      )
        newest = one;
    return newest;
  }

  /** The bindings this request is for. */
  async #look(): Promise<readonly Binding[]> {
    const { bindings } = await this.#deps.store.read(this.#wanted.aor);
    const wakeable = wakeableBindings(bindings, this.#deps.clock.now());
    const { bindingId } = this.#wanted;
    return bindingId === undefined ? wakeable : wakeable.filter((binding) => answersTo(binding, bindingId));
  }

  #deviceOf(binding: Binding): string {
    const known = this.#devices.get(binding.id);
    if (known !== undefined) return known;
    const device = phoneOf(binding);
    this.#devices.set(binding.id, device);
    return device;
  }

  /** For what was heard, or may have been missed: a store that does not answer at this moment must not cost the request. */
  async #lookUntilFound(trouble: string): Promise<readonly Binding[]> {
    for (let attempt = 0; !this.#over; attempt++) {
      try {
        return await this.#look();
      } catch (error) {
        if (attempt === 0) this.#deps.log.warn({ callId: this.#callId, aor: this.#wanted.aor, err: error }, trouble);
        await new Promise<void>((resolve) => this.#deps.clock.after(lookAgainMs, resolve));
      }
    }
    return [];
  }

  #target(binding: Binding): Target {
    const { policy, clock } = this.#deps;
    const { pushClass } = this.#wanted;
    const pushable =
      binding.push === undefined
        ? // without credentials the push is refused, and log and metrics say why the phone was not woken
          binding.unsupportedPush !== undefined && pushClass !== undefined
        : canPush(binding.push, pushClass);
    const { push } = binding;
    // its tokens are for calls only: reached as a phone is that never asked for pushes
    const asPlain = push !== undefined && push.deadSince === undefined && pushClass !== undefined && !pushable;
    const rules = pushable && push !== undefined ? this.#rules.of(binding) : undefined;
    // one that has registered since the request came is awake
    const pushFirst = rules?.flow === 'always' && rules.push && binding.registeredAt < this.#arrivedAt;
    const worthTrying =
      !pushFirst && isWorthTrying(asPlain ? withoutPush(binding) : binding, this.#arrivedAt, policy, clock.now());
    if (worthTrying) this.#told.set(binding.id, binding);
    return {
      device: this.#deviceOf(binding),
      flow: worthTrying ? this.#keyOf(binding) : undefined,
      canPush: pushable && rules?.push !== false,
      ...(rules?.flow === 'parallel' ? { pushBeside: true } : {}),
    };
  }

  #keyOf(binding: Binding): string {
    const key = keyOfFlow(binding);
    this.#flows.set(key, { flow: binding.flow, binding });
    return key;
  }

  async #hear(news: BindingNews): Promise<void> {
    switch (news.is) {
      case 'removed':
      case 'refresh-rejected': {
        const lost = this.#bindings.get(news.bindingId);
        if (lost === undefined) return;
        if (news.is === 'removed') this.#bindings.delete(news.bindingId);
        const device = this.#deviceOf(lost);
        // another flow of the same phone still stands
        if (news.is === 'removed' && this.#find(device, () => true) !== undefined) return;
        if (news.is === 'refresh-rejected') this.#tell({ is: 'refresh-rejected', device, status: news.status });
        else if (news.moving === true) this.#goneUnlessBack(device);
        else this.#tell({ is: 'binding-removed', device });
        return;
      }
      case 'refresh-accepted':
        for (const binding of await this.#lookUntilFound(unknownPlace))
          if (binding.id === news.bindingId) this.#refreshed(binding);
        return;
      case 'gap':
        return this.#hearUnheard(true);
      default:
        news satisfies never;
    }
  }

  /**
   * Every registration that we do not know counts as heard. `gap`: news has surely been missed, so one that crossed the request does,
   * too. A look now and then must not: a phone that slept off right after its REGISTER would be sent to where it is no more.
   */
  async #hearUnheard(gap: boolean): Promise<void> {
    // nobody has said anything: the next look is as good as this one
    const found = gap ? await this.#lookUntilFound(missedNews) : await this.#look().catch(() => []);
    for (const binding of found) {
      const isKnown = isSameRegistration(binding, this.#bindings.get(binding.id));
      const crossed = gap && binding.registeredAt >= this.#arrivedAt - crossedMs;
      if (!isKnown || (crossed && !isSameRegistration(binding, this.#told.get(binding.id)))) this.#refreshed(binding);
    }
  }

  #goneUnlessBack(device: string): void {
    const stop = this.#deps.clock.after(movesWithinMs, () => {
      this.#moving.delete(stop);
      if (this.#find(device, () => true) === undefined) this.#tell({ is: 'binding-removed', device });
    });
    this.#moving.add(stop);
  }

  #refreshed(binding: Binding): void {
    const isNew = !this.#bindings.has(binding.id);
    const device = this.#deviceOf(binding);
    // one more than the sender allows
    if (isNew && new Set(this.#devices.values()).size > this.breadth) {
      this.#devices.delete(binding.id);
      return;
    }
    const now = this.#deps.precise();
    const before = this.#bindings.get(binding.id);
    this.#bindings.set(binding.id, binding);
    this.#told.set(binding.id, binding);
    const pushed = this.#pushedAt.get(device);
    if (pushed !== undefined && !this.#refreshedAt.has(device))
      this.#deps.telemetry.observe('pushToRegister', (now - pushed) / 1000);
    this.#refreshedAt.set(device, now);
    // a leg stays with its engine: what rings over another one cannot be taken along
    const was = before?.flow.engine === binding.flow.engine ? keyOfFlow(before) : undefined;
    this.#tell({ is: 'refresh-accepted', device, flow: this.#keyOf(binding), was });
  }

  /** No app is configured for what the phone asked for: refused as a push service would refuse a wrong key. */
  #cannotPush(device: string): false {
    const binding = this.#find(device, ({ unsupportedPush }) => unsupportedPush !== undefined);
    if (binding?.unsupportedPush === undefined) return false;
    const provider = binding.unsupportedPush;
    this.#deps.telemetry.count('pushes', { provider: providerLabel(provider), outcome: 'config-error' });
    this.#deps.log.warn(
      {
        callId: this.#callId,
        aor: binding.aor,
        bindingId: binding.id,
        provider,
        outcome: 'config-error',
        reason: 'no push credentials for this phone',
      },
      'push refused',
    );
    return false;
  }
}

function withoutPush(binding: Binding): Binding {
  const { push: _, ...plain } = binding;
  return plain;
}
