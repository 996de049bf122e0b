import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestResponse, type FailedLeg } from '../../../lib/core/best-response.ts';

const failed = (...statuses: number[]): FailedLeg[] =>
  statuses.map((status, at) => ({ leg: `l${at}`, status, local: false }));

describe('[EDGE-PRX-09] the best answer', () => {
  test.each([
    [[503, 486], 486],
    [[404, 603], 603],
    [[500, 302, 486], 302],
    [[486, 407, 404], 407],
    [[486, 404], 486],
    [[404, 484], 484],
    [[503, 500], 500],
    [[603, 600], 603],
  ])('of %j is %d', (statuses, best) => {
    const found = bestResponse(failed(...statuses));
    expect(found).toEqual({ is: 'relay', leg: `l${statuses.indexOf(best)}`, status: best });
  });

  test('of 503 alone is 500', () => {
    expect(bestResponse(failed(503, 503))).toEqual({ is: 'refuse', status: 500 });
  });

  test('of nothing is 480', () => {
    expect(bestResponse([])).toEqual({ is: 'refuse', status: 480 });
    expect(bestResponse([{ leg: 'l', status: 408, local: true }])).toEqual({ is: 'refuse', status: 480 });
  });

  test('is that of a device when there is one, and never worse than another one', () => {
    const one = fc.record({
      leg: fc.constantFrom('a', 'b'),
      status: fc.integer({ min: 300, max: 699 }),
      local: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 5 }), (failures) => {
        const best = bestResponse(failures);
        const real = failures.filter(({ local }) => !local).map(({ status }) => status);
        const lowest = real.some((status) => status >= 600) ? 6 : Math.floor(Math.min(...real) / 100);
        if (best.is === 'refuse') expect(real.every((status) => status === 503)).toBe(true);
        else {
          expect(real).toContain(best.status);
          expect(Math.floor(best.status / 100)).toBe(lowest);
        }
      }),
    );
  });
});
