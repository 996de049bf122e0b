/**
 * Refresh pushes by nodes whose clocks differ and which stand still between any two steps: between the claim, the look at the binding,
 * the push and its end. fast-check prints seed and path of a failure; LEASE_RUNS says how many stories.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { refreshTask } from '../../../lib/core/refresh-schedule.ts';
import { startRefreshPushes } from '../../../lib/refresh/refresh-pushes.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import { aBinding } from '../../support/a-binding.ts';
import { settled } from '../../support/gates.ts';
import { LeasedAgenda } from '../../support/leased-agenda.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { PausedNode, whilePassing } from '../../support/paused-node.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aTokenKeeper } from '../../support/token-keeper.ts';

const start = 1_700_000_000_000;
const life = 1_200_000;
const lead = 300;
const { push, upstreamExpiresAt: _, ...known } = aBinding();
/** lib/refresh begins a push in the first half of a lease of 60 s only. */
const halfLeaseMs = 30_000;

type Step = { readonly do: 'pause' | 'resume'; readonly node: number } | { readonly do: 'move'; readonly ms: number };

const node = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pause' as const), node }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), node }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('move' as const),
      ms: fc.constantFrom(200, 1000, 5000, 20_000, 45_000, 70_000),
    }),
  },
);

function readBy(clock: PausedNode, store: LocationStore): LocationStore {
  return {
    read: clock.hearing((aor: string) => store.read(aor)),
    swap: (...swap) => store.swap(...swap),
    scan: (...page) => store.scan(...page),
    readSecret: (...name) => store.readSecret(...name),
    shared: (...value) => store.shared(...value),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}

describe('nodes with other clocks that stand still', () => {
  const { LEASE_RUNS, LEASE_SEED, LEASE_PATH: path } = process.env;
  const numRuns = Number(LEASE_RUNS ?? 100);
  const seed = Number(LEASE_SEED ?? 20_261_121);
  it(
    'push a phone for one refresh at a time, and in the end at least once',
    async () => {
      let twice = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: -120_000, max: 120_000 }), { minLength: 2, maxLength: 3, size: 'max' }),
          fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
          fc.constantFrom(0, 300, 4000),
          fc.constantFrom(0, 600, 1500),
          async (skews, steps, answersAfter, latency) => {
            const world = new MovedClock(start);
            const store = openMemoryStore({ now: () => start, sweepEveryMs: 60_000 });
            const agenda = new LeasedAgenda(() => world.now());
            const token = 'a1'.repeat(32);
            if (push === undefined) throw new Error('no push');
            const binding = {
              ...known,
              registeredAt: start,
              expiresAt: start + life,
              push: { ...push, tokens: [{ token, kind: 'alert' as const }] },
            };
            await store.swap(binding.aor, 0, [binding], start + life);
            const pushed: number[] = [];
            const nodes = skews.map((skew) => {
              const clock = new PausedNode(world, skew, latency);
              const seen = agenda.seenBy(() => clock.now());
              const log = new QuietLog();
              const telemetry = new TelemetryRecorder();
              const stop = startRefreshPushes({
                agenda: {
                  put: clock.hearing(seen.put),
                  claim: clock.hearing(seen.claim),
                  settle: clock.hearing(seen.settle),
                },
                store: readBy(clock, store),
                push: {
                  // what is sent is sent in the same turn as it was decided
                  push: () => {
                    pushed.push(world.now());
                    const answered = new Promise<void>((resolve) => world.after(answersAfter, resolve));
                    return clock.heard(answered.then(() => ({ is: 'accepted', id: 'push' }) as const));
                  },
                  close: () => Promise.resolve(),
                },
                ...{ clock, log, telemetry, precise: () => world.now() },
                tokens: aTokenKeeper({ store, clock, log, telemetry }),
                policy: { leadSeconds: lead, perSecond: 100, perAppPerSecond: 50, pushDeadlineMs: 5000 },
              });
              return { clock, stop };
            });
            const pass = async (ms: number): Promise<void> => {
              for (let left = ms; left > 0; left -= 500) {
                world.move(Math.min(500, left));
                for (let turn = 0; turn < 4; turn++) await settled();
              }
            };
            await agenda
              .seenBy(() => world.now())
              .put(refreshTask(binding.aor, binding.id), start + life - lead * 1000);
            // until shortly before the task is due
            await pass(life - lead * 1000 - 5000);
            for (const one of steps) {
              const at = nodes[('node' in one ? one.node : 0) % nodes.length];
              if (one.do === 'pause') at?.clock.pause();
              else if (one.do === 'resume') at?.clock.resume();
              else if ('ms' in one) await pass(one.ms);
              await settled();
            }
            for (const { clock } of nodes) clock.resume();
            if (world.now() < start + life - 200_000) {
              await pass(180_000);
              expect(pushed.length).toBeGreaterThan(0);
            }
            for (const [n, at] of pushed.entries())
              if (n > 0) expect(at - (pushed[n - 1] ?? 0)).toBeGreaterThanOrEqual(halfLeaseMs);
            if (pushed.length > 1) twice++;
            await whilePassing(Promise.all(nodes.map(({ stop }) => stop())), pass);
            await store.close();
          },
        ),
        { numRuns, seed, ...(path === undefined ? {} : { path, endOnFailure: true }) },
      );
      // stories in which nobody pushes again prove nothing
      if (path === undefined) expect(twice).toBeGreaterThan(0);
    },
    60_000 + numRuns * 500,
  );
});
