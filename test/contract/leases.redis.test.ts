/**
 * Leases in a real Redis, by nodes whose clocks are wrong, which stand still between any two steps and are cut off: fast-check draws
 * the stories and prints seed and path of one that fails; LEASE_RUNS says how many.
 */
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenRedis, openRedis } from '../../lib/adapters/redis/open-redis.ts';
import type { EdgeNode } from '../../lib/ports/node-directory.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTornProxy, type TornProxy } from '../support/torn-proxy.ts';

const missing = needs('redis-server');
const { LEASE_RUNS, LEASE_SEED, LEASE_PATH: path } = process.env;
const seed = Number(LEASE_SEED ?? 20_261_121);
const again = path === undefined ? {} : { path, endOnFailure: true };

/** One turn of a node: how long it stands still after it has claimed, and after it has done the work; or whether it dies with it. */
interface Turn {
  readonly node: number;
  readonly afterClaim: number;
  readonly afterWork: number;
  readonly dies: boolean;
  readonly next: boolean;
}

interface Act {
  readonly at: number;
  settledAt: number;
}

const still = fc.constantFrom(0, 0, 10, 50, 130);
const turns = fc.array(
  fc.record<Turn>({
    node: fc.nat(2),
    afterClaim: still,
    afterWork: still,
    dies: fc.integer({ min: 0, max: 5 }).map((drawn) => drawn === 5),
    next: fc.boolean(),
  }),
  { minLength: 3, maxLength: 10, size: 'max' },
);

describe.skipIf(missing !== undefined)(titled('leases in Redis', missing), { timeout: 60_000 }, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(async () => server?.stop());

  it('work is done by one at a time, whatever the clocks say, and in the end by somebody', async () => {
    const leaseMs = 100;
    const opened = await Promise.all([0, 1, 2].map(() => openRedis({ url: server.url, keyPrefix: 'agenda:' })));
    let story = 0;
    let seconds = 0;
    const skews = fc.array(fc.integer({ min: -600_000, max: 600_000 }), { minLength: 3, maxLength: 3 });
    try {
      await fc.assert(
        fc.asyncProperty(turns, skews, async (drawn, skew) => {
          const tasks = [`one ${story}`, `two ${story}`];
          story++;
          const done = new Map<string, Act[]>();
          // a node whose clock is behind would not find it due
          for (const task of tasks) await opened[0]?.agenda.put(task, 1000);
          /** As lib/refresh does it: nothing is begun in the second half of a lease. */
          const work = async ({ node, afterClaim, afterWork, dies, next }: Turn): Promise<void> => {
            const { agenda } = opened[node] as OpenRedis;
            const asked = performance.now();
            const now = Date.now() + (skew[node] ?? 0);
            for (const claimed of await agenda.claim(now, now + leaseMs, 10)) {
              if (!tasks.includes(claimed.task)) continue;
              await pause(afterClaim);
              if (dies) continue;
              if (performance.now() - asked < leaseMs / 2) {
                const before = done.get(claimed.task) ?? [];
                const act: Act = { at: performance.now(), settledAt: Number.POSITIVE_INFINITY };
                done.set(claimed.task, [...before, act]);
                if (before.length > 0) seconds++;
                await pause(afterWork);
                act.settledAt = performance.now();
                await agenda.settle(claimed, next ? 2000 : undefined);
              }
            }
          };
          // all nodes at once, each one turn after the other
          await Promise.all(
            [0, 1, 2].map(async (node) => {
              for (const turn of drawn) if (turn.node === node) await work(turn);
            }),
          );
          // who never stands still comes at last
          const last = { node: 0, afterClaim: 0, afterWork: 0, dies: false, next: false };
          const left = async (): Promise<boolean> => {
            await work(last);
            return tasks.every((task) => done.has(task));
          };
          await expect.poll(left, { timeout: 5000, interval: 20 }).toBe(true);
          await pause(leaseMs);
          await work(last);
          for (const acts of done.values())
            for (const [n, { at, settledAt }] of acts.entries()) {
              const later = acts[n + 1];
              // once it is settled for a next time, somebody may do it at once
              if (later !== undefined && settledAt > later.at)
                expect(later.at - at).toBeGreaterThanOrEqual(leaseMs / 2);
            }
        }),
        { numRuns: Number(LEASE_RUNS ?? 25), seed, ...again },
      );
      // stories in which nothing is done again prove nothing
      if (path === undefined) expect(seconds).toBeGreaterThan(0);
    } finally {
      await Promise.all(opened.flatMap(({ bus, store }) => [bus.close(), store.close()]));
    }
  });

  describe('nodes that are given up', () => {
    let proxy: TornProxy;
    let opened: OpenRedis[];
    const open = async (port: number, keyPrefix: string): Promise<OpenRedis> => {
      const one = await openRedis({ url: `redis://127.0.0.1:${port}/0`, keyPrefix });
      opened.push(one);
      return one;
    };
    beforeAll(async () => {
      opened = [];
      proxy = await startTornProxy(server.port);
    });
    afterAll(async () => {
      proxy?.thaw();
      for (const { nodes, bus, store } of opened ?? []) await Promise.all([nodes.close(), bus.close(), store.close()]);
      await proxy?.stop();
    });
    const patience = { timeout: 8000, interval: 10 };
    const aNode = (id: string): EdgeNode => ({ id, engine: 'common' });

    it('are not sure any more before another has what they held, learn of it first, and come back under another id', async () => {
      const cut = await open(proxy.port, 'given-up:');
      const other = await open(server.port, 'given-up:');
      const told: (readonly string[])[] = [];
      let holds: readonly string[] = ['invite-1', 'invite-2'];
      await cut.nodes.announce(aNode('cut'), () => holds);
      await other.nodes.announce(aNode('other'), () => []);
      cut.nodes.onGivenUp((held) => told.push(held));
      let sureStill: boolean | undefined;
      const taken = new Promise<readonly string[]>((resolve) => {
        other.nodes.onLeft((gone) => {
          sureStill ??= cut.nodes.sureUntil > performance.now();
          void other.nodes.takeOver(gone).then(async (held) => {
            if (held.length > 0) resolve(held);
            await other.nodes.finished(gone);
          });
        });
      });
      await expect.poll(() => other.nodes.others, patience).toBe(1);
      proxy.freeze();
      expect(await taken).toEqual(['invite-1', 'invite-2']);
      expect(sureStill).toBe(false);
      expect(other.nodes.others).toBe(0);
      expect(told).toEqual([]);
      // one has ended meanwhile, and nobody was told of the one that has begun
      holds = ['invite-2', 'invite-3'];
      proxy.thaw();
      // a renewal from before the cut arrives now, and does not bring it back under its old name
      await expect.poll(() => told, patience).toEqual([['invite-2']]);
      await expect.poll(() => other.nodes.others, patience).toBe(1);
      expect(other.nodes.withEngine('common')?.id).toBe('cut-2');
      expect(await cut.nodes.confirm()).toBe('sure');
      expect(told).toHaveLength(1);
    });

    it('leave what they held to the next one, when the first that takes it does not finish it', async () => {
      const [dying, slow, quick] = await Promise.all([0, 1, 2].map(() => open(server.port, 'unfinished:')));
      if (dying === undefined || slow === undefined || quick === undefined) throw new Error('not opened');
      await dying.nodes.announce(aNode('dying'), () => ['invite-1']);
      await slow.nodes.announce(aNode('slow'), () => []);
      await quick.nodes.announce(aNode('quick'), () => []);
      const got: string[] = [];
      const takes = (name: string, { nodes }: OpenRedis, finishes: boolean): void => {
        const stop = nodes.onLeft((gone) => {
          // one that dies with it
          if (!finishes) stop();
          void nodes.takeOver(gone).then(async (held) => {
            if (held.length > 0) got.push(`${name} ${held.join()}`);
            if (held.length > 0 && finishes) await nodes.finished(gone);
          });
        });
      };
      takes('slow', slow, false);
      // as kill -9 would: no goodbye
      opened.splice(opened.indexOf(dying), 1);
      await dying.store.close();
      await expect.poll(() => got, patience).toEqual(['slow invite-1']);
      takes('quick', quick, true);
      await expect.poll(() => got.filter((one) => one.startsWith('quick')), patience).toEqual(['quick invite-1']);
      const before = got.length;
      await pause(2500);
      expect(got).toHaveLength(before);
      await Promise.all([dying.nodes.close(), dying.bus.close()]);
    });
  });
});
