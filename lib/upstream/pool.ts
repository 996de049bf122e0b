/**
 * The servers of one PBX: which are there (told by whoever follows DNS), how they do (told by probes and requests), and whom to try
 * first for a user. Rules: core/upstream-health and core/upstream-order.
 */
import {
  type Health,
  type HealthEvent,
  type HealthPolicy,
  newHealth,
  recoveredAt,
  type Standing,
  standingOf,
  stepHealth,
} from '../core/upstream-health.ts';
import { orderServers, type Ranked } from '../core/upstream-order.ts';
import type { Log } from '../ports/log.ts';
import type { Telemetry } from '../ports/telemetry.ts';

/** One server of a PBX, at one address. */
export interface Server extends Ranked {
  /** `sip:address:port;transport=t`, where requests are sent */
  readonly nextHop: string;
  /** Route of what is sent there; see ClientRequest */
  readonly routes: readonly string[];
  /** request-URI of a probe */
  readonly probeUri: string;
  /** how this server reaches the edge: `host:port;transport=t` */
  readonly edgeHost: string;
}

export interface PoolPolicy extends HealthPolicy {
  /** ms a server may be silent while others are left to try */
  readonly tryMs: number;
  /** ms between two probes; 0 none; undefined: only when there is more than one server */
  readonly probeMs: number | undefined;
  readonly probeTimeoutMs: number;
  /** which answer to a probe is a good one */
  readonly probeAccepts: 'any' | '2xx';
}

export interface PoolDeps {
  readonly now: () => number;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** somebody asks for servers: a name may be followed anew */
  readonly onUse: () => void;
}

/** Without probes: how often a pool of several servers is probed when the config does not say. */
const usualProbeMs = 30_000;

export class UpstreamPool {
  /** what Domain.upstream says: the use-cases send there */
  readonly name: string;
  readonly domain: string;
  readonly policy: PoolPolicy;
  readonly #deps: PoolDeps;
  readonly #health = new Map<string, Health>();
  #servers: readonly Server[] = [];
  #changedAt = 0;

  constructor(name: string, domain: string, policy: PoolPolicy, deps: PoolDeps) {
    this.name = name;
    this.domain = domain;
    this.policy = policy;
    this.#deps = deps;
  }

  get servers(): readonly Server[] {
    return this.#servers;
  }

  /** ms between two probes; 0: there are none */
  get probeMs(): number {
    return this.policy.probeMs ?? (this.#servers.length > 1 ? usualProbeMs : 0);
  }

  /** When the servers that users are given have changed for the last time, ms since the epoch. */
  get changedAt(): number {
    const now = this.#deps.now();
    return Math.max(this.#changedAt, ...[...this.#health.values()].map((health) => recoveredAt(health, now)));
  }

  /** At least one server is worth trying before all others. */
  get usable(): boolean {
    return this.#servers.some((server) => this.standing(server) === 'usable');
  }

  standing(server: Server): Standing {
    return standingOf(this.#health.get(server.id) ?? newHealth, this.#deps.now(), this.#rules);
  }

  /** The servers there are now; what is known of those that stay is kept. */
  use(servers: readonly Server[]): void {
    const ids = new Set(servers.map(({ id }) => id));
    const same = ids.size === this.#servers.length && this.#servers.every(({ id }) => ids.has(id));
    if (!same) this.#changedAt = this.#servers.length === 0 ? 0 : this.#deps.now();
    for (const id of this.#health.keys()) if (!ids.has(id)) this.#health.delete(id);
    this.#servers = servers;
    this.measure();
  }

  /** Whom to try for this user, best first; empty when the names lead nowhere. */
  pick(user: string): readonly Server[] {
    this.#deps.onUse();
    return orderServers(this.#servers, user, (server) => this.standing(server));
  }

  tell(server: Server, event: HealthEvent): void {
    const now = this.#deps.now();
    const before = this.#health.get(server.id) ?? newHealth;
    const was = standingOf(before, now, this.#rules);
    const health = stepHealth(before, event, now, this.#rules);
    // the step may forget when time has brought it back
    this.#changedAt = Math.max(this.#changedAt, recoveredAt(before, now));
    if (this.#servers.some(({ id }) => id === server.id)) this.#health.set(server.id, health);
    const is = standingOf(health, now, this.#rules);
    if (was === is) return;
    this.#changedAt = now;
    const facts = { domain: this.domain, remote: server.id, outcome: is, count: health.fails };
    if (is === 'usable') this.#deps.log.info(facts, 'server of the PBX is up again');
    else this.#deps.log.warn({ ...facts, reason: reasonOf(event) }, 'server of the PBX is avoided');
    this.measure();
  }

  /** Writes the gauges: one for each configured upstream, whatever addresses it has. */
  measure(): void {
    const up = new Map<string, boolean>();
    for (const server of this.#servers)
      up.set(server.upstream, up.get(server.upstream) === true || this.standing(server) !== 'down');
    for (const [upstream, isUp] of up)
      this.#deps.telemetry.gauge('upstreamUp', isUp ? 1 : 0, { domain: this.domain, upstream });
  }

  /** A request has left this server for the next. */
  movedOn({ upstream }: Server, cause: 'timeout' | 'refused' | 'unreachable'): void {
    this.#deps.telemetry.count('upstreamFailovers', { domain: this.domain, upstream, cause });
  }

  get #rules(): HealthPolicy {
    const probes = this.probeMs > 0;
    return probes === this.policy.probes ? this.policy : { ...this.policy, probes };
  }
}

function reasonOf(event: HealthEvent): string {
  switch (event.is) {
    case 'probed':
      return 'no good answer to OPTIONS';
    case 'refused':
      return '503';
    default:
      return 'no answer to a request';
  }
}

/** All pools by their name. */
export type Pools = ReadonlyMap<string, UpstreamPool>;
