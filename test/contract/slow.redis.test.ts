/** Redis at the end of a slow link: what is asked does not wait for what was asked before, and nobody counts as dead for it. */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type OpenRedis, openRedis } from '../../lib/adapters/redis/open-redis.ts';
import type { EdgeNode } from '../../lib/ports/node-directory.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTornProxy, type TornProxy } from '../support/torn-proxy.ts';

const missing = needs('redis-server');
const patience = { timeout: 8000, interval: 10 };
const aNode = (id: string): EdgeNode => ({ id, engine: `engine-of-${id}` });

describe.skipIf(missing !== undefined)(titled('Redis at the end of a slow link', missing), { timeout: 20_000 }, () => {
  let server: RedisServer;
  let proxy: TornProxy;
  let opened: OpenRedis[];
  let prefixes = 0;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(async () => server?.stop());
  beforeEach(async () => {
    prefixes += 1;
    opened = [];
    proxy = await startTornProxy(server.port);
  });
  afterEach(async () => {
    proxy.delay(0);
    proxy.thaw();
    for (const { nodes, bus, store } of opened) await Promise.all([nodes.close(), bus.close(), store.close()]);
    await proxy.stop();
  });

  async function open(port: number): Promise<OpenRedis> {
    const one = await openRedis({ url: `redis://127.0.0.1:${port}/0`, keyPrefix: `slow${prefixes}:` });
    opened.push(one);
    return one;
  }

  it('answers each command after one round trip, whatever else is under way', async () => {
    const { store } = await open(proxy.port);
    proxy.delay(300);
    const first = store.read('alice@example.com');
    await pause(100);
    // one that waited for the first would not be answered within its second
    const later = [store.read('bob@example.com'), store.read('carl@example.com')];
    expect(await Promise.all([first, ...later])).toHaveLength(3);
  });

  it('leaves nodes sure of themselves, and known to the others, at 700 ms a round trip', async () => {
    const slow = await open(proxy.port);
    const other = await open(server.port);
    const gone: string[] = [];
    await slow.nodes.announce(aNode('slow'), () => ['invite-1']);
    await other.nodes.announce(aNode('other'), () => []);
    other.nodes.onGone(({ id }) => gone.push(id));
    await expect.poll(() => [slow.nodes.others, other.nodes.others], patience).toEqual([1, 1]);
    proxy.delay(350);
    let unsure = 0;
    for (const until = performance.now() + 4000; performance.now() < until; await pause(10))
      if (slow.nodes.sureUntil < performance.now()) unsure += 1;
    expect([unsure, gone]).toEqual([0, []]);
    expect(await slow.nodes.confirm()).toBe('sure');
    expect(slow.nodes.others).toBe(1);
  });

  it('knows what a node held last, though its words overtake the answers to those before them', async () => {
    const slow = await open(proxy.port);
    const other = await open(server.port);
    const words = ['first', 'first', 'second', 'first'];
    let said = 0;
    await slow.nodes.announce(aNode('slow'), () => [words[said++] ?? 'first']);
    await other.nodes.announce(aNode('other'), () => []);
    await expect.poll(() => other.nodes.others, patience).toBe(1);
    said = 0;
    proxy.delay(250);
    await expect.poll(() => said, patience).toBeGreaterThan(words.length + 3);
    const left = new Promise<EdgeNode>((resolve) => other.nodes.onLeft(resolve));
    proxy.freeze();
    expect(await other.nodes.takeOver(await left)).toEqual(['first']);
  });

  it('is asked once a second for what is due, not for each part of an agenda', async () => {
    const { agenda } = await open(server.port);
    const redis = new Redis(server.url);
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    try {
      await agenda.claim(Date.now(), Date.now() + 1000, 10);
      const before = await scripts();
      for (let n = 0; n < 10; n += 1) await agenda.claim(Date.now(), Date.now() + 1000, 10);
      expect((await scripts()) - before).toBe(10);
    } finally {
      redis.disconnect();
    }
  });
});
