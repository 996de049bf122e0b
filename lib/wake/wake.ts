/**
 * An INVITE for devices of ours (RFC 8599 5.6.2): listens for refreshes, then looks the devices up, holds the INVITE, pushes who
 * sleeps, rings who is awake. Gathers facts only; core/held-invite decides and call/ring does.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { answersTo, liveBindings, markTokenDead, phoneOf } from '../core/binding-set.ts';
import type { Target } from '../core/held-invite.ts';
import { passInvite, type Side } from '../core/pass-headers.ts';
import { bridge } from '../call/bridge.ts';
import type { BridgedDialogs } from '../call/bridged-dialogs.ts';
import type { Heartbeat } from '../call/heartbeat.ts';
import type { CallLedger } from '../call/ledger.ts';
import { Ring, type RingDeps, type RingTimes } from '../call/ring.ts';
import type { LegRequest } from '../ports/leg.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { BindingNews, NodeBus } from '../ports/node-bus.ts';
import type { PushService } from '../ports/push-service.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { unquote } from '../sip/auth.ts';
import { flowUri, type Flow } from '../sip/flow.ts';
import { parseNameAddr, tagOf } from '../sip/name-addr.ts';
import { parseUri, printUri, unescape } from '../sip/uri.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import { providerLabel } from '../telemetry/metrics.ts';

export interface WakeDeps extends RingDeps {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly push: PushService;
  /** milliseconds with fractions, for measuring; never set back */
  readonly precise: () => number;
  readonly telemetry: Telemetry;
  readonly calls: CallLedger;
  readonly dialogs: BridgedDialogs;
  readonly heartbeat: Heartbeat | undefined;
  readonly policy: WakePolicy;
}

export interface WakePolicy extends RingTimes {
  /** how long after its REGISTER a UDP flow of a pushable phone is tried before pushing, ms; 0: push at once */
  readonly udpAwakeMs: number;
  /** longest wait for the push service, ms */
  readonly pushDeadlineMs: number;
  /** the engine run whose connections exist now */
  readonly engineId: () => string;
}

/** Who is to be rung: one phone (the PBX called its Contact, or somebody its GRUU) or every phone of the AOR (the edge is the registrar). */
export interface Called {
  readonly aor: Aor;
  /** the id of a binding or the name of the instance it belongs to (binding-set answersTo) */
  readonly bindingId: string | undefined;
  /** what the caller hears when a phone that cannot be pushed has lost its flow; 480 when left out */
  readonly flowGone?: 430 | 480;
  /** who calls: the PBX, or another phone that has proved who it is. What a phone says of its own identity is not passed on. */
  readonly from: Side;
}

/** Resolves when the INVITE is held or answered; rejects with EDGE_STORE_UNAVAILABLE, then it is still to be answered. */
export async function wake(transaction: InviteTransaction, called: Called, deps: WakeDeps): Promise<void> {
  await new Waking(transaction, called, deps).start();
}

const lookAgainMs = 300;

/** The same for all copies of one INVITE, whatever branch they took (RFC 3261 8.2.2.2). */
function mergeKey({ request: { headers } }: InviteTransaction): string {
  const tag = tagOf(headers.get('From') ?? '') ?? '';
  return `${headers.get('Call-ID') ?? ''} ${tag} ${Number.parseInt(headers.get('CSeq') ?? '', 10)}`;
}

/** A flow on which a device may be rung, with the binding that brought it. */
interface KnownFlow {
  readonly flow: Flow;
  readonly binding: Binding;
}

/** One INVITE for devices of ours, from look-up to end. */
class Waking {
  readonly #transaction: InviteTransaction;
  readonly #called: Called;
  readonly #deps: WakeDeps;
  readonly #callId: string;
  readonly #invitedAt: number;
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
  #early: BindingNews[] | undefined = [];
  #ring: Ring | undefined;
  #over = false;

  constructor(transaction: InviteTransaction, called: Called, deps: WakeDeps) {
    this.#transaction = transaction;
    this.#called = called;
    this.#deps = deps;
    this.#callId = transaction.request.headers.get('Call-ID') ?? '';
    this.#invitedAt = deps.precise();
    this.#arrivedAt = deps.clock.now();
  }

  async start(): Promise<void> {
    const { bus, calls, telemetry, log } = this.#deps;
    // subscribe first, look second: a refresh in between is heard, whatever the order
    const unsubscribe = await bus.subscribe(this.#called.aor, (news) => {
      if (this.#early === undefined) void this.#hear(news);
      else this.#early.push(news);
    });
    const found = await this.#look().catch((error: unknown) => {
      unsubscribe();
      throw error;
    });
    for (const binding of found) this.#bindings.set(binding.id, binding);
    const release = calls.hold(
      found.map((binding) => this.#deviceOf(binding)),
      () => this.#ring?.tell({ is: 'drain' }),
      mergeKey(this.#transaction),
    );
    if (release === 'merged') {
      unsubscribe();
      telemetry.count('wakes', { ending: 'refused', fault: 'caller' });
      log.info({ callId: this.#callId, aor: this.#called.aor, status: 482 }, 'the phone has this INVITE already');
      await this.#transaction.respond({ status: 482, reason: 'Merged Request' });
      return;
    }
    if (release === undefined) {
      unsubscribe();
      telemetry.count('wakes', { ending: 'refused', fault: 'edge' });
      log.warn({ callId: this.#callId, aor: this.#called.aor }, 'no room to hold another INVITE');
      await this.#transaction.respond({ status: 480 });
      return;
    }
    this.#ring = this.#makeRing(found, () => {
      this.#over = true;
      unsubscribe();
      release();
    });
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#ring.start();
    for (const news of early) void this.#hear(news);
  }

  #makeRing(found: readonly Binding[], onOver: () => void): Ring {
    const deps = this.#deps;
    return new Ring(
      {
        transaction: this.#transaction,
        targets: found.map((binding) => this.#target(binding)),
        policy: {
          admitNewDevices: this.#called.bindingId === undefined,
          flowGone: this.#called.flowGone ?? 480,
        },
        times: deps.policy,
        answers: { from: 'phone', towards: this.#called.from },
        legRequest: (device, flow) => this.#legRequest(device, flow),
        push: (device, signal) => this.#push(device, signal),
        refuseWith: (status) => ({ status }),
        onAnswered: (caller, callee) => {
          const done = deps.calls.talk(() => call.end('the edge is stopping'));
          const call = bridge(caller, callee, {
            log: deps.log,
            callId: this.#callId,
            caller: this.#called.from,
            callee: 'phone',
            dialogs: deps.dialogs,
            ...(deps.heartbeat === undefined ? {} : { heartbeat: deps.heartbeat }),
            onOver: done,
          });
        },
        onOver: ({ ending, fault }, story) => {
          onOver();
          deps.telemetry.count('wakes', { ending, fault });
          const level = ending === 'answered' || ending === 'cancelled' ? 'info' : 'warn';
          const ms = Math.round(deps.precise() - this.#invitedAt);
          deps.log[level]({ callId: this.#callId, aor: this.#called.aor, ending, fault, ms, story }, 'INVITE over');
        },
      },
      deps,
    );
  }

  /** The bindings this INVITE is for. */
  async #look(): Promise<readonly Binding[]> {
    const { bindings } = await this.#deps.store.read(this.#called.aor);
    const live = liveBindings(bindings, this.#deps.clock.now());
    const { bindingId } = this.#called;
    return bindingId === undefined ? live : live.filter((binding) => answersTo(binding, bindingId));
  }

  #deviceOf(binding: Binding): string {
    const known = this.#devices.get(binding.id);
    if (known !== undefined) return known;
    const device = phoneOf(binding);
    this.#devices.set(binding.id, device);
    return device;
  }

  /** For a refresh that was heard: a store that does not answer at this moment must not cost the call. */
  async #lookUntilFound(): Promise<readonly Binding[]> {
    for (let attempt = 0; !this.#over; attempt++) {
      try {
        return await this.#look();
      } catch (error) {
        if (attempt === 0)
          this.#deps.log.warn(
            { callId: this.#callId, aor: this.#called.aor, err: error },
            'a phone has registered, and the store does not say where',
          );
        await new Promise<void>((resolve) => this.#deps.clock.after(lookAgainMs, resolve));
      }
    }
    return [];
  }

  #target(binding: Binding): Target {
    return {
      device: this.#deviceOf(binding),
      flow: isWorthTrying(binding, this.#arrivedAt, this.#deps.policy, this.#deps.clock.now())
        ? this.#keyOf(binding)
        : undefined,
      // without credentials the push is refused, and log and metrics say why the phone was not woken
      canPush:
        binding.push === undefined ? binding.unsupportedPush !== undefined : binding.push.deadSince === undefined,
    };
  }

  #keyOf(binding: Binding): string {
    const key = `${flowUri(binding.flow)}|${binding.flow.engine}`;
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
        if (news.is === 'removed' && [...this.#bindings.values()].some((other) => this.#deviceOf(other) === device))
          return;
        this.#ring?.tell(
          news.is === 'removed'
            ? { is: 'binding-removed', device }
            : { is: 'refresh-rejected', device, status: news.status },
        );
        return;
      }
      case 'refresh-accepted':
      case 'gap':
        // after a gap whatever is fresher than what we know counts as heard
        for (const binding of await this.#lookUntilFound()) {
          const isNews =
            news.is === 'gap'
              ? binding.registeredAt > (this.#bindings.get(binding.id)?.registeredAt ?? 0)
              : binding.id === news.bindingId;
          if (isNews) this.#refreshed(binding);
        }
        return;
      default:
        news satisfies never;
    }
  }

  #refreshed(binding: Binding): void {
    const device = this.#deviceOf(binding);
    const now = this.#deps.precise();
    this.#bindings.set(binding.id, binding);
    const pushed = this.#pushedAt.get(device);
    if (pushed !== undefined && !this.#refreshedAt.has(device))
      this.#deps.telemetry.observe('pushToRegister', (now - pushed) / 1000);
    this.#refreshedAt.set(device, now);
    this.#ring?.tell({ is: 'refresh-accepted', device, flow: this.#keyOf(binding) });
  }

  #legRequest(device: string, key: string): LegRequest | undefined {
    const known = this.#flows.get(key);
    if (known === undefined) return undefined;
    const refreshedAt = this.#refreshedAt.get(device);
    if (refreshedAt !== undefined)
      this.#deps.telemetry.observe('registerToInvite', (this.#deps.precise() - refreshedAt) / 1000);
    return legTo(known, this.#called.from, this.#transaction, this.#deps);
  }

  async #push(device: string, signal: AbortSignal): Promise<boolean> {
    const binding = [...this.#bindings.values()].find(
      (one) => this.#deviceOf(one) === device && one.push !== undefined && one.push.deadSince === undefined,
    );
    if (binding?.push === undefined) return this.#cannotPush(device);
    const now = this.#deps.precise();
    this.#pushedAt.set(device, now);
    this.#deps.telemetry.observe('inviteToPush', (now - this.#invitedAt) / 1000);
    return pushDevice(binding, binding.push, this.#transaction, this.#deps, signal);
  }

  /** No app is configured for what the phone asked for: refused as a push service would refuse a wrong key. */
  #cannotPush(device: string): false {
    const binding = [...this.#bindings.values()].find(
      (one) => this.#deviceOf(one) === device && one.unsupportedPush !== undefined,
    );
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

/**
 * Live flow first (PN-PROXY-30). A connection of this engine run may still stand, and if not the engine says so at once; of
 * another run it cannot. UDP tells nothing about the far end, so a phone that can be pushed is pushed.
 */
export function isWorthTrying(
  binding: Binding,
  arrivedAt: number,
  policy: Pick<WakePolicy, 'engineId' | 'udpAwakeMs'>,
  now: number,
): boolean {
  if (binding.push === undefined) return true;
  if (binding.flow.engine !== policy.engineId()) return false;
  // it has registered between the INVITE's arrival and our look: that is the refresh we would wait for
  if (binding.registeredAt >= arrivedAt) return true;
  if (binding.flow.transport !== 'udp') return true;
  return now - binding.registeredAt < policy.udpAwakeMs;
}

/** Whether a call would have any way to this phone now: a flow to try or a token to push (PN-PROXY-33). */
export function canBeReached(
  binding: Binding,
  policy: Pick<WakePolicy, 'engineId' | 'udpAwakeMs'>,
  now: number,
): boolean {
  if (binding.push !== undefined && binding.push.deadSince === undefined) return true;
  return isWorthTrying(binding, Number.POSITIVE_INFINITY, policy, now);
}

/** The INVITE for one device: to the Contact it registered, word for word as phones expect it, over the flow it registered on. */
function legTo({ binding, flow }: KnownFlow, from: Side, transaction: InviteTransaction, deps: WakeDeps): LegRequest {
  const target = parseUri(binding.target);
  const uri = target === undefined ? flowUri(flow) : printUri({ ...target, headers: undefined });
  const { headers, body, uri: called } = transaction.request;
  return {
    uri,
    nextHop: flowUri(flow),
    headers: passInvite(headers, {
      ...toOf(headers.get('To'), called, binding),
      from,
      towards: 'phone',
      translate: (names) => deps.dialogs.translate(names),
    }),
    body,
  };
}

/** To as the caller wrote it; our opaque Contact, which some PBX copy into it, is nobody's name and becomes the AOR. */
function toOf(to: string | undefined, called: string, binding: Binding): { readonly to?: string } {
  const named = parseUri(parseNameAddr(to ?? '')?.uri ?? '');
  const opaque = named?.user === parseUri(called)?.user && !binding.aor.startsWith(`${unescape(named?.user ?? '')}@`);
  return named?.user === undefined || opaque ? { to: `<sip:${binding.aor}>` } : {};
}

async function pushDevice(
  binding: Binding,
  push: NonNullable<Binding['push']>,
  transaction: InviteTransaction,
  deps: WakeDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { headers, body } = transaction.request;
  const from = parseNameAddr(headers.get('From') ?? '');
  const startedAt = deps.clock.now();
  const outcome = await deps.push.push(
    {
      app: push.app,
      class: 'call',
      environment: push.environment,
      param: push.param,
      tokens: push.tokens,
      instanceId: binding.instanceId,
      callId: headers.get('Call-ID') ?? '',
      from: { uri: from?.uri ?? '', display: from?.display === undefined ? undefined : unquote(from.display) },
      to: `sip:${binding.aor}`,
      hasVideo: body.includes('\nm=video '),
      deadline: startedAt + deps.policy.pushDeadlineMs,
      wakeUntil: startedAt + deps.policy.holdMs,
    },
    signal,
  );
  const token = push.tokens.find(({ kind }) => kind === 'voip') ?? push.tokens[0];
  const facts = {
    callId: headers.get('Call-ID'),
    aor: binding.aor,
    bindingId: binding.id,
    provider: push.provider,
    app: push.app,
    pridHash: token === undefined ? undefined : pridHash(token.token),
    outcome: outcome.is,
  };
  switch (outcome.is) {
    case 'accepted':
      deps.log.info({ ...facts, pushId: outcome.id, ms: deps.clock.now() - startedAt }, 'push accepted');
      return true;
    case 'cancelled':
      return true;
    case 'token-dead':
      await forgetToken(binding, outcome.token, outcome.since, startedAt, deps);
      break;
    case 'throttled':
    case 'not-applicable':
    case 'config-error':
    case 'unreachable':
      break;
    default:
      outcome satisfies never;
  }
  deps.log.warn({ ...facts, reason: outcome.reason }, 'push refused');
  return false;
}

/** Marks the token dead unless a REGISTER has brought it again since (push-providers 8.6). A lost race costs one more refused push. */
async function forgetToken(
  binding: Binding,
  token: string,
  since: number | undefined,
  pushedAt: number,
  deps: WakeDeps,
): Promise<void> {
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      const { version, bindings } = await deps.store.read(binding.aor);
      const marked = markTokenDead(bindings, binding.id, token, since, pushedAt);
      if (marked === bindings) return;
      const keepUntil = marked.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), 0);
      if ((await deps.store.swap(binding.aor, version, marked, keepUntil)) === 'stored') return;
    }
  } catch (error) {
    deps.log.warn({ bindingId: binding.id, err: error }, 'dead token not remembered');
  }
}
