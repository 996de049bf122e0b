/** The door of this adapter: a location store and a node bus on one Redis, for edges of several processes. */
import { Cluster } from 'ioredis';
import type { Stores } from '../../ports/stores.ts';
import { redisAgenda } from './agenda.ts';
import { checkServer } from './check-server.ts';
import { connectTo, connectToOne, endConnection, type Commands, type RedisAddress } from './connection.ts';
import { earsOfCluster, earsOfOne, type Ears, type Heard } from './ears.ts';
import { keysWith, type Keys } from './keys.ts';
import { redisTokenOwners } from './token-owners.ts';
import { redisMail } from './mail-store.ts';
import { RedisLocationStore } from './location-store.ts';
import { RedisNodeBus } from './node-bus.ts';
import { redisRecords } from './records.ts';
import { redisNodes } from './node-directory.ts';

export interface OpenRedis extends Stores {
  /** what could not be checked at the start, for the log */
  readonly unseen: readonly string[];
}

/**
 * Connections for commands and for what is subscribed. Rejects with EDGE_STORE_UNAVAILABLE when Redis cannot be used within
 * 5 s, with EDGE_CONFIG_INVALID when it must not be used as it is set up. Afterwards connections that end are opened again for ever.
 */
export async function openRedis(address: RedisAddress): Promise<OpenRedis> {
  const keys = keysWith(address.keyPrefix);
  const connection = await connectTo(address);
  const { redis, server } = connection;
  try {
    const unseen = await checkServer(connection, keys);
    const ears = await openEars(redis, server, address, keys);
    const store = new RedisLocationStore(connection, keys);
    const bus = new RedisNodeBus(keys, ears);
    return {
      store,
      bus,
      agenda: redisAgenda(redis, server, keys),
      mail: redisMail(redis, server, keys),
      records: redisRecords(redis, server, keys),
      registrations: redisAgenda(redis, server, keys, 'registrations'),
      owners: redisTokenOwners(redis, server, keys),
      nodes: redisNodes(redis, server, keys),
      localAddress: () => localAddressOf(redis),
      unseen,
    };
  } catch (error) {
    await endConnection(redis);
    throw error;
  }
}

async function openEars(
  redis: Commands,
  server: string,
  address: RedisAddress,
  keys: Keys,
): Promise<(heard: Heard) => Ears> {
  if (redis instanceof Cluster) return (heard) => earsOfCluster({ redis, server }, address, heard);
  const subscriber = await connectToOne(address, { autoResubscribe: false });
  return (heard) => earsOfOne(subscriber.redis, redis, keys, heard);
}

function localAddressOf(redis: Commands): string | undefined {
  const one = redis instanceof Cluster ? redis.nodes('master')[0] : redis;
  const { localAddress } = (one?.stream ?? {}) as { readonly localAddress?: string };
  // a socket of both families writes IPv4 so
  return localAddress?.replace(/^::ffff:/, '');
}
