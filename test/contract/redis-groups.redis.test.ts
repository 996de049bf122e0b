/** Redis as it is run in earnest: Sentinel, Cluster, TLS, users with few rights, and settings that would lose phones. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import type { RedisAddress } from '../../lib/adapters/redis/connection.ts';
import { openRedis, type OpenRedis } from '../../lib/adapters/redis/open-redis.ts';
import type { BindingNews } from '../../lib/ports/node-bus.ts';
import { aBinding } from '../support/a-binding.ts';
import { needs, titled } from '../support/needs.ts';
import { askNode, groupUrl, startCluster, startSentinel, type RedisGroup } from '../support/redis-group.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { refreshOf } from './node-bus.ts';

const missing = needs('redis-server');
const soon = (): number => Date.now() + 3_600_000;
const patience = { timeout: 20_000, interval: 50 };
const users = Array.from({ length: 30 }, (_, i) => `user${i}@example.com`);

let opened: OpenRedis[] = [];
afterEach(async () => {
  await Promise.all(opened.flatMap((one) => [one.bus.close(), one.store.close()]));
  opened = [];
});

async function open(address: RedisAddress): Promise<OpenRedis> {
  const one = await openRedis(address);
  opened.push(one);
  return one;
}

async function keepsWorking({ store, agenda, mail }: OpenRedis): Promise<void> {
  for (const aor of users) {
    const { version } = await store.read(aor);
    expect(await store.swap(aor, version, [aBinding({ aor })], soon())).toBe('stored');
  }
  expect(await allAors(store)).toEqual(users.toSorted());
  await agenda.put('a task', 1);
  expect((await agenda.claim(Date.now(), Date.now() + 60_000, 10)).map(({ task }) => task)).toEqual(['a task']);
  await agenda.put('a task', 1);
  expect(await mail.waiting(users[0] ?? '')).toEqual([]);
}

async function allAors(store: OpenRedis['store']): Promise<readonly string[]> {
  const found = new Set<string>();
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const page = await store.scan(cursor, 7);
    for (const aor of page.aors) found.add(aor);
    cursor = page.next;
  }
  return [...found].toSorted();
}

/** Every listener hears news of the other node again, and was told that it may have missed some. */
async function hearsAgain(from: OpenRedis, heard: ReadonlyMap<string, readonly BindingNews[]>): Promise<void> {
  for (const aor of users) {
    await expect
      .poll(async () => {
        await from.bus.publish(refreshOf(aor, 'afterwards'));
        return heard.get(aor)?.some((news) => news.is === 'refresh-accepted' && news.bindingId === 'afterwards');
      }, patience)
      .toBe(true);
  }
}

async function listen({ bus }: OpenRedis): Promise<ReadonlyMap<string, BindingNews[]>> {
  const heard = new Map<string, BindingNews[]>(users.map((aor) => [aor, []]));
  await Promise.all(users.map((aor) => bus.subscribe(aor, (news) => heard.get(aor)?.push(news))));
  return heard;
}

describe.skipIf(missing !== undefined)(titled('Redis Cluster', missing), { timeout: 90_000 }, () => {
  let group: RedisGroup;
  let address: RedisAddress;
  beforeAll(async () => {
    group = await startCluster();
    const cluster = group.nodes.slice(0, 2).map(({ port }) => ({ host: '127.0.0.1', port }));
    address = { url: groupUrl, keyPrefix: 'test:', cluster };
  }, 60_000);
  afterAll(async () => group?.stop());

  it('keeps sets, tasks and messages over all its nodes, and finds every set again', async () => {
    await keepsWorking(await open(address));
    // replicas follow a little later
    await expect
      .poll(async () => {
        const sizes = await Promise.all(group.nodes.map(({ port }) => askNode(port, ['dbsize'])));
        return sizes.filter((size) => Number(size) > 0).length;
      }, patience)
      .toBe(6);
  });

  it('carries news by sharded channels, each to those who wait for it', async () => {
    const [one, two] = [await open(address), await open(address)];
    const heard = await listen(two);
    for (const aor of users) await one.bus.publish(refreshOf(aor));
    await expect.poll(() => users.filter((aor) => heard.get(aor)?.length === 1).length, patience).toBe(users.length);
    const channels = await Promise.all(group.nodes.map(({ port }) => askNode(port, ['pubsub', 'shardchannels'])));
    expect(channels.join('\n').match(/test:news:/g)).toHaveLength(users.length);
    expect(
      (await Promise.all(group.nodes.map(({ port }) => askNode(port, ['pubsub', 'channels'])))).join('').trim(),
    ).toBe('');
  });

  it('works on after a primary has died, and tells who waits of the gap', async () => {
    const [one, two] = [await open(address), await open(address)];
    await keepsWorking(one);
    const heard = await listen(two);
    const slots = await askNode(group.nodes[0]?.port ?? 0, ['cluster', 'nodes']);
    const line = slots.split('\n').find((text) => / (?:myself,)?master /.test(text) && !text.includes('myself'));
    const victim = Number(/127\.0\.0\.1:(\d+)/.exec(line ?? '')?.[1]);
    await group.at(victim).kill();
    await expect
      .poll(async () => {
        const all = await Promise.allSettled(users.map((aor) => one.store.read(aor)));
        return all.filter(({ status }) => status === 'fulfilled').length;
      }, patience)
      .toBe(users.length);
    // what was stored before is still there, or not older than the replica
    const sets = await Promise.all(users.map((aor) => one.store.read(aor)));
    expect(sets.filter(({ bindings }) => bindings.length === 1).length).toBe(users.length);
    await hearsAgain(one, heard);
    expect(users.some((aor) => heard.get(aor)?.some(({ is }) => is === 'gap'))).toBe(true);
    await keepsWorking(one);
  });
});

describe.skipIf(missing !== undefined)(titled('Redis with Sentinel', missing), { timeout: 60_000 }, () => {
  it('goes to the new primary when the old one has died, and tells who waits of the gap', async () => {
    const group = await startSentinel();
    try {
      const sentinel = group.nodes[2]?.port ?? 0;
      const address: RedisAddress = {
        url: groupUrl,
        keyPrefix: 'test:',
        sentinel: {
          nodes: [{ host: '127.0.0.1', port: sentinel }],
          primary: 'the-primary',
          password: 'sentinel-password',
        },
      };
      const [one, two] = [await open(address), await open(address)];
      await keepsWorking(one);
      const heard = await listen(two);
      // replication is asynchronous: what is here about is what a failover keeps, not what it may lose
      await askNode(group.nodes[0]?.port ?? 0, ['wait', '1', '5000']);
      await group.nodes[0]?.kill();
      await expect
        .poll(
          () =>
            one.store.swap('new@example.com', 0, [aBinding({ aor: 'new@example.com' })], soon()).catch(() => 'failed'),
          patience,
        )
        .not.toBe('failed');
      await hearsAgain(one, heard);
      for (const aor of users) expect(heard.get(aor)?.[0]).toEqual({ is: 'gap', aor });
      expect((await one.store.read('user3@example.com')).bindings).toHaveLength(1);
    } finally {
      await Promise.all(opened.flatMap((each) => [each.bus.close(), each.store.close()]));
      opened = [];
      await group.stop();
    }
  });
});

describe.skipIf(missing !== undefined)(titled('the checks at the start', missing), { timeout: 20_000 }, () => {
  let server: RedisServer | undefined;
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('refuses a Redis that may forget phones', async () => {
    server = await startRedis({ settings: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
    await expect(openRedis({ url: server.url, keyPrefix: 'test:' })).rejects.toMatchObject({
      code: 'EDGE_CONFIG_INVALID',
      message: expect.stringContaining('expected maxmemory-policy noeviction, found allkeys-lru') as string,
    });
  });

  it('works for a user with the rights of docs/redis.md, and names the right another user lacks', async () => {
    const rights =
      '~reveille:* &reveille:* +get +set +del +getrange +pexpire +pttl +hmget +lrange +lrem +rpush +zadd +zrem +zscore +zrangebyscore +time +eval +evalsha +publish +subscribe +unsubscribe +hget +hset +hdel +hscan +hgetall +hexists +hrandfield +scan +info +ping +quit';
    server = await startRedis({
      settings: [
        ...['--user', 'edge', 'on', '>edge-password', ...rights.split(' ')],
        ...['--user', 'half', 'on', '>half-password', ...rights.split(' '), '-publish'],
      ],
    });
    const url = (user: string): string => `redis://${user}:${user}-password@127.0.0.1:${String(server?.port)}`;
    await keepsWorking(await open({ url: url('edge'), keyPrefix: 'reveille:' }));
    await expect(openRedis({ url: url('half'), keyPrefix: 'reveille:' })).rejects.toMatchObject({
      code: 'EDGE_CONFIG_INVALID',
      message: expect.stringContaining('may use publish') as string,
    });
    await expect(openRedis({ url: url('edge'), keyPrefix: 'other:' })).rejects.toMatchObject({
      code: 'EDGE_CONFIG_INVALID',
      message: expect.stringContaining('may use get on our keys') as string,
    });
  });

  it('speaks TLS with a certificate of its own, and trusts only the CA it was given', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'reveille-redis-tls-'));
    try {
      const { certificate, key, ca } = makeServerIdentity({ hosts: ['redis.example.com'], addresses: ['127.0.0.1'] });
      for (const [name, text] of Object.entries({ certificate, key, ca })) writeFileSync(join(folder, name), text);
      server = await startRedis({
        tls: { cert: join(folder, 'certificate'), key: join(folder, 'key'), ca: join(folder, 'ca') },
      });
      const url = server.url.replace('redis://', 'rediss://');
      await keepsWorking(await open({ url, keyPrefix: 'test:', tls: { ca, cert: certificate, key } }));
      await keepsWorking(
        await open({ url, keyPrefix: 'test:', tls: { ca, cert: certificate, key, serverName: 'redis.example.com' } }),
      );
      const other = makeServerIdentity({ hosts: ['else.example.com'], addresses: [] });
      await expect(openRedis({ url, keyPrefix: 'test:', tls: { ca: other.ca } })).rejects.toMatchObject({
        code: 'EDGE_STORE_UNAVAILABLE',
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
