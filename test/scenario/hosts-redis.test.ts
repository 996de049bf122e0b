/**
 * Redis in trouble while a call is held at one edge and its phone comes to another: frozen, empty, slow, failed over. Calls that
 * are up go on, what is held is answered or ends properly, REGISTERs are told to come again, and nothing is started anew.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { Hosts } from '../../bench/hosts/hosts.ts';
import { comesBack, Fleet, hangUp, heard, patience, take, type Up, whyNoFleet } from '../support/fleet.ts';
import { titled } from '../support/needs.ts';
import { askNode, groupUrl, type RedisGroup, startCluster, startSentinel } from '../support/redis-group.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTornProxy, type TornProxy } from '../support/torn-proxy.ts';

const why = whyNoFleet();

/** The phone rings once for one call of the PBX through the other node. */
async function works(fleet: Fleet, phone: Phone): Promise<void> {
  await fleet.knowEachOther();
  await comesBack(phone);
  const before = phone.invites.length;
  await hangUp(await take(fleet.dial('a', phone), phone));
  expect(phone.invites.length - before).toBe(1);
  for (const node of fleet.nodes) expect(await node.metric('reveille_held_invites')).toBe(0);
}

async function aCallThatIsUp(fleet: Fleet): Promise<Up> {
  // all connections to Redis may not be back yet
  await fleet.knowEachOther();
  const phone = await fleet.awake('b', 'tcp');
  return take(fleet.dial('a', phone), phone);
}

describe.skipIf(why !== undefined)(titled('one Redis', why), () => {
  let fleet: Fleet;
  let redis: RedisServer;
  beforeAll(async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'], holdSeconds: 6 });
    redis = fleet.redis as RedisServer;
  });
  afterAll(() => fleet?.close());

  it('frozen for three seconds of a hold: the phone is let in afterwards and rings, calls that are up go on', async () => {
    const up = await aCallThatIsUp(fleet);
    const phone = await fleet.sleeper('b', 'tcp');
    const coming = take(fleet.dial('a', phone), phone);
    await fleet.nextPush(phone);
    redis.freeze();
    const back = comesBack(phone);
    setTimeout(() => redis.thaw(), 3000);
    await heard(up);
    expect((await back).length).toBeGreaterThan(0);
    await hangUp(await coming);
    expect(phone.invites).toHaveLength(1);
    await heard(up);
    await hangUp(up);
    await works(fleet, phone);
  });

  it('frozen for longer than the hold: the caller is told, new calls and REGISTERs are told to come again', async () => {
    const up = await aCallThatIsUp(fleet);
    const [phone, other] = [await fleet.sleeper('b', 'tcp'), await fleet.sleeper('b')];
    const held = fleet.dial('a', phone).answer();
    await fleet.nextPush(phone);
    redis.freeze();
    const back = comesBack(phone);
    const refused = await fleet.dial('a', other).answer();
    expect([refused.status, Number(refused.headers.get('Retry-After')) > 0]).toEqual([503, true]);
    expect((await held).status).toBe(480);
    await heard(up);
    redis.thaw();
    await back;
    await hangUp(up);
    expect(phone.invites).toHaveLength(0);
    await works(fleet, phone);
  });

  it('restarted empty during a hold: the REGISTER that answers the push still releases the call', async () => {
    const up = await aCallThatIsUp(fleet);
    const phone = await fleet.sleeper('b', 'tcp');
    const coming = take(fleet.dial('a', phone), phone);
    await fleet.nextPush(phone);
    await redis.restart();
    await comesBack(phone);
    await hangUp(await coming);
    expect(phone.invites).toHaveLength(1);
    await heard(up);
    await hangUp(up);
    await works(fleet, phone);
  });
});

describe.skipIf(why !== undefined)(titled('a slow Redis', why), () => {
  let fleet: Fleet;
  let link: TornProxy;
  const ends: (() => unknown)[] = [];
  beforeAll(async () => {
    fleet = await Fleet.open({
      nodes: ['a', 'b'],
      holdSeconds: 8,
      store: async (hosts) => {
        const redis = await startRedis({ host: hosts.host('redis') });
        const { address } = hosts.outside;
        link = await startTornProxy(redis.port, address, hosts.host('redis').address);
        ends.push(
          () => link.stop(),
          () => redis.stop(),
        );
        return { redis_url: `redis://${address}:${link.port}/0` };
      },
    });
  });
  afterAll(async () => {
    link?.delay(0);
    await fleet?.close();
    for (const end of ends) await end();
  });

  it.each([200, 500, 900])(
    '%i ms for each question and its answer: calls come through and REGISTERs are served, later',
    async (ms) => {
      const up = await aCallThatIsUp(fleet);
      const phone = await fleet.sleeper('b', 'tcp');
      const other = await fleet.sleeper('a');
      fleet.wakesAt(phone, 'b');
      link.delay(ms / 2);
      const woken = await take(fleet.dial('a', phone), phone, 15_000);
      expect((await other.register()).status).toBe(200);
      for (const each of [up, woken]) {
        await heard(each);
        await hangUp(each);
      }
      expect(phone.invites).toHaveLength(1);
      for (const node of fleet.nodes) expect(await node.metric('reveille_other_nodes')).toBe(1);
      link.delay(0);
      await works(fleet, phone);
    },
  );

  it('1.5 s, more than anybody waits: all is refused in words, calls that are up go on, and it heals', async () => {
    const up = await aCallThatIsUp(fleet);
    const [phone, other] = [await fleet.sleeper('b', 'tcp'), await fleet.sleeper('b')];
    const held = fleet.dial('a', phone).answer();
    await fleet.nextPush(phone);
    link.delay(750);
    const back = comesBack(phone);
    const refused = await fleet.dial('a', other).answer();
    expect([refused.status, Number(refused.headers.get('Retry-After')) > 0]).toEqual([503, true]);
    expect((await held).status).toBe(480);
    await heard(up);
    link.delay(0);
    expect((await back).length).toBeGreaterThan(0);
    await heard(up);
    await hangUp(up);
    expect([phone.invites.length, other.invites.length]).toEqual([0, 0]);
    await works(fleet, phone);
    fleet.wakesAt(other, 'b');
    await hangUp(await take(fleet.dial('a', other), other));
  });
});

describe.skipIf(why !== undefined)(titled('Redis on several servers', why), () => {
  let fleet: Fleet | undefined;
  let group: RedisGroup | undefined;
  afterAll(async () => {
    await fleet?.close();
    await group?.stop();
  });

  async function heldWhile(loses: () => Promise<unknown>): Promise<void> {
    if (fleet === undefined) throw new Error('no fleet');
    const up = await aCallThatIsUp(fleet);
    const phones = await Promise.all(Array.from({ length: 6 }, () => (fleet as Fleet).sleeper('b', 'tcp')));
    const coming = phones.map((phone) => take((fleet as Fleet).dial('a', phone), phone, 22_000));
    for (const phone of phones) await fleet.nextPush(phone);
    await loses();
    await heard(up);
    await Promise.all(phones.map((phone) => comesBack(phone)));
    for (const one of await Promise.all(coming)) await hangUp(one);
    for (const phone of phones) expect(phone.invites).toHaveLength(1);
    await heard(up);
    await hangUp(up);
    for (const phone of phones.slice(0, 2)) await works(fleet, phone);
  }

  const redisAt = (hosts: Hosts) => hosts.host('redis');

  it('Sentinel fails over during a hold: every phone is let in at the new primary, and rings', async () => {
    fleet = await Fleet.open({
      nodes: ['a', 'b'],
      holdSeconds: 20,
      store: async (hosts) => {
        group = await startSentinel(redisAt(hosts));
        const sentinels = [`${redisAt(hosts).address}:${group.nodes[2]?.port}`];
        const redis = { sentinels, primary_name: 'the-primary', sentinel_password: 'sentinel-password' };
        return { redis_url: groupUrl, redis };
      },
    });
    await heldWhile(async () => group?.nodes[0]?.kill());
    await fleet.close();
    fleet = undefined;
    await group?.stop();
  });

  it('a primary of a cluster dies during a hold: every phone is let in, and rings', async () => {
    let address = '';
    fleet = await Fleet.open({
      nodes: ['a', 'b'],
      holdSeconds: 20,
      store: async (hosts) => {
        ({ address } = redisAt(hosts));
        group = await startCluster(redisAt(hosts));
        return { redis_url: groupUrl, redis: { cluster: group.nodes.map(({ port }) => `${address}:${port}`) } };
      },
    });
    await heldWhile(async () => {
      // the one that has the list of nodes is as good as any: it is the one everybody needs
      const nodes = await askNode(group?.nodes[0]?.port ?? 0, ['cluster', 'nodes'], undefined, address);
      const primary = nodes.split('\n').find((line) => / (?:myself,)?master /.test(line));
      await group?.at(Number(/:(\d+)@/.exec(primary ?? '')?.[1])).kill();
    });
    await expect.poll(() => fleet?.node('a').metric('reveille_held_invites'), patience).toBe(0);
  });
});
