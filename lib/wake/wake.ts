/**
 * An INVITE for devices of ours (RFC 8599 5.6.2): listens for refreshes, then looks the devices up, holds the INVITE, pushes who
 * sleeps, rings who is awake. Gathers facts only; core/held-invite decides and call/ring does.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { liveBindings, markTokenDead } from '../core/binding-set.ts';
import type { Target } from '../core/held-invite.ts';
import { passInvite } from '../core/pass-headers.ts';
import { bridge } from '../call/bridge.ts';
import type { CallLedger } from '../call/ledger.ts';
import { Ring, type RingDeps, type RingTimes } from '../call/ring.ts';
import type { LegRequest } from '../ports/leg.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { BindingNews, NodeBus } from '../ports/node-bus.ts';
import type { PushService } from '../ports/push-service.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { flowUri, hostOf, type Flow } from '../sip/flow.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { findParam, parseUri, printUri } from '../sip/uri.ts';

export interface WakeDeps extends RingDeps {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly push: PushService;
  /** milliseconds with fractions, for measuring; never set back */
  readonly precise: () => number;
  readonly telemetry: Telemetry;
  readonly calls: CallLedger;
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

/** Who is to be rung: one device (the PBX called its opaque contact) or every device of the AOR (the edge is the registrar). */
export interface Called {
  readonly aor: Aor;
  readonly bindingId: string | undefined;
}

export async function wake(transaction: InviteTransaction, called: Called, deps: WakeDeps): Promise<void> {
  const { clock, telemetry } = deps;
  const invitedAt = deps.precise();
  const invite = transaction.request;
  const callId = invite.headers.get('Call-ID') ?? '';
  const devices = new Map<string, Binding>();
  const flows = new Map<string, Flow>();
  const pushedAt = new Map<string, number>();
  const refreshedAt = new Map<string, number>();
  let ring: Ring | undefined;
  const early: BindingNews[] = [];

  // subscribe first, look second: a refresh in between is heard, whatever the order (invariant 6)
  const unsubscribe = await deps.bus.subscribe(called.aor, (news) => {
    if (ring === undefined) early.push(news);
    else void hear(news);
  });

  const wanted = (binding: Binding): boolean => called.bindingId === undefined || binding.id === called.bindingId;
  const flowKey = (flow: Flow): string => {
    const key = `${flowUri(flow)}|${flow.engine}`;
    flows.set(key, flow);
    return key;
  };

  const look = async (): Promise<readonly Binding[]> => {
    const { bindings } = await deps.store.read(called.aor);
    return liveBindings(bindings, clock.now()).filter(wanted);
  };

  const hear = async (news: BindingNews): Promise<void> => {
    if (news.is === 'gap') {
      // news may have been lost: whatever is fresher than what we know counts as heard
      for (const binding of await look().catch(() => [])) {
        if (binding.registeredAt > (devices.get(binding.id)?.registeredAt ?? 0)) refreshed(binding);
      }
      return;
    }
    if (called.bindingId !== undefined && news.bindingId !== called.bindingId) return;
    if (news.is === 'removed') return ring?.tell({ is: 'binding-removed', device: news.bindingId });
    if (news.is === 'refresh-rejected') return ring?.tell({ is: 'refresh-rejected', device: news.bindingId, status: news.status });
    const binding = (await look().catch(() => [])).find(({ id }) => id === news.bindingId);
    if (binding !== undefined) refreshed(binding);
  };

  const refreshed = (binding: Binding): void => {
    devices.set(binding.id, binding);
    const now = deps.precise();
    const pushed = pushedAt.get(binding.id);
    if (pushed !== undefined && !refreshedAt.has(binding.id)) telemetry.observe('pushToRegister', (now - pushed) / 1000);
    refreshedAt.set(binding.id, now);
    ring?.tell({ is: 'refresh-accepted', device: binding.id, flow: flowKey(binding.flow) });
  };

  let bindings: readonly Binding[];
  try {
    bindings = await look();
  } catch (error) {
    unsubscribe();
    throw error;
  }
  for (const binding of bindings) devices.set(binding.id, binding);

  const release = deps.calls.hold(bindings.map(({ id }) => id), () => ring?.tell({ is: 'drain' }));
  if (release === undefined) {
    unsubscribe();
    telemetry.count('wakes', { ending: 'refused', fault: 'edge' });
    deps.log.warn({ callId, aor: called.aor }, 'no room to hold another INVITE');
    await transaction.respond({ status: 480 });
    return;
  }

  const targets = bindings.map((binding): Target => ({
    device: binding.id,
    flow: isWorthTrying(binding, deps) ? flowKey(binding.flow) : undefined,
    canPush: binding.push !== undefined && binding.push.deadSince === undefined,
  }));

  ring = new Ring(
    {
      transaction,
      targets,
      policy: { admitNewDevices: called.bindingId === undefined },
      times: deps.policy,
      legRequest: (device, flow) => {
        const binding = devices.get(device);
        const over = flows.get(flow);
        if (binding === undefined || over === undefined) return undefined;
        const refreshAt = refreshedAt.get(device);
        if (refreshAt !== undefined) telemetry.observe('registerToInvite', (deps.precise() - refreshAt) / 1000);
        return legTo(binding, over, transaction);
      },
      push: async (device, signal) => {
        const binding = devices.get(device);
        if (binding?.push === undefined) return false;
        pushedAt.set(device, deps.precise());
        telemetry.observe('inviteToPush', (deps.precise() - invitedAt) / 1000);
        return pushDevice(binding, binding.push, transaction, deps, signal);
      },
      refuseWith: (status) => ({ status }),
      onAnswered: (caller, callee) => {
        const done = deps.calls.talk(() => call.end('the edge is stopping'));
        const call = bridge(caller, callee, { log: deps.log, callId, onOver: done });
      },
      onOver: ({ ending, fault }, story) => {
        unsubscribe();
        release();
        telemetry.count('wakes', { ending, fault });
        const level = ending === 'answered' || ending === 'cancelled' ? 'info' : 'warn';
        deps.log[level]({ callId, aor: called.aor, ending, fault, ms: Math.round(deps.precise() - invitedAt), story }, 'INVITE over');
      },
    },
    deps,
  );
  for (const news of early) void hear(news);
  ring.start();
}

/**
 * Live flow first (PN-PROXY-30). A connection of this engine run may still stand, and if not the engine says so at once; of
 * another run it cannot. UDP tells nothing about the far end, so a phone that can be pushed is pushed.
 */
function isWorthTrying(binding: Binding, deps: WakeDeps): boolean {
  if (binding.push === undefined) return true;
  if (binding.flow.engine !== deps.policy.engineId()) return false;
  if (binding.flow.transport !== 'udp') return true;
  return deps.clock.now() - binding.registeredAt < deps.policy.udpAwakeMs;
}

/** The INVITE for one device: its own user, at the address of its flow, so that no cache of the engine picks another one (protocol C.3). */
function legTo(binding: Binding, flow: Flow, transaction: InviteTransaction): LegRequest {
  const target = parseUri(binding.target);
  const uri =
    target === undefined
      ? flowUri(flow)
      : printUri({
          ...target,
          host: target.host.toLowerCase().endsWith('.invalid') ? target.host : hostOf(flow.address),
          port: target.host.toLowerCase().endsWith('.invalid') ? target.port : flow.port,
          params: findParam(target.params, 'transport') === undefined && flow.transport !== 'udp' ? [...target.params, { name: 'transport', value: flow.transport }] : target.params,
          headers: undefined,
        });
  const { headers, body } = transaction.request;
  return { uri, nextHop: flowUri(flow), headers: passInvite(headers, { to: `<sip:${binding.aor}>` }), body };
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
      from: { uri: from?.uri ?? '', display: from?.display },
      to: `sip:${binding.aor}`,
      hasVideo: body.includes('\nm=video '),
      deadline: startedAt + deps.policy.pushDeadlineMs,
      wakeUntil: startedAt + deps.policy.holdMs,
    },
    signal,
  );
  const facts = { callId: headers.get('Call-ID'), bindingId: binding.id, provider: push.provider, app: push.app };
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
  deps.log.warn({ ...facts, outcome: outcome.is, reason: outcome.reason }, 'push refused');
  return false;
}

/** Marks the token dead unless a REGISTER has brought it again since (push-providers 8.6). A lost race costs one more refused push. */
async function forgetToken(binding: Binding, token: string, since: number | undefined, pushedAt: number, deps: WakeDeps): Promise<void> {
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

