/** Asks every server of every PBX by OPTIONS whether it is there (RFC 3261 11), each at its own pace. */
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ids } from '../ports/ids.ts';
import { Headers } from '../sip/headers.ts';
import type { Server, UpstreamPool } from './pool.ts';
import { routeTowards } from './towards.ts';

export interface ProbeDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly ids: Ids;
  /** the engine is there: else nothing is learnt */
  readonly connected: () => boolean;
}

/** How soon is looked again whether a pool has become one that is probed. */
const idleMs = 5000;

/** The returned function ends it. */
export function startProbes(pools: Iterable<UpstreamPool>, deps: ProbeDeps): () => void {
  const stops = new Map<UpstreamPool, () => void>();
  let over = false;
  const round = async (pool: UpstreamPool): Promise<void> => {
    const { probeMs } = pool;
    if (probeMs > 0) await Promise.all(pool.servers.map((server) => probe(pool, server, deps)));
    if (!over)
      stops.set(
        pool,
        deps.clock.after(probeMs > 0 ? probeMs : idleMs, () => void round(pool)),
      );
  };
  for (const pool of pools) if (pool.policy.probeMs !== 0) void round(pool);
  return () => {
    over = true;
    for (const stop of stops.values()) stop();
  };
}

async function probe(pool: UpstreamPool, server: Server, { client, ids, connected }: ProbeDeps): Promise<void> {
  const headers = Headers.of([
    ['Max-Forwards', '70'],
    ['From', `<sip:${server.edgeHost}>;tag=${ids.hex(8)}`],
    ['To', `<${server.probeUri}>`],
    ['Call-ID', ids.uuid()],
    ['CSeq', '1 OPTIONS'],
    ['Contact', `<sip:${server.edgeHost}>`],
    ['Accept', 'application/sdp'],
  ]);
  const { response, local } = await client.send({
    method: 'OPTIONS',
    uri: server.probeUri,
    ...routeTowards(server),
    headers,
    body: '',
    timeoutMs: pool.policy.probeTimeoutMs,
  });
  if (!connected()) return;
  const good = !local && response.status !== 503 && (pool.policy.probeAccepts === 'any' || response.status < 300);
  pool.tell(server, { is: 'probed', good });
  pool.measure();
}
