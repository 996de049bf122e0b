/** Tens of thousands of phones in a real Redis: that every key ends, what a phone takes, and that nothing asks for all of them at once. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fill, listAll } from '../../bench/million/load.ts';
import { aorOf } from '../../bench/million/phones.ts';
import { openRedis, type OpenRedis } from '../../lib/adapters/redis/open-redis.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';

const phones = 20_000;
const missing = needs('redis-server');

describe.skipIf(missing !== undefined)(titled(`${phones} phones in Redis`, missing), { timeout: 120_000 }, () => {
  let server: RedisServer;
  let operator: Redis;
  let opened: OpenRedis;
  let bytes = 0;
  beforeAll(async () => {
    server = await startRedis();
    operator = new Redis(server.url);
    opened = await openRedis({ url: server.url, keyPrefix: 'many:' });
    await opened.nodes.announce({ id: 'one', engine: 'e' }, () => []);
    await opened.store.shared('edge-secret', () => 'a secret');
    await opened.records.swap('census', 'bindings', 0, '{}');
    const before = await memory();
    await fill(opened, { phones, seconds: 3600 });
    bytes = ((await memory()) - before) / phones;
  }, 120_000);
  afterAll(async () => {
    if (missing !== undefined) return;
    await operator.quit();
    await opened.nodes.close();
    await opened.bus.close();
    await opened.store.close();
    await server.stop();
  });

  async function memory(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await operator.info('memory'))?.[1]);
  }

  /** `look` at pages of all keys there are. */
  async function eachPage(look: (keys: readonly string[]) => Promise<void>): Promise<void> {
    let cursor = '0';
    do {
      const [next, keys] = await operator.scan(cursor, 'COUNT', 500);
      cursor = next;
      await look(keys);
    } while (cursor !== '0');
  }

  async function commands(): Promise<Map<string, number>> {
    const found = (await operator.info('commandstats')).matchAll(/cmdstat_([a-z|]+):calls=(\d+)/g);
    return new Map(Array.from(found, ([, name = '', count]) => [name, Number(count)]));
  }

  it('every key ends', async () => {
    const endless: string[] = [];
    await eachPage(async (keys) => {
      const lives = await Promise.all(keys.map((key) => operator.pttl(key)));
      endless.push(...keys.filter((_, at) => (lives[at] ?? -1) < 0));
    });
    expect(endless).toEqual([]);
    expect(await operator.dbsize()).toBeGreaterThan(phones);
  });

  it('a binding with push data takes at most 1 KiB of Redis, with its refresh task and the owners of its tokens', async () => {
    let sum = 0;
    let most = 0;
    let sets = 0;
    await eachPage(async (keys) => {
      const mine = keys.filter((key) => key.startsWith('many:set:'));
      const sizes = await Promise.all(mine.map((key) => operator.memory('USAGE', key)));
      for (const size of sizes) sum += size ?? 0;
      most = Math.max(most, ...sizes.map((size) => size ?? 0));
      sets += mine.length;
    });
    expect(sets).toBeGreaterThanOrEqual(phones);
    expect(most).toBeLessThanOrEqual(768);
    expect(sum / sets).toBeGreaterThan(300);
    // all that Redis uses more since there are phones, tables and expiry in it
    expect(bytes).toBeGreaterThan(sum / sets);
    expect(bytes).toBeLessThanOrEqual(1024);
  });

  it('owners of tokens lie in small hashes that Redis keeps as lists', async () => {
    const encodings = new Set<unknown>();
    await eachPage(async (keys) => {
      const mine = keys.filter((key) => key.startsWith('many:owners:'));
      for (const encoding of await Promise.all(mine.map((key) => operator.object('ENCODING', key))))
        encodings.add(encoding);
    });
    expect([...encodings]).toEqual([expect.stringMatching(/^(?:listpack|ziplist)$/)]);
  });

  it('a list of all asks in pages, and for nothing else', async () => {
    await operator.config('RESETSTAT');
    const { bindings, page } = await listAll(opened.store);
    expect(bindings).toBeGreaterThanOrEqual(phones);
    // SCAN may give a bucket more than was asked for
    expect(page).toBeLessThanOrEqual(250);
    const asked = await commands();
    for (const atOnce of ['keys', 'smembers', 'zrange', 'hkeys', 'hvals', 'sort'])
      expect(asked.get(atOnce), atOnce).toBeUndefined();
    expect(asked.get('scan')).toBeGreaterThan(phones / 250);
  });

  it('tasks that are due together are claimed in small scripts', async () => {
    await operator.config('RESETSTAT');
    const at = Date.now() + 3_600_000;
    expect(await opened.agenda.claim(at, at + 60_000, 10_000)).toHaveLength(10_000);
    const asked = await commands();
    expect(asked.get('zadd')).toBeGreaterThanOrEqual(10_000);
    expect(asked.get('evalsha')).toBeGreaterThanOrEqual(100);
  });

  it('sets are written, read and forgotten by commands that touch one AOR', async () => {
    await operator.config('RESETSTAT');
    const { version, bindings } = await opened.store.read(aorOf(1));
    expect(await opened.store.swap(aorOf(1), version, bindings, Date.now() + 50)).toBe('stored');
    await expect.poll(() => opened.store.read(aorOf(1)), { timeout: 5000 }).toEqual({ version: 0, bindings: [] });
  });
});
