/** The store the config names, with the news bus, the agenda and the waiting messages that go with it. */
import { type LmdbParts, openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { memoryAgenda } from '../../lib/adapters/memory/agenda.ts';
import { openMemoryStore } from '../../lib/adapters/memory/location-store.ts';
import { memoryMail } from '../../lib/adapters/memory/mail-store.ts';
import { memoryTokenOwners } from '../../lib/adapters/memory/token-owners.ts';
import { noOtherNodes } from '../../lib/adapters/memory/node-directory.ts';
import { memoryBus } from '../../lib/adapters/memory/node-bus.ts';
import { memoryRecords } from '../../lib/adapters/memory/records.ts';
import { redisAddress } from '../../lib/adapters/redis/address.ts';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import type { Config } from '../../lib/config/load.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Stores } from '../../lib/ports/stores.ts';

/** Rejects with EDGE_STORE_UNAVAILABLE or EDGE_CONFIG_INVALID when the store cannot be used. */
export async function openStore({ store }: Config, log: Log): Promise<Stores> {
  switch (store.kind) {
    case 'redis': {
      const { unseen, ...opened } = await openRedis(redisAddress(store));
      for (const reason of unseen) log.warn({ reason }, 'Redis could not be checked');
      return opened;
    }
    case 'lmdb':
      return withBus(await openLmdbStore({ path: store.path }));
    case 'memory':
      return {
        store: openMemoryStore(),
        bus: memoryBus(),
        agenda: memoryAgenda(),
        mail: memoryMail(),
        records: memoryRecords(),
        registrations: memoryAgenda(),
        owners: memoryTokenOwners(),
        ...alone(),
      };
    default:
      return store satisfies never;
  }
}

function withBus(store: LmdbParts): Stores {
  const { agenda, mail, records, registrations, owners } = store;
  return { store, bus: memoryBus(), agenda, mail, records, registrations, owners, ...alone() };
}

function alone(): Pick<Stores, 'nodes' | 'localAddress'> {
  return { nodes: noOtherNodes(), localAddress: () => undefined };
}
