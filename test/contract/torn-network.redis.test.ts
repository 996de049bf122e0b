/**
 * The wake-up over Redis while a network between the nodes and Redis tears, freezes and delays their connections at moments that are
 * drawn: who subscribes, looks, and looks again as the bus says, hears of every REGISTER. TORN_SEED plays one run again.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenRedis, openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { aBinding } from '../support/a-binding.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTornProxy, type TornProxy } from '../support/torn-proxy.ts';

const missing = needs('redis-server');
const patience = { timeout: 10_000, interval: 20 };
const { TORN_SEED } = process.env;

/** mulberry32: the same numbers for the same seed. */
function drawnFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe.skipIf(missing !== undefined)(titled('nodes whose way to Redis is torn', missing), { timeout: 60_000 }, () => {
  let server: RedisServer;
  let proxies: TornProxy[];
  let nodes: OpenRedis[];
  beforeEach(async () => {
    server = await startRedis();
    proxies = [await startTornProxy(server.port), await startTornProxy(server.port)];
    nodes = await Promise.all(
      proxies.map(({ port }) => openRedis({ url: `redis://127.0.0.1:${port}/0`, keyPrefix: 'test:' })),
    );
  });
  afterEach(async () => {
    for (const proxy of proxies) proxy.thaw();
    await Promise.all(nodes.flatMap(({ bus, store }) => [bus.close(), store.close()]));
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await server.stop();
  });

  /** As wake/devices does it: subscribe, look, and look again for news and gaps, until the store answers. */
  async function hold({ bus, store }: OpenRedis, aor: string, woken: Set<string>): Promise<() => void> {
    let over = false;
    const look = async (): Promise<void> => {
      while (!over && !woken.has(aor)) {
        try {
          if ((await store.read(aor)).bindings.length > 0) woken.add(aor);
          return;
        } catch {
          await pause(50);
        }
      }
    };
    const end = await bus.subscribe(aor, () => void look());
    void look();
    return () => {
      over = true;
      end();
    };
  }

  /** As register/commit does it, and as a phone repeats what got a 503. */
  async function register({ bus, store }: OpenRedis, aor: string): Promise<void> {
    for (;;) {
      try {
        const { version } = await store.read(aor);
        if ((await store.swap(aor, version, [aBinding({ aor })], Date.now() + 600_000)) === 'stored') break;
      } catch {
        await pause(50);
      }
    }
    await bus.publish({ is: 'refresh-accepted', aor, bindingId: 'b1' });
  }

  it('no wake-up is lost, whatever is torn between subscribe, look, REGISTER and publish', async () => {
    const seed = TORN_SEED === undefined ? randomInt(2 ** 31) : Number(TORN_SEED);
    const draw = drawnFrom(seed);
    const woken = new Set<string>();
    const registered = new Set<string>();
    const ends: (() => void)[] = [];
    let going = true;
    const trouble = proxies.map(async (proxy) => {
      while (going) {
        await pause(20 + draw(150));
        switch (draw(5)) {
          case 0:
            proxy.tear();
            break;
          case 1:
            proxy.tear(draw(4));
            break;
          case 2:
            proxy.freeze();
            await pause(draw(400));
            proxy.thaw();
            break;
          case 3:
            proxy.delay(draw(60));
            break;
          default:
            proxy.delay(0);
        }
      }
      proxy.delay(0);
      proxy.thaw();
    });
    const phones = Array.from({ length: 150 }, async (_, n) => {
      const aor = `u${n}@example.com`;
      await pause(draw(5000));
      const [holder, taker] = draw(2) === 0 ? [0, 1] : [1, 0];
      // one comes first, or both at once
      const order = draw(3);
      if (order === 0) await register(nodes[taker] as OpenRedis, aor);
      const holding = hold(nodes[holder] as OpenRedis, aor, woken).then((end) => ends.push(end));
      if (order === 1) await holding;
      if (order > 0) await pause(draw(200));
      if (order > 0) await register(nodes[taker] as OpenRedis, aor);
      registered.add(aor);
      await holding;
    });
    await Promise.all(phones);
    going = false;
    await Promise.all(trouble);
    expect(registered.size).toBe(150);
    await expect
      .poll(() => [...registered].filter((aor) => !woken.has(aor)), { ...patience, message: `TORN_SEED=${seed}` })
      .toEqual([]);
    for (const end of ends) end();
  });

  it('news whose publisher lost its connection is said when it is back, to those who have no gap', async () => {
    const [holder, taker] = nodes as [OpenRedis, OpenRedis];
    const woken = new Set<string>();
    const end = await hold(holder, 'u@example.com', woken);
    await register(taker, 'other@example.com');
    const { version } = await taker.store.read('u@example.com');
    await taker.store.swap('u@example.com', version, [aBinding({ aor: 'u@example.com' })], Date.now() + 600_000);
    proxies[1]?.tear();
    await taker.bus.publish({ is: 'refresh-accepted', aor: 'u@example.com', bindingId: 'b1' });
    await expect.poll(() => woken.has('u@example.com'), patience).toBe(true);
    end();
  });
});
