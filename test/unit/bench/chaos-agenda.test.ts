/** The agenda of faults: the same for the same seed, and never everything at once. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { draw, rolling } from '../../../bench/chaos/agenda.ts';
import { drawRun } from '../../../bench/chaos/picture.ts';

const plan = { forMs: 300_000, nodes: 3, pushServices: 2, partitions: true, pauseMs: [5000, 12_000] } as const;

describe('an agenda', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(draw({ ...plan, seed: 7 })).toEqual(draw({ ...plan, seed: 7 }));
    expect(draw({ ...plan, seed: 7 })).not.toEqual(draw({ ...plan, seed: 8 }));
  });

  it('leaves a node standing, hits nothing twice at a time, and ends in time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 2, max: 5 }), (seed, nodes) => {
        const faults = draw({ ...plan, seed, nodes });
        expect(faults.length).toBeGreaterThan(5);
        for (const one of faults) {
          const whole = faults.filter(({ at, forMs }) => at <= one.at && one.at < at + forMs);
          const down = new Set(whole.flatMap(({ node }) => node ?? []));
          expect(down.size).toBeLessThan(nodes);
          expect(one.at + one.forMs).toBeLessThanOrEqual(plan.forMs);
          const same = whole.filter(
            (other) => other !== one && other.node === one.node && other.push === one.push && other.kind !== one.kind,
          );
          expect(same.filter(({ node, push }) => node !== undefined || push !== undefined)).toEqual([]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has no partitions where there can be none, and only the kinds that are asked for', () => {
    expect(draw({ ...plan, seed: 1, partitions: false }).some(({ kind }) => kind === 'partition')).toBe(false);
    const kinds = new Set(draw({ ...plan, seed: 1, only: ['redis-kill', 'push-503'] }).map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(['push-503', 'redis-kill']);
  });

  it('takes the nodes in turn in a rolling restart', () => {
    expect(rolling(3).map(({ kind, node }) => `${kind} ${node}`)).toEqual([
      'node-drain 0',
      'node-told-to-drain 1',
      'node-drain 2',
    ]);
  });
});

describe('a picture', () => {
  it('shows each fault as a bar, also of a run without calls', () => {
    const faults = [{ id: 1, kind: 'node-kill', node: 0, since: 1000, to: 4000 }] as const;
    const svg = drawRun([], faults, { seed: 1, rate: 10, nodes: 3 });
    expect(svg).toContain('<title>node-kill 0, 1.0 s to 4.0 s</title>');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});
