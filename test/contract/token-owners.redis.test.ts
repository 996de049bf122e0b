import { afterAll, beforeAll } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { tokenOwnersContract } from './token-owners.ts';

const missing = needs('redis-server');
let server: RedisServer;
let count = 0;

beforeAll(async () => {
  if (missing === undefined) server = await startRedis();
});
afterAll(() => server?.stop());

tokenOwnersContract(
  'redis',
  async () => {
    const keyPrefix = `test${count++}:`;
    const first = await openRedis({ url: server.url, keyPrefix });
    const second = await openRedis({ url: server.url, keyPrefix });
    return {
      owners: first.owners,
      another: second.owners,
      close: async () => {
        await Promise.all([first.bus.close(), second.bus.close(), first.store.close(), second.store.close()]);
      },
    };
  },
  missing,
);
