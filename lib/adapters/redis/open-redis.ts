/** The door of this adapter: a location store and a node bus on one Redis, for edges of several processes. */
import type { Agenda } from '../../ports/agenda.ts';
import type { LocationStore } from '../../ports/location-store.ts';
import type { MailStore } from '../../ports/mail-store.ts';
import type { NodeBus } from '../../ports/node-bus.ts';
import { redisAgenda } from './agenda.ts';
import { connectTo, endConnection } from './connection.ts';
import { keysWith } from './keys.ts';
import type { TokenOwners } from '../../ports/token-owners.ts';
import { redisTokenOwners } from './token-owners.ts';
import { redisMail } from './mail-store.ts';
import { RedisLocationStore } from './location-store.ts';
import { RedisNodeBus } from './node-bus.ts';

export interface RedisAddress {
  /** `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS */
  readonly url: string;
  /** first part of every key, such as `reveille:` */
  readonly keyPrefix: string;
}

/**
 * Two connections: commands, and what is subscribed. Rejects with EDGE_STORE_UNAVAILABLE when Redis cannot be used within
 * 5 s, with EDGE_CONFIG_INVALID when the URL is none. Afterwards connections that end are opened again for ever.
 */
export async function openRedis(address: RedisAddress): Promise<{
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly agenda: Agenda;
  readonly mail: MailStore;
  readonly owners: TokenOwners;
}> {
  const keys = keysWith(address.keyPrefix);
  const commands = await connectTo(address.url, { enableAutoPipelining: true });
  try {
    const subscriber = await connectTo(address.url, { autoResubscribe: false });
    const store = new RedisLocationStore(commands, keys);
    const bus = new RedisNodeBus(subscriber.redis, commands.redis, keys);
    const { redis, server } = commands;
    return {
      ...{ store, bus, agenda: redisAgenda(redis, server, keys) },
      ...{ mail: redisMail(redis, server, keys), owners: redisTokenOwners(redis, server, keys) },
    };
  } catch (error) {
    await endConnection(commands.redis);
    throw error;
  }
}
