/** Puts what knows the servers of a PBX (lib/upstream) before the SIP of the engine, and starts the probes. */
import { systemClock } from '../../lib/adapters/system/clock.ts';
import { systemIds } from '../../lib/adapters/system/ids.ts';
import type { Config } from '../../lib/config/load.ts';
import type { Client } from '../../lib/ports/client.ts';
import type { Legs } from '../../lib/ports/leg.ts';
import { FailoverClient } from '../../lib/upstream/failover-client.ts';
import { FailoverLegs } from '../../lib/upstream/failover-legs.ts';
import type { Pools } from '../../lib/upstream/pool.ts';
import { startProbes } from '../../lib/upstream/probes.ts';

export interface Servers {
  readonly client: Client;
  readonly legs: Legs;
  /** why this node is not ready, if the config wants that to depend on a PBX */
  missing(): string | undefined;
  close(): void;
}

/** `engine`: the SIP this stands before. */
export function openServers(
  engine: { readonly client: Client; readonly legs: Legs; readonly isUp: () => boolean },
  pools: Pools,
  config: Config,
): Servers {
  const deps = { pools, precise: () => performance.now(), connected: engine.isUp };
  const probed = { client: engine.client, clock: systemClock, ids: systemIds, connected: deps.connected };
  const stopProbes = startProbes(pools.values(), probed);
  const needed = new Set(config.domains.filter(({ availability }) => availability.ready).map(({ name }) => name));
  return {
    client: new FailoverClient(engine.client, deps),
    legs: new FailoverLegs(engine.legs, { ...deps, clock: systemClock, hears100: config.engine.kind === 'embedded' }),
    missing: () => {
      const without = [...pools.values()].find(({ domain, usable }) => needed.has(domain) && !usable);
      return without && `no server of the PBX of ${without.domain} is up`;
    },
    close: stopProbes,
  };
}
