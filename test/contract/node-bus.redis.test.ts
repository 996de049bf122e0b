import { afterAll, beforeAll } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from '../support/needs.ts';
import { startRedis } from '../support/redis-server.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { nodeBusContract } from './node-bus.ts';

const missing = needs('redis-server');
let server: RedisServer;

beforeAll(async () => {
  if (missing === undefined) server = await startRedis();
});
afterAll(() => server?.stop());

nodeBusContract(
  'redis',
  async () => {
    const first = await openRedis({ url: server.url, keyPrefix: 'test:' });
    const second = await openRedis({ url: server.url, keyPrefix: 'test:' });
    return {
      bus: first.bus,
      other: second.bus,
      close: async () => {
        await Promise.all([first.bus.close(), second.bus.close(), first.store.close(), second.store.close()]);
      },
    };
  },
  missing,
);
