import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExpires, ringBudget } from '../../../lib/core/ring-budget.ts';

describe('how long a call for a phone may wait', () => {
  it.each([
    [undefined, undefined, 2000, undefined],
    [25_000, undefined, 2000, { ms: 25_000, learntFromExpires: false }],
    [undefined, 30, 2000, { ms: 28_000, learntFromExpires: true }],
    [25_000, 30, 2000, { ms: 25_000, learntFromExpires: false }],
    [29_000, 30, 2000, { ms: 28_000, learntFromExpires: true }],
    [undefined, 30, 0, undefined],
    [undefined, 9, 2000, undefined],
    [undefined, 10, 60_000, { ms: 0, learntFromExpires: true }],
  ])('configured %s ms, Expires %s, margin %s', (configured, expires, margin, budget) => {
    expect(ringBudget(configured, expires, margin)).toEqual(budget);
  });

  it('never longer than what is configured, nor than Expires without its margin', () => {
    const some = fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined });
    fc.assert(
      fc.property(some, some, fc.nat(60_000), (configured, expires, margin) => {
        const { ms } = ringBudget(configured, expires, margin) ?? { ms: Number.POSITIVE_INFINITY };
        if (configured !== undefined) expect(ms).toBeLessThanOrEqual(configured);
        if (expires !== undefined && expires >= 10 && margin > 0)
          expect(ms).toBeLessThanOrEqual(Math.max(0, expires * 1000 - margin));
      }),
    );
  });

  it.each([
    ['180', 180],
    [' 7 ', 7],
    ['-1', undefined],
    ['1e3', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('reads Expires %s', (field, seconds) => {
    expect(readExpires(field)).toBe(seconds);
  });
});
