/** The day that npm run sim models, against totals that can be worked out by hand. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCosts } from '../../../bench/sim/costs.ts';
import { drawDay } from '../../../bench/sim/curves.ts';
import { type Costs, type Day, secondsOfDay, simulate, usualDay } from '../../../bench/sim/model.ts';
import { nodesFor, peakOf, planFor, usualLimits } from '../../../bench/sim/plan.ts';

const quiet = { ...usualDay, pbxRestartAt: undefined, nodeDeathAt: undefined, redisFailoverAt: undefined };
/** As the bench does it: 10,000 phones, 100 calls a second. */
const benchDay: Day = { ...quiet, phones: 10_000, nodes: 2, callsPerPhone: (100 * secondsOfDay) / 10_000 };
const measured = readFileSync(new URL('../../../bench/sim/costs.json', import.meta.url), 'utf8');
const costs: Costs = readCosts(measured);
const sum = (series: Float64Array): number => series.reduce((total, each) => total + each, 0);
const mean = (series: Float64Array): number => sum(series) / secondsOfDay;

describe('a modelled day', () => {
  it('has as many REGISTERs as expiry and share of it say, and every call', () => {
    const { curves } = simulate(benchDay, costs);
    // 2,000 phones that run, each half an hour; 8,000 that sleep, pushed 300 s before the end of their hour
    const registers = 2000 * (86_400 / 1800) + 8000 * (86_400 / 3300);
    expect(sum(curves.registers)).toBeCloseTo(registers, 3);
    expect(mean(curves.calls)).toBeCloseTo(100, 6);
    expect(mean(curves.wokenCalls)).toBeCloseTo(80, 6);
    expect(sum(curves.refreshPushes)).toBeCloseTo(8000 * (86_400 / 3300), 3);
    expect(sum(curves.apns) + sum(curves.fcm)).toBeCloseTo(sum(curves.wokenCalls) + sum(curves.refreshPushes), 3);
    expect(sum(curves.refused)).toBe(0);
  });

  it('holds and talks as long as Little says', () => {
    const { curves } = simulate({ ...benchDay, wakeAfter: [0.5, 0.25], holdSeconds: 4, talkSeconds: 60 }, costs);
    // held: all for the first second, half for the second one, a quarter for two more
    expect(mean(curves.held)).toBeCloseTo(80 * (1 + 0.5 + 0.25 + 0.25), 6);
    // 20 awake and three of four of the 80 are answered
    expect(mean(curves.talking)).toBeCloseTo((20 + 60) * 60, 6);
  });

  it('costs what its parts cost', () => {
    const { curves, redisBytes } = simulate(benchDay, costs);
    const registers = sum(curves.registers) / secondsOfDay;
    const refreshes = sum(curves.refreshPushes) / secondsOfDay;
    const { edge, redis } = costs;
    const micros =
      registers * edge.registerMicros +
      80 * edge.wokenCallMicros +
      20 * edge.awakeCallMicros +
      refreshes * edge.refreshPushMicros;
    expect(mean(curves.edgeCpu)).toBeCloseTo(edge.baseShare + micros / 1e6 / 2, 9);
    const commands =
      registers * redis.registerCommands +
      80 * redis.wokenCallCommands +
      20 * redis.awakeCallCommands +
      refreshes * redis.refreshPushCommands;
    expect(mean(curves.redisCommands)).toBeCloseTo(commands + 2 * redis.idleCommands, 6);
    expect(redisBytes).toBe(10_000 * redis.bytesPerPhone);
  });

  it('loses nothing in a storm, a death and a failover', () => {
    const before = simulate(benchDay, costs).curves;
    const { curves } = simulate(
      { ...benchDay, pbxRestartAt: 40_000, nodeDeathAt: 50_000, redisFailoverAt: 60_000 },
      costs,
    );
    // each phone that runs once more, half of them once again when one of two edges dies; what the failover put off came later
    expect(sum(curves.registers)).toBeCloseTo(sum(before.registers) + 2000 + 1000, 3);
    expect(peakOf(curves.registers).value).toBeGreaterThan((2000 / usualDay.stormSeconds) * 0.99);
    // the calls of ten seconds were refused, and no others
    const lost = sum(before.calls) - sum(curves.calls);
    expect(lost).toBeCloseTo(sum(before.calls.slice(60_000, 60_010)), 6);
    expect(sum(curves.refused)).toBeGreaterThan(lost);
    expect(curves.calls[60_005]).toBe(0);
    expect(curves.calls[60_010]).toBeGreaterThan(0);
  });

  it('conserves REGISTERs, calls and pushes, whatever the day', () => {
    fc.assert(
      fc.property(
        fc.record({
          phones: fc.integer({ min: 1, max: 1e8 }),
          nodes: fc.integer({ min: 1, max: 2000 }),
          seed: fc.integer({ min: 0, max: 1000 }),
          expirySeconds: fc.integer({ min: 120, max: 86_400 }),
          awakeShare: fc.double({ min: 0, max: 1, noNaN: true }),
          callsPerPhone: fc.double({ min: 0, max: 100, noNaN: true }),
        }),
        (changes) => {
          const day: Day = { ...quiet, ...changes };
          const { curves } = simulate(day, costs);
          const { phones, expirySeconds, awakeShare, callsPerPhone } = day;
          const asleep = phones * (1 - awakeShare) * (86_400 / (expirySeconds - Math.min(300, expirySeconds / 2)));
          const awake = phones * awakeShare * (86_400 / (expirySeconds * day.refreshAt));
          const pushes = sum(curves.apns) + sum(curves.fcm);
          const near = (found: number, expected: number): number => (found + 1) / (expected + 1);
          expect(near(sum(curves.registers), asleep + awake)).toBeCloseTo(1, 6);
          expect(near(sum(curves.calls), phones * callsPerPhone)).toBeCloseTo(1, 6);
          expect(near(pushes, asleep + phones * callsPerPhone * (1 - awakeShare))).toBeCloseTo(1, 6);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('is the same day for the same seed, and another for another', () => {
    const one = simulate(benchDay, costs).curves.calls;
    expect(simulate(benchDay, costs).curves.calls).toEqual(one);
    const other = simulate({ ...benchDay, seed: 2 }, costs).curves.calls;
    expect(other).not.toEqual(one);
    expect(sum(other)).toBeCloseTo(sum(one), 3);
  });
});

describe('a plan', () => {
  const day: Day = { ...usualDay, phones: 3_000_000, nodes: 1 };

  it('names the fewest edges that stay below the target', () => {
    const nodes = nodesFor(day, costs, usualLimits);
    const peakWith = (count: number): number => peakOf(simulate({ ...day, nodes: count }, costs).curves.edgeCpu).value;
    expect(peakWith(nodes)).toBeLessThanOrEqual(usualLimits.edgeShare);
    expect(nodes === 1 || peakWith(nodes - 1) > usualLimits.edgeShare).toBe(true);
  });

  it('names what runs out first, and at how many phones', () => {
    const simulated = simulate({ ...quiet, phones: 1_000_000, nodes: 100 }, costs);
    const limits = { ...usualLimits, redisBytes: simulated.redisBytes / 4, apnsPerSecond: 1e9, fcmPerSecond: 1e9 };
    const plan = planFor(simulated, costs, { ...limits, redisShare: 1000 });
    expect(plan.first).toEqual({ what: 'memory of one Redis', phones: 250_000 });
    expect(plan.shardsNeeded).toBe(4);
    // at the phones it names, CPU of the edges is where it may be
    const tight = planFor(simulate({ ...quiet, phones: 1_000_000, nodes: 1 }, costs), costs, usualLimits);
    expect(tight.first.what).toBe('CPU of the edges');
    const there = simulate({ ...quiet, phones: tight.first.phones, nodes: 1 }, costs);
    expect(peakOf(there.curves.edgeCpu).value).toBeCloseTo(usualLimits.edgeShare, 3);
  });

  it('is drawn with a curve for each thing', () => {
    const simulated = simulate({ ...day, nodes: 10 }, costs);
    const svg = drawDay(simulated, planFor(simulated, costs, usualLimits), usualLimits.edgeShare);
    expect(svg.match(/<polyline/g)).toHaveLength(10);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe('costs', () => {
  it('are numbers, each with the place it was measured at', () => {
    const file = JSON.parse(measured);
    for (const wrong of [{ value: -1, from: 'x' }, { value: 1 }, { value: '1', from: 'x' }, undefined])
      expect(() => readCosts(JSON.stringify({ ...file, edge: { ...file.edge, heldBytes: wrong } }))).toThrow(
        'edge.heldBytes',
      );
  });
});
