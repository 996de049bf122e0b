/**
 * A Client that knows the servers behind a PBX: a request for one is sent to the best of them, and to the next after a 503, a transport
 * error or silence, within the time the request has (RFC 3263 4.3). To everybody else it is the client it was given.
 */
import type { Client, ClientAnswer, ClientRequest } from '../ports/client.ts';
import type { Pools, UpstreamPool } from './pool.ts';
import { headersTowards, routeTowards, userOf } from './towards.ts';
import { verdictOf } from './verdict.ts';

export interface FailoverDeps {
  readonly pools: Pools;
  /** ms, never set back */
  readonly precise: () => number;
  /** the engine is there: else its silence says nothing about any server */
  readonly connected: () => boolean;
}

/** Less than this is no time for another server. */
const leastMs = 250;

export class FailoverClient implements Client {
  readonly #client: Client;
  readonly #deps: FailoverDeps;

  constructor(client: Client, deps: FailoverDeps) {
    this.#client = client;
    this.#deps = deps;
  }

  send(request: ClientRequest): Promise<ClientAnswer> {
    const pool = request.nextHop === undefined ? undefined : this.#deps.pools.get(request.nextHop);
    return pool === undefined ? this.#client.send(request) : this.#sendTo(pool, request);
  }

  async #sendTo(pool: UpstreamPool, request: ClientRequest): Promise<ClientAnswer> {
    const servers = pool.pick(userOf(request.method, request.headers));
    const usual = pool.servers[0]?.edgeHost ?? '';
    const end = this.#deps.precise() + request.timeoutMs;
    for (const [at, server] of servers.entries()) {
      const left = end - this.#deps.precise();
      const last = at === servers.length - 1 || left - pool.policy.tryMs < leastMs;
      const answer = await this.#client.send({
        ...request,
        ...routeTowards(server, request.routes),
        headers: headersTowards(request.headers, server, usual),
        timeoutMs: last ? Math.max(leastMs, left) : pool.policy.tryMs,
      });
      if (answer.local && !this.#deps.connected()) return answer;
      const verdict = verdictOf(answer.response, answer.local);
      if (verdict !== undefined) pool.tell(server, verdict.event);
      if (verdict?.moves === undefined || at === servers.length - 1) return answer;
      if (end - this.#deps.precise() < leastMs) return answer;
      pool.movedOn(server, verdict.moves);
    }
    // the names lead nowhere as far as we know: perhaps the engine knows better
    return this.#client.send(request);
  }
}
