import { Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { mailStoreContract } from './mail-store.ts';

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

mailStoreContract(
  'redis',
  async () => {
    await operator.flushall();
    const { store, bus, mail } = await openRedis({ url: server.url, keyPrefix: 't*e[s]t:' });
    return { store: mail, close: async () => void (await Promise.all([bus.close(), store.close()])) };
  },
  missing,
);
