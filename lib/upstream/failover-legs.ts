/**
 * Legs that know the servers behind a PBX: an INVITE for one goes to the best of them, and to the next after a 503, a transport error
 * or silence, as long as nobody has rung (RFC 3263 4.3). What was begun at one server stays there.
 */
import { hangUp } from '../call/hang-up.ts';
import type { Clock } from '../ports/clock.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../ports/leg.ts';
import type { FailoverDeps } from './failover-client.ts';
import type { Server, UpstreamPool } from './pool.ts';
import { headersTowards, routeTowards, userOf } from './towards.ts';
import { verdictOf } from './verdict.ts';

export interface FailoverLegsDeps extends FailoverDeps {
  readonly clock: Clock;
  /** the engine tells of a 100, so a server without one is silent; drachtio-server does not, and is waited for */
  readonly hears100: boolean;
}

/** No other server is begun with after this, ms: the caller's patience and his transaction (RFC 3261 17.1.1.2). */
const budgetMs = 28_000;

export class FailoverLegs implements Legs {
  readonly #legs: Legs;
  readonly #deps: FailoverLegsDeps;

  constructor(legs: Legs, deps: FailoverLegsDeps) {
    this.#legs = legs;
    this.#deps = deps;
  }

  start(request: LegRequest, events: LegEvents): Leg {
    const pool = this.#deps.pools.get(request.nextHop);
    const servers = pool?.pick(userOf('INVITE', request.headers)) ?? [];
    return pool === undefined || servers.length === 0
      ? this.#legs.start(request, events)
      : new FailoverLeg(this.#legs, pool, servers, request, events, this.#deps);
  }
}

class FailoverLeg implements Leg {
  readonly #legs: Legs;
  readonly #pool: UpstreamPool;
  readonly #servers: readonly Server[];
  readonly #request: LegRequest;
  readonly #events: LegEvents;
  readonly #deps: FailoverLegsDeps;
  readonly #end: number;
  #leg: Leg;
  #cancelled = false;

  constructor(
    legs: Legs,
    pool: UpstreamPool,
    servers: readonly Server[],
    request: LegRequest,
    events: LegEvents,
    deps: FailoverLegsDeps,
  ) {
    this.#legs = legs;
    this.#pool = pool;
    this.#servers = servers;
    this.#request = request;
    this.#events = events;
    this.#deps = deps;
    this.#end = deps.precise() + budgetMs;
    this.#leg = this.#try(0);
  }

  get callId(): string | undefined {
    return this.#leg.callId;
  }

  cancel(reason?: string): void {
    this.#cancelled = true;
    this.#leg.cancel(reason);
  }

  move(nextHop: string): void {
    this.#leg.move(nextHop);
  }

  #try(at: number): Leg {
    const server = this.#servers[at] as Server;
    const pool = this.#pool;
    const { tryMs } = pool.policy;
    const mayMove = at + 1 < this.#servers.length;
    let left = false;
    let heard = false;
    const moveOn = (cause: 'timeout' | 'refused' | 'unreachable'): void => {
      left = true;
      stopTimer();
      pool.movedOn(server, cause);
      this.#leg = this.#try(at + 1);
    };
    const stopTimer =
      mayMove && this.#deps.hears100
        ? this.#deps.clock.after(tryMs, () => {
            if (heard || left || this.#cancelled || this.#isLate() || !this.#deps.connected()) return;
            pool.tell(server, { is: 'failed' });
            leg.cancel();
            moveOn('timeout');
          })
        : (): void => {};
    const leg = this.#legs.start(
      {
        ...this.#request,
        ...routeTowards(server, this.#request.routes),
        headers: headersTowards(this.#request.headers, server, pool.servers[0]?.edgeHost ?? ''),
      },
      {
        progress: (response, reliable, early) => {
          stopTimer();
          if (!heard) pool.tell(server, { is: 'answered' });
          heard ||= response.status > 100;
          if (!left) this.#events.progress(response, reliable, early);
        },
        answered: (response, dialog, ack) => {
          stopTimer();
          pool.tell(server, { is: 'answered' });
          if (!left) return this.#events.answered(response, dialog, ack);
          // given up, and another server has the call
          ack();
          hangUp(dialog, 'SIP;cause=487;text="Call is elsewhere"');
        },
        failed: (response, local) => {
          stopTimer();
          if (left) return;
          const ended = this.#cancelled || (local && !this.#deps.connected());
          const verdict = ended ? undefined : verdictOf(response, local);
          if (verdict !== undefined) pool.tell(server, verdict.event);
          if (verdict?.moves === undefined || heard || !mayMove || this.#isLate())
            return this.#events.failed(response, local);
          moveOn(verdict.moves);
        },
      },
    );
    return leg;
  }

  #isLate(): boolean {
    return this.#deps.precise() > this.#end;
  }
}
