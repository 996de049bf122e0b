/** What becomes of the Redis store and bus when Redis stops, freezes, forgets or refuses. */
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { EdgeError } from '../../lib/errors.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { BindingNews, NodeBus } from '../../lib/ports/node-bus.ts';
import { aBinding } from '../support/a-binding.ts';
import { needs, titled } from '../support/needs.ts';
import { startRedis } from '../support/redis-server.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { refreshOf } from './node-bus.ts';

const missing = needs('redis-server');
const aor = 'alice@example.com';
const soon = (): number => Date.now() + 3_600_000;
const unavailable = { name: 'EdgeError', code: 'EDGE_STORE_UNAVAILABLE' };
const patience = { timeout: 8000, interval: 20 };

describe.skipIf(missing !== undefined)(titled('Redis that fails', missing), { timeout: 20_000 }, () => {
  let server: RedisServer;
  let opened: { readonly store: LocationStore; readonly bus: NodeBus }[];
  let store: LocationStore;
  let bus: NodeBus;

  async function another(): Promise<{ readonly store: LocationStore; readonly bus: NodeBus }> {
    const one = await openRedis({ url: server.url, keyPrefix: 'test:' });
    opened.push(one);
    return one;
  }

  beforeEach(async () => {
    opened = [];
    server = await startRedis({ password: 'p@ss:wörd' });
    ({ store, bus } = await another());
  });
  afterEach(async () => {
    server.thaw();
    await Promise.all(opened.flatMap((one) => [one.bus.close(), one.store.close()]));
    await server.stop();
  });

  const heals = (one: LocationStore): Promise<void> =>
    expect
      .poll(
        () =>
          one.ping().then(
            () => 'up',
            () => 'down',
          ),
        patience,
      )
      .toBe('up') as Promise<void>;

  it('rejects within about a second while Redis is frozen, and works on when it thaws', async () => {
    await store.swap(aor, 0, [aBinding()], soon());
    server.freeze();
    const begun = performance.now();
    const late: number[] = [];
    // one after the other in time, so that some are asked for while others are already waiting
    const asked = Array.from({ length: 20 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 100));
      const start = performance.now();
      await expect(i % 2 === 0 ? store.read(aor) : store.swap(aor, 1, [], 0)).rejects.toMatchObject(unavailable);
      late.push(performance.now() - start);
    });
    await Promise.all(asked);
    expect(performance.now() - begun).toBeGreaterThan(1000);
    expect(Math.max(...late)).toBeLessThan(1600); // 1 s and a busy machine; waiting in line would make it 2 s
    server.thaw();
    await heals(store);
    expect((await store.read(aor)).bindings).toEqual([aBinding()]);
  });

  it('rejects at once while Redis is down, and works on after a restart', async () => {
    await server.kill();
    await expect
      .poll(
        () =>
          store.ping().then(
            () => 'up',
            () => 'down',
          ),
        patience,
      )
      .toBe('down');
    await expect(store.read(aor)).rejects.toMatchObject(unavailable);
    await expect(store.swap(aor, 0, [aBinding()], soon())).rejects.toMatchObject(unavailable);
    await expect(store.shared('key', () => 'value')).rejects.toMatchObject(unavailable);
    await expect(store.readSecret('alice', 'example.com')).rejects.toMatchObject(unavailable);
    await expect(store.scan('', 10)).rejects.toMatchObject(unavailable);
    await server.restart();
    await heals(store);
    expect(await store.swap(aor, 0, [aBinding()], soon())).toBe('stored');
  });

  it('is there for good once it is back: the silence of the connection before does not end the new one', async () => {
    server.freeze();
    const due = store.ping().catch(() => 'no answer');
    await server.kill();
    expect(await due).toBe('no answer');
    await server.restart();
    await heals(store);
    const back = performance.now();
    let answered = 0;
    // longer than a connection may be silent
    while (performance.now() - back < 3500) {
      await store.ping();
      answered += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(answered).toBeGreaterThan(10);
  });

  it('puts shared values back after Redis has lost them', async () => {
    expect(await store.shared('token-key', () => 'of the first day')).toBe('of the first day');
    await server.restart();
    await heals(store);
    const second = await another();
    await expect
      .poll(() => second.store.shared('token-key', () => 'of the first day'), patience)
      .toBe('of the first day');
    const operator = new Redis(server.url);
    await expect.poll(() => operator.get('test:shared:{token-key}'), patience).toBe('of the first day');
    await operator.quit();
  });

  it('gives its scripts again when Redis has forgotten them', async () => {
    await store.swap(aor, 0, [aBinding()], soon());
    const operator = new Redis(server.url);
    await operator.script('FLUSH');
    const { version } = await store.read(aor);
    expect(await store.swap(aor, version, [aBinding({ cseq: 2 })], soon())).toBe('stored');
    await operator.quit();
  });

  it('leaves no key without expiry', async () => {
    await store.swap(aor, 0, [aBinding()], soon());
    await store.swap('bob@x', 0, [aBinding()], Number.MAX_SAFE_INTEGER);
    await store.shared('token-key', () => 'value');
    await bus.subscribe(aor, () => undefined);
    await bus.publish(refreshOf(aor));
    const operator = new Redis(server.url);
    const keys = await operator.keys('*');
    expect(keys).toHaveLength(3);
    for (const key of keys) expect(await operator.pttl(key)).toBeGreaterThan(0);
    await operator.quit();
  });

  it('keeps a binding with push data in less than a kilobyte of Redis memory, and reads those written whole', async () => {
    await store.swap(aor, 0, [aBinding()], soon());
    const operator = new Redis(server.url);
    expect(await operator.memory('USAGE', `test:set:{${aor}}`)).toBeLessThan(1024);
    const whole = `${'7'.padStart(16, '0')}${JSON.stringify([aBinding({ cseq: 7 })])}`;
    await operator.set(`test:set:{${aor}}`, whole, 'PX', 60_000);
    expect(await store.read(aor)).toEqual({ version: 7, bindings: [aBinding({ cseq: 7 })] });
    await operator.quit();
  });

  it('takes values of others in its keys for unknown, and writes them anew', async () => {
    const operator = new Redis(server.url);
    await operator.set(`test:set:{${aor}}`, 'not one of ours');
    expect(await store.read(aor)).toEqual({ version: 0, bindings: [] });
    expect(await store.swap(aor, 0, [aBinding()], soon())).toBe('stored');
    await operator.set(`test:set:{${aor}}`, `${'7'.padStart(16, '0')}[{"half a bind`);
    expect(await store.read(aor)).toEqual({ version: 7, bindings: [] });
    expect(await store.swap(aor, 7, [aBinding()], soon())).toBe('stored');
    await operator.del(`test:set:{${aor}}`);
    await operator.lpush(`test:set:{${aor}}`, 'a list');
    await expect(store.read(aor)).rejects.toMatchObject(unavailable);
    await operator.quit();
  });

  describe('bus', () => {
    it('tells every listener of a gap after the connection was away, and hears other nodes again', async () => {
      const other = await another();
      const heard: BindingNews[] = [];
      await bus.subscribe(aor, (news) => heard.push(news));
      await bus.subscribe('bob@x', (news) => heard.push(news));
      await server.restart();
      await expect.poll(() => heard.length, patience).toBe(2);
      expect(heard).toEqual([
        { is: 'gap', aor },
        { is: 'gap', aor: 'bob@x' },
      ]);
      await heals(other.store);
      await other.bus.publish(refreshOf(aor));
      await expect.poll(() => heard.at(-1), patience).toEqual(refreshOf(aor));
    });

    it('tells of a gap after many calls were waiting on a lost connection', async () => {
      const gaps = new Set<string>();
      for (let i = 0; i < 1200; i += 1) await bus.subscribe(`u${i}@x`, (news) => gaps.add(`${news.is} ${news.aor}`));
      await server.restart();
      await expect.poll(() => gaps.size, patience).toBe(1200);
      expect(gaps).toContain('gap u1199@x');
    });

    it('hears local news, publishes without waiting and subscribes in time while Redis is frozen, then tells of the gap', async () => {
      const heard: BindingNews[] = [];
      server.freeze();
      const begun = performance.now();
      await bus.subscribe(aor, (news) => heard.push(news));
      expect(performance.now() - begun).toBeLessThan(1600);
      const before = performance.now();
      await bus.publish(refreshOf(aor));
      expect(performance.now() - before).toBeLessThan(500);
      expect(heard).toEqual([refreshOf(aor)]);
      server.thaw();
      await expect.poll(() => heard.at(-1), patience).toEqual({ is: 'gap', aor });
      const other = await another();
      await other.bus.publish(refreshOf(aor, 'after'));
      await expect.poll(() => heard.at(-1), patience).toEqual(refreshOf(aor, 'after'));
    });

    it('hears local news while Redis is down, and subscribes at once', async () => {
      await server.kill();
      await expect
        .poll(
          () =>
            store.ping().then(
              () => 'up',
              () => 'down',
            ),
          patience,
        )
        .toBe('down');
      const heard: BindingNews[] = [];
      await bus.subscribe(aor, (news) => heard.push(news));
      await bus.publish(refreshOf(aor));
      expect(heard).toEqual([refreshOf(aor)]);
      await server.restart();
      await expect.poll(() => heard.at(-1), patience).toEqual({ is: 'gap', aor });
    });

    it('tells nobody of a gap who has stopped listening', async () => {
      const heard: string[] = [];
      const end = await bus.subscribe(aor, () => heard.push('ended'));
      await bus.subscribe('bob@x', () => heard.push('bob'));
      end();
      await server.restart();
      await expect.poll(() => heard, patience).toEqual(['bob']);
    });

    it('is deaf to what is not news', async () => {
      const heard: BindingNews[] = [];
      await bus.subscribe(aor, (news) => heard.push(news));
      const operator = new Redis(server.url);
      const bad = [
        '',
        'null',
        '{',
        '[]',
        '["x"]',
        '["x",null]',
        '["x",{"is":"gap"}]',
        '["x",{"is":"removed","bindingId":7}]',
      ];
      for (const text of bad) await operator.publish(`test:news:{${aor}}`, text);
      await operator.publish(`test:news:{${aor}}`, '["x",{"is":"refresh-rejected","bindingId":"b","status":"403"}]');
      await operator.publish(`test:news:{${aor}}`, '["x",{"is":"removed","aor":"somebody@else","bindingId":"b"}]');
      await expect.poll(() => heard, patience).toEqual([{ is: 'removed', aor, bindingId: 'b' }]);
      await operator.quit();
    });
  });

  describe('tells nothing secret', () => {
    const secrets = /w%C3%B6rd|wörd|p@ss|0123456789abcdef|192\.0\.2\.17/;

    function everythingIn(error: unknown): string {
      if (!(error instanceof EdgeError)) return expect.fail('not an EdgeError');
      const texts: string[] = [];
      const walk = (value: unknown, depth: number): void => {
        if (typeof value === 'string') texts.push(value);
        if (typeof value !== 'object' || value === null || depth > 6) return;
        for (const name of Object.getOwnPropertyNames(value)) walk(Reflect.get(value, name), depth + 1);
      };
      walk(error, 0);
      return texts.join('\n');
    }

    it('when a command is refused, although Redis and its client quote it', async () => {
      const strict = await startRedis({ settings: ['--rename-command', 'EVALSHA', ''] });
      const one = await openRedis({ url: strict.url, keyPrefix: 'test:' });
      const error: unknown = await one.store.swap(aor, 0, [aBinding()], soon()).catch((reason: unknown) => reason);
      expect(everythingIn(error)).toMatch(/unknown command/);
      expect(everythingIn(error)).not.toMatch(secrets);
      await Promise.all([one.bus.close(), one.store.close()]);
      await strict.stop();
    });

    it('when the password is wrong', async () => {
      const url = `redis://:wrong-secret@127.0.0.1:${server.port}/0`;
      const error: unknown = await openRedis({ url, keyPrefix: 'test:' }).catch((reason: unknown) => reason);
      expect(error).toMatchObject(unavailable);
      expect(everythingIn(error)).toContain(`127.0.0.1:${server.port}`);
      expect(everythingIn(error)).toMatch(/WRONGPASS|password/);
      expect(everythingIn(error)).not.toMatch(/wrong-secret/);
    });

    it('when Redis cannot be reached', async () => {
      await server.kill();
      const error: unknown = await openRedis({ url: server.url, keyPrefix: 'test:' }).catch(
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject(unavailable);
      expect(everythingIn(error)).toMatch(/ECONNREFUSED/);
      expect(everythingIn(error)).not.toMatch(secrets);
      await server.restart();
    });

    it.each(['', 'localhost', 'http://:hidden@x', 'redis//:hidden@x'])('when the address is %j', async (url) => {
      const error: unknown = await openRedis({ url, keyPrefix: 'test:' }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'EDGE_CONFIG_INVALID' });
      expect(everythingIn(error)).not.toMatch(/hidden/);
    });
  });
});
