/** Two nodes on one real Redis, each time under keys of their own; the server lives as long as the file that asks. */
import { afterAll, beforeAll } from 'vitest';
import { openRedis, type OpenRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs } from './needs.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

export interface RedisPair {
  readonly first: OpenRedis;
  readonly second: OpenRedis;
  /** of the server, and what all keys begin with: to look at them, or to spoil them */
  readonly url: string;
  readonly keyPrefix: string;
  close(): Promise<void>;
}

/** `missing`: why there is no Redis here; then `open` must not be called. */
export function redisPairs(): { readonly missing: string | undefined; open(): Promise<RedisPair> } {
  const missing = needs('redis-server');
  let server: RedisServer;
  let count = 0;
  beforeAll(async () => {
    if (missing === undefined) server = await startRedis();
  });
  afterAll(() => server?.stop());
  return {
    missing,
    open: async () => {
      const keyPrefix = `test${count++}:`;
      const first = await openRedis({ url: server.url, keyPrefix });
      const second = await openRedis({ url: server.url, keyPrefix });
      const close = async (): Promise<void> => {
        await Promise.all([first, second].flatMap(({ bus, store }) => [bus.close(), store.close()]));
      };
      return { first, second, url: server.url, keyPrefix, close };
    },
  };
}
