/** How many refresh pushes go to one app, and that one app never holds up another. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppLanes } from '../../../lib/refresh/app-lanes.ts';

const start = 1_790_000_000_000;

describe('lanes of apps', () => {
  it('let a rate through, and tell the others times that keep to it', () => {
    const lanes = new AppLanes(50);
    const times = Array.from({ length: 500 }, () => lanes.enter('ios', start));
    expect(times.filter((at) => at === undefined)).toHaveLength(50);
    const bySecond = new Map<number, number>();
    for (const at of times)
      if (at !== undefined)
        bySecond.set(Math.floor((at - start) / 1000), (bySecond.get(Math.floor((at - start) / 1000)) ?? 0) + 1);
    expect(Math.max(...bySecond.values())).toBeLessThanOrEqual(51);
  });

  it('give an app whose service hangs a bound, and the others all of theirs', () => {
    const lanes = new AppLanes(50);
    let hung = 0;
    for (let second = 0; second < 60; second++) {
      const now = start + second * 1000;
      for (let count = 0; count < 50; count++) {
        if (lanes.enter('hangs', now) === undefined) hung += 1;
        expect(lanes.enter('works', now)).toBeUndefined();
        lanes.leave('works');
      }
    }
    expect(hung).toBe(100);
    const later = lanes.enter('hangs', start + 61_000) ?? 0;
    expect(later - start - 61_000).toBeGreaterThanOrEqual(10_000);
  });

  it('never let more than the rate through in any second, nor more than two seconds of it unanswered, in any order of events', () => {
    const event = fc.record({ wait: fc.integer({ min: -50, max: 700 }), leaves: fc.nat(60), asks: fc.nat(80) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const lanes = new AppLanes(20);
        let now = start;
        let inside = 0;
        const sent: number[] = [];
        for (const { wait, leaves, asks } of events) {
          now += wait;
          for (let count = 0; count < Math.min(leaves, inside); count++) lanes.leave('a');
          inside -= Math.min(leaves, inside);
          for (let count = 0; count < asks; count++) {
            const later = lanes.enter('a', now);
            if (later !== undefined) {
              expect(later).toBeGreaterThan(now);
              continue;
            }
            inside += 1;
            sent.push(now);
          }
          expect(inside).toBeLessThanOrEqual(40);
        }
        // a bucket holds one second and gains another in it; clocks set back give nothing
        const steps = events.filter(({ wait }) => wait < 0).length;
        for (const at of sent)
          expect(sent.filter((other) => other > at - 1000 && other <= at).length).toBeLessThanOrEqual(41 + steps);
      }),
    );
  });
});
