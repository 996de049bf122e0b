/**
 * Pushes sleeping phones before their bindings end (RFC 8599 5.5). One task of the agenda for each binding; whether it is due is
 * read from the binding when the time has come, so a phone that has registered meanwhile is left alone.
 */
import type { Binding } from '../core/binding.ts';
import { liveBindings } from '../core/binding-set.ts';
import { environmentOf } from '../core/token-life.ts';
import {
  isRefreshDue,
  nextAfterPush,
  nextRefresh,
  readRefreshTask,
  type RefreshPolicy,
  speaksForItsResource,
} from '../core/refresh-schedule.ts';
import type { Agenda, ClaimedTask } from '../ports/agenda.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { PushService } from '../ports/push-service.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import { providerLabel } from '../telemetry/metrics.ts';
import { AppLanes } from './app-lanes.ts';
import type { TokenKeeper } from '../tokens/keeper.ts';

export interface RefreshDeps {
  readonly agenda: Agenda;
  readonly store: LocationStore;
  readonly push: PushService;
  readonly tokens: TokenKeeper;
  readonly clock: Clock;
  /** milliseconds; never set back, and it goes on while the process stands still */
  readonly precise: () => number;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly policy: RefreshPolicy & {
    /** most bindings looked at in a second; the others wait for the next one */
    readonly perSecond: number;
    /** most pushes to one app in a second */
    readonly perAppPerSecond: number;
    /** longest wait for the push service, ms */
    readonly pushDeadlineMs: number;
  };
}

/** How often the agenda is asked, ms. */
const tickMs = 1000;
/** A node that dies with a task loses it after this long, ms; more than any push may take. */
const leaseMs = 60_000;
/** Whoever has stood still with a task for so long does not push any more: the rest of the lease is for the push service. */
const pushWithinMs = leaseMs / 2;

/** Bindings looked at in one go, then calls have their turn: a store in this process answers at once. */
const atOnce = 50;

/** What goes on between ticks. */
interface Work {
  readonly lanes: AppLanes;
  readonly signal: AbortSignal;
  /** pushes without an answer, which no tick waits for */
  readonly underWay: Set<Promise<void>>;
}

/** A task of ours, and whether it still is: counted from before it was claimed, so that no clock of another matters. */
interface Mine {
  readonly claimed: ClaimedTask;
  readonly isOurs: () => boolean;
}

function leasedFrom({ precise, clock }: RefreshDeps): () => boolean {
  const [span, day] = [precise(), clock.now()];
  // a machine that slept may have stopped one of its clocks
  return () => Math.max(precise() - span, clock.now() - day) < pushWithinMs;
}

/** Begins to work; the returned function ends it, and resolves when nothing is under way any more. */
export function startRefreshPushes(deps: RefreshDeps): () => Promise<void> {
  const { agenda, clock, policy } = deps;
  let stopped = false;
  let cancel = (): void => undefined;
  const stop = new AbortController();
  const work: Work = { lanes: new AppLanes(policy.perAppPerSecond), signal: stop.signal, underWay: new Set() };
  let looking: Promise<unknown> = Promise.resolve();
  const tick = async (): Promise<void> => {
    const now = clock.now();
    const isOurs = leasedFrom(deps);
    try {
      const claimed = await agenda.claim(now, now + leaseMs, policy.perSecond);
      for (let at = 0; at < claimed.length; at += atOnce) {
        await Promise.all(claimed.slice(at, at + atOnce).map((one) => begin({ claimed: one, isOurs }, deps, work)));
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (err) {
      deps.log.warn({ err }, 'refresh pushes have to wait for the store');
    }
  };
  const wait = (): void => {
    if (!stopped)
      cancel = clock.after(tickMs, () => {
        looking = tick().then(wait);
      });
  };
  wait();
  return async () => {
    stopped = true;
    cancel();
    stop.abort();
    await looking;
    await Promise.all(work.underWay);
  };
}

/** Looks at one binding. Resolves when its push has begun, if it is to be pushed: who waits for a slow service is not this one. */
async function begin(mine: Mine, deps: RefreshDeps, work: Work): Promise<void> {
  const { claimed } = mine;
  const about = readRefreshTask(claimed.task);
  // of a later version, which knows what to do with it
  if (about === undefined) return;
  const { aor, bindingId } = about;
  const { clock, policy } = deps;
  try {
    const now = clock.now();
    const live = liveBindings((await deps.store.read(aor)).bindings, now);
    const binding = live.find(({ id }) => id === bindingId);
    const app = binding?.push?.app;
    if (binding === undefined || app === undefined) return await deps.agenda.settle(claimed, undefined);
    if (!isRefreshDue(binding, now, policy) || !speaksForItsResource(binding, live))
      return await deps.agenda.settle(claimed, nextRefresh(binding, now, policy));
    const later = work.lanes.enter(app, now);
    if (later !== undefined) return await deps.agenda.settle(claimed, later);
    const pushed = refreshOne(mine, binding, deps, work.signal).finally(() => {
      work.lanes.leave(app);
      work.underWay.delete(pushed);
    });
    work.underWay.add(pushed);
  } catch (err) {
    // the task comes up again when its lease ends
    deps.log.warn({ aor, bindingId, err }, 'refresh push not sent');
  }
}

async function refreshOne(
  { claimed, isOurs }: Mine,
  binding: Binding,
  deps: RefreshDeps,
  signal: AbortSignal,
): Promise<void> {
  const { aor, id: bindingId } = binding;
  try {
    // another node has it or is about to
    if (!isOurs()) return;
    const now = deps.clock.now();
    const gone = await isGone(binding, deps, signal);
    await deps.agenda.settle(claimed, gone ? undefined : nextAfterPush(binding, now, deps.policy));
  } catch (err) {
    // the task comes up again when its lease ends
    deps.log.warn({ aor, bindingId, err }, 'refresh push not sent');
  }
}

/** Pushes one phone; true when its token is dead and nothing more is to be sent. */
async function isGone(binding: Binding, deps: RefreshDeps, signal: AbortSignal): Promise<boolean> {
  const { push } = binding;
  // every way but that of a VoIP token, which is for calls only
  const token = push?.tokens.find(({ kind }) => kind !== 'voip');
  if (push === undefined || token === undefined) return true;
  const now = deps.clock.now();
  if (deps.tokens.isKnownDead(push.provider, token.token, binding.registeredAt)) return true;
  const outcome = await deps.push.push(
    {
      app: push.app,
      class: 'refresh',
      environment: environmentOf(push, token.kind),
      param: push.param,
      tokens: [token],
      instanceId: binding.instanceId,
      // no call: a name for the log of the push service that tells nobody anything
      callId: `refresh-${binding.id}`,
      from: { uri: '', display: undefined },
      to: `sip:${binding.aor}`,
      hasVideo: false,
      deadline: now + deps.policy.pushDeadlineMs,
      wakeUntil: Math.min(binding.expiresAt, binding.upstreamExpiresAt ?? binding.expiresAt),
    },
    signal,
  );
  const { telemetry, log } = deps;
  telemetry.count('refreshPushes', { provider: providerLabel(push.provider), outcome: outcome.is });
  const facts = {
    aor: binding.aor,
    bindingId: binding.id,
    provider: push.provider,
    app: push.app,
    outcome: outcome.is,
  };
  if (outcome.is === 'accepted') log.debug({ ...facts, pushId: outcome.id }, 'refresh push accepted');
  else if (outcome.is !== 'cancelled')
    log.info({ ...facts, pridHash: pridHash(token.token), reason: outcome.reason }, 'refresh push refused');
  await deps.tokens.heard({ binding, token: token.token, at: now, occasion: `refresh-${binding.id}-${now}` }, outcome);
  return outcome.is === 'token-dead';
}
