import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Health,
  type HealthEvent,
  type HealthPolicy,
  newHealth,
  recoveredAt,
  standingOf,
  stepHealth,
} from '../../../lib/core/upstream-health.ts';

const policy: HealthPolicy = { downAfter: 3, upAfter: 2, restMs: 30_000, longestRestMs: 600_000, probes: true };
const probed = (good: boolean): HealthEvent => ({ is: 'probed', good });

function after(events: readonly HealthEvent[], rules = policy, now = 1000): Health {
  return events.reduce((health, event) => stepHealth(health, event, now, rules), newHealth);
}

describe('one server of a PBX', () => {
  test('is down after so many bad probes in a row, and up after so many good ones', () => {
    expect(standingOf(after([probed(false), probed(false)]), 1000, policy)).toBe('usable');
    const down = after([probed(false), probed(false), probed(false)]);
    expect(standingOf(down, 10_000_000, policy)).toBe('down');
    const once = stepHealth(down, probed(true), 2000, policy);
    expect(standingOf(once, 2000, policy)).toBe('down');
    expect(standingOf(stepHealth(once, probed(true), 3000, policy), 3000, policy)).toBe('usable');
  });

  test('rests at once when a request got no answer, and less when it answers again', () => {
    const silent = after([{ is: 'failed' }]);
    expect(standingOf(silent, 1000, policy)).toBe('resting');
    expect(standingOf(silent, 31_000, policy)).toBe('usable');
    expect(standingOf(stepHealth(silent, { is: 'answered' }, 2000, policy), 2000, policy)).toBe('usable');
  });

  test('is left alone as long as its Retry-After says, whatever probes say, within a bound', () => {
    const busy = after([{ is: 'refused', retryAfterMs: 120_000 }]);
    const probedWell = stepHealth(stepHealth(busy, probed(true), 2000, policy), probed(true), 3000, policy);
    expect(standingOf(probedWell, 100_000, policy)).toBe('resting');
    expect(standingOf(probedWell, 121_000, policy)).toBe('usable');
    const forever = after([{ is: 'refused', retryAfterMs: 10 ** 12 }]);
    expect(standingOf(forever, 601_000, policy)).toBe('usable');
  });

  test('without probes comes back by itself', () => {
    const rules = { ...policy, probes: false };
    const down = after([{ is: 'failed' }, { is: 'failed' }, { is: 'failed' }], rules);
    expect(standingOf(down, 30_999, rules)).toBe('down');
    expect(standingOf(down, 31_000, rules)).toBe('usable');
    expect(recoveredAt(down, 40_000)).toBe(31_000);
  });
});

const anEvent: fc.Arbitrary<HealthEvent> = fc.oneof(
  fc.boolean().map(probed),
  fc.constant<HealthEvent>({ is: 'answered' }),
  fc.constant<HealthEvent>({ is: 'failed' }),
  fc
    .option(fc.integer({ min: 0, max: 10 ** 9 }), { nil: undefined })
    .map((retryAfterMs): HealthEvent => ({ is: 'refused', retryAfterMs })),
);
const rules = fc.record({
  downAfter: fc.integer({ min: 1, max: 5 }),
  upAfter: fc.integer({ min: 1, max: 5 }),
  restMs: fc.integer({ min: 1000, max: 60_000 }),
  longestRestMs: fc.constant(600_000),
  probes: fc.boolean(),
});

describe('in every order of events', () => {
  test('a server is down only after enough failures in a row, and never after enough good answers', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anEvent, fc.nat(20_000)), { maxLength: 40 }), rules, (story, some) => {
        let health = newHealth;
        let now = 1;
        let fails = 0;
        let goods = 0;
        let wasDown = false;
        for (const [event, ms] of story) {
          now += ms;
          health = stepHealth(health, event, now, some);
          const isGood = event.is === 'answered' || (event.is === 'probed' && event.good);
          const isBad = event.is === 'failed' || (event.is === 'probed' && !event.good);
          fails = isBad ? fails + 1 : isGood ? 0 : fails;
          goods = isGood ? goods + 1 : 0;
          if (health.down && !wasDown) expect(fails).toBeGreaterThanOrEqual(some.downAfter);
          if (goods >= some.upAfter) expect(health.down).toBe(false);
          wasDown = health.down;
        }
      }),
    );
  });

  test('left alone, a server without probes is usable again in the end, one with probes unless it is down', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anEvent, fc.nat(20_000)), { maxLength: 40 }), rules, (story, some) => {
        let health = newHealth;
        let now = 1;
        for (const [event, ms] of story) health = stepHealth(health, event, (now += ms), some);
        const standing = standingOf(health, now + some.longestRestMs, some);
        expect(standing).toBe(some.probes && health.down ? 'down' : 'usable');
      }),
    );
  });
});
