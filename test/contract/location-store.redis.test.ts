import { Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from '../support/needs.ts';
import { startRedis } from '../support/redis-server.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { knownSecrets, locationStoreContract } from './location-store.ts';

const missing = needs('redis-server');
let server: RedisServer;
let operator: Redis;

beforeAll(async () => {
  if (missing !== undefined) return;
  server = await startRedis();
  operator = new Redis(server.url);
});
afterAll(async () => {
  await operator?.quit();
  await server?.stop();
});

locationStoreContract(
  'redis',
  async () => {
    await operator.flushall();
    // as README.md tells the operator to do it
    await operator.hset(
      't*e[s]t:secret:{alice@example.com}',
      'md5',
      knownSecrets[0].md5,
      'sha256',
      knownSecrets[0].sha256,
    );
    await operator.hset('t*e[s]t:secret:{bob@example.com}', 'sha256', knownSecrets[1].sha256.toUpperCase());
    await operator.hset('t*e[s]t:secret:{o%7Bd%7Dd%40u%257Bs:er@A "quoted" realm\\ü}', {
      md5: knownSecrets[2].md5,
      sha256: 'not a hash',
    });
    const first = await openRedis({ url: server.url, keyPrefix: 't*e[s]t:' });
    const second = await openRedis({ url: server.url, keyPrefix: 't*e[s]t:' });
    return {
      store: first.store,
      another: second.store,
      close: async () => {
        await Promise.all([first.bus.close(), second.bus.close(), first.store.close(), second.store.close()]);
      },
    };
  },
  missing,
);
