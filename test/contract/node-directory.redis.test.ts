import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openRedis, type OpenRedis } from '../../lib/adapters/redis/open-redis.ts';
import type { EdgeNode } from '../../lib/ports/node-directory.ts';
import { needs, titled } from '../support/needs.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const missing = needs('redis-server');
const patience = { timeout: 8000, interval: 20 };

function aNode(id: string): EdgeNode {
  return { id, engine: `engine-of-${id}`, at: { host: '127.0.0.1', port: 9022, secret: `secret of ${id}` } };
}

describe.skipIf(missing !== undefined)(titled('nodes that share a Redis', missing), { timeout: 20_000 }, () => {
  let server: RedisServer;
  let opened: OpenRedis[] = [];
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(async () => server?.stop());
  beforeEach(() => {
    opened = [];
  });
  afterEach(async () => {
    server.thaw();
    for (const one of opened) {
      await one.nodes.close();
      await Promise.all([one.bus.close(), one.store.close()]);
    }
  });

  async function open(): Promise<OpenRedis> {
    const one = await openRedis({ url: server.url, keyPrefix: 'test:' });
    opened.push(one);
    return one;
  }

  it('know each other and how to reach their engines, soon after they have come', async () => {
    const [one, two] = [await open(), await open()];
    await one.nodes.announce(aNode('one'), () => []);
    await two.nodes.announce(aNode('two'), () => []);
    expect(two.nodes.withEngine('engine-of-one')).toEqual(aNode('one'));
    await expect.poll(() => one.nodes.withEngine('engine-of-two'), patience).toEqual(aNode('two'));
    expect(one.nodes.withEngine('engine-of-one')).toBeUndefined();
  });

  it('hear once of a node that has left', async () => {
    const [one, two] = [await open(), await open()];
    const gone: EdgeNode[] = [];
    await one.nodes.announce(aNode('one'), () => []);
    one.nodes.onGone((node) => gone.push(node));
    await two.nodes.announce(aNode('two'), () => ['held']);
    await expect.poll(() => one.nodes.withEngine('engine-of-two'), patience).toBeDefined();
    await two.nodes.close();
    await expect.poll(() => gone, patience).toEqual([aNode('two')]);
    expect(one.nodes.withEngine('engine-of-two')).toBeUndefined();
    // whoever says goodbye has finished what it held
    expect(await one.nodes.takeOver(aNode('two'))).toEqual([]);
  });

  it('hear within two seconds of a node that has died, and one of them gets what it held', async () => {
    const [one, two, three] = [await open(), await open(), await open()];
    await one.nodes.announce(aNode('one'), () => []);
    await two.nodes.announce(aNode('two'), () => []);
    let held: readonly string[] = [];
    await three.nodes.announce(aNode('three'), () => held);
    held = ['invite-1', 'invite-2'];
    for (const other of [one, two])
      await expect.poll(() => other.nodes.withEngine('engine-of-three'), patience).toBeDefined();
    await new Promise((resolve) => setTimeout(resolve, 600));
    const taken = [one, two].map(
      ({ nodes }) =>
        new Promise<readonly string[]>((resolve, reject) => {
          nodes.onGone((node) => void nodes.takeOver(node).then(resolve, reject));
        }),
    );
    // as kill -9 would: no goodbye, no renewal
    const died = performance.now();
    opened.splice(opened.indexOf(three), 1);
    await three.store.close();
    const got = await Promise.all(taken);
    expect(performance.now() - died).toBeLessThan(2000);
    expect(got.flat().toSorted()).toEqual(['invite-1', 'invite-2']);
    expect(got.filter(({ length }) => length > 0)).toHaveLength(1);
    await three.nodes.close();
    await three.bus.close();
  });

  it('stay for each other when Redis was frozen for longer than their leases: nobody takes what a living one holds', async () => {
    const [one, two] = [await open(), await open()];
    const gone: string[] = [];
    for (const [other, name] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      await other.nodes.announce(aNode(name), () => [`invite at ${name}`]);
      other.nodes.onGone(({ id }) => gone.push(id));
    }
    await expect.poll(() => one.nodes.withEngine('engine-of-two'), patience).toBeDefined();
    server.freeze();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    server.thaw();
    const late = await open();
    await late.nodes.announce(aNode('late'), () => []);
    for (const other of [one, two])
      await expect.poll(() => other.nodes.withEngine('engine-of-late'), patience).toBeDefined();
    expect(gone).toEqual([]);
    expect(one.nodes.withEngine('engine-of-two')).toBeDefined();
    expect(two.nodes.withEngine('engine-of-one')).toBeDefined();
  });

  it('stay for each other while Redis is away, and are there again when it comes back empty', async () => {
    const [one, two] = [await open(), await open()];
    const gone: EdgeNode[] = [];
    await one.nodes.announce(aNode('one'), () => []);
    await two.nodes.announce(aNode('two'), () => ['x']);
    await expect.poll(() => one.nodes.withEngine('engine-of-two'), patience).toBeDefined();
    one.nodes.onGone((node) => gone.push(node));
    await server.restart();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const third = await open();
    await third.nodes.announce(aNode('third'), () => []);
    for (const engine of ['engine-of-one', 'engine-of-two'])
      await expect.poll(() => third.nodes.withEngine(engine), patience).toBeDefined();
    await expect.poll(() => one.nodes.withEngine('engine-of-two'), patience).toEqual(aNode('two'));
    expect(gone).toEqual([]);
    expect(await third.nodes.takeOver(aNode('two'))).toEqual(['x']);
  });
});
