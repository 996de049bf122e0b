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
import type { Agenda } from '../../lib/ports/agenda.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { MailStore } from '../../lib/ports/mail-store.ts';
import type { TokenOwners } from '../../lib/ports/token-owners.ts';
import type { NodeBus } from '../../lib/ports/node-bus.ts';
import type { Records } from '../../lib/ports/records.ts';
import type { NodeDirectory } from '../../lib/ports/node-directory.ts';

interface OpenStore {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly agenda: Agenda;
  readonly mail: MailStore;
  readonly records: Records;
  /** of registrations at PBXs */
  readonly registrations: Agenda;
  readonly owners: TokenOwners;
  readonly nodes: NodeDirectory;
  /** our address towards the store; undefined when it is in this process */
  readonly localAddress: () => string | undefined;
}

/** Rejects with EDGE_STORE_UNAVAILABLE or EDGE_CONFIG_INVALID when the store cannot be used. */
export async function openStore({ store }: Config, log: Log): Promise<OpenStore> {
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

function withBus(store: LmdbParts): OpenStore {
  const { agenda, mail, records, registrations, owners } = store;
  return { store, bus: memoryBus(), agenda, mail, records, registrations, owners, ...alone() };
}

function alone(): Pick<OpenStore, 'nodes' | 'localAddress'> {
  return { nodes: noOtherNodes(), localAddress: () => undefined };
}
