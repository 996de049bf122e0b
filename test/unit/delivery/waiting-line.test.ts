import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Urgency, WaitingLine } from '../../../lib/delivery/waiting-line.ts';

describe('waiting line', () => {
  it('gives out by urgency, then by age', () => {
    const line = new WaitingLine<string>(10);
    line.add('refresh', 3);
    line.add('call 1', 0);
    line.add('message', 1);
    line.add('call 2', 0);
    expect([line.take(), line.take(), line.take(), line.take(), line.take()]).toEqual([
      'call 1',
      'call 2',
      'message',
      'refresh',
      undefined,
    ]);
  });

  it('puts out the newest of the least urgent, never one that is as urgent as the newcomer', () => {
    const line = new WaitingLine<string>(2);
    line.add('refresh 1', 3);
    line.add('refresh 2', 3);
    expect(line.add('refresh 3', 3)).toBe('refresh 3');
    expect(line.add('call 1', 0)).toBe('refresh 2');
    expect(line.add('call 2', 0)).toBe('refresh 1');
    expect(line.add('call 3', 0)).toBe('call 3');
    expect(line.size).toBe(2);
  });

  it('never holds more than its limit and loses nobody without saying so', () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('add' as const), urgency: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ do: fc.constant('take' as const) }),
      fc.record({ do: fc.constant('delete' as const), which: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const line = new WaitingLine<{ readonly n: number }>(5);
        const inside = new Set<{ readonly n: number }>();
        actions.forEach((step, n) => {
          if (step.do === 'add') {
            const item = { n };
            inside.add(item);
            const out = line.add(item, step.urgency as Urgency);
            if (out !== undefined) expect(inside.delete(out)).toBe(true);
          } else if (step.do === 'take') {
            const item = line.take();
            expect(item === undefined).toBe(inside.size === 0);
            if (item !== undefined) expect(inside.delete(item)).toBe(true);
          } else {
            const item = [...inside][step.which % Math.max(1, inside.size)];
            if (item !== undefined) expect(line.delete(item) && inside.delete(item)).toBe(true);
          }
          expect(line.size).toBe(inside.size);
          expect(line.size).toBeLessThanOrEqual(5);
        });
      }),
    );
  });
});
