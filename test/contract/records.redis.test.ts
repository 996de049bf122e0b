import { afterAll, beforeAll } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { recordsContract } from './records.ts';

const missing = needs('redis-server');
let server: RedisServer;
let count = 0;

beforeAll(async () => {
  if (missing === undefined) server = await startRedis();
});
afterAll(() => server?.stop());

recordsContract(
  'redis',
  async () => {
    const keyPrefix = `test${count++}:`;
    const first = await openRedis({ url: server.url, keyPrefix });
    const second = await openRedis({ url: server.url, keyPrefix });
    return {
      records: first.records,
      another: second.records,
      close: async () => {
        await Promise.all([first.bus.close(), second.bus.close(), first.store.close(), second.store.close()]);
      },
    };
  },
  missing,
);
