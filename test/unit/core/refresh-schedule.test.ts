/** When refresh pushes are sent, over every binding there can be. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Binding, PushToken } from '../../../lib/core/binding.ts';
import {
  isRefreshDue,
  nextRefresh,
  readRefreshTask,
  refreshTask,
  speaksForItsResource,
} from '../../../lib/core/refresh-schedule.ts';
import { aBinding } from '../../support/a-binding.ts';

const policy = { leadSeconds: 300 };
const alert: PushToken = { kind: 'alert', token: 'ab'.repeat(32) };
const voip: PushToken = { kind: 'voip', token: 'cd'.repeat(32) };
const hour = 3_600_000;

interface About {
  readonly id?: string;
  readonly tokens?: readonly PushToken[];
  readonly wakesItself?: boolean;
  readonly seconds?: number;
  readonly upstreamSeconds?: number;
  readonly deadSince?: number;
}

/** Registered at 0. */
function asleep({ id = 'b1', tokens = [alert], wakesItself = false, seconds = 3600, ...about }: About = {}): Binding {
  const { push, upstreamExpiresAt: _, ...rest } = aBinding({ id, registeredAt: 0, expiresAt: seconds * 1000 });
  if (push === undefined) throw new Error('no push');
  return {
    ...rest,
    push: { ...push, tokens, wakesItself, ...(about.deadSince === undefined ? {} : { deadSince: about.deadSince }) },
    ...(about.upstreamSeconds === undefined ? {} : { upstreamExpiresAt: about.upstreamSeconds * 1000 }),
  };
}

/** Every push that is sent when nobody registers. */
function row(binding: Binding): readonly number[] {
  const times: number[] = [];
  for (let at = nextRefresh(binding, 0, policy); at !== undefined; at = nextRefresh(binding, at, policy))
    times.push(at);
  return times;
}

describe('refresh pushes', () => {
  it('[PN-EXP-02] the first comes 120 s before the end at the latest, whatever the binding is called', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{1,20}$/), fc.integer({ min: 600, max: 604_800 }), (id, seconds) => {
        const first = nextRefresh(asleep({ id, seconds }), 0, policy) ?? Number.NaN;
        expect(seconds * 1000 - first).toBeGreaterThanOrEqual(120_000);
        expect(first).toBeGreaterThan(0);
      }),
    );
  });

  it('[PN-EXP-06] is repeated once, with half of what is left, and never after the end', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{1,20}$/), fc.integer({ min: 61, max: 604_800 }), (id, seconds) => {
        const times = row(asleep({ id, seconds }));
        const left = times.map((at) => seconds * 1000 - at);
        expect(left.length).toBeGreaterThanOrEqual(1);
        expect(left.length).toBeLessThanOrEqual(2);
        for (const [index, rest] of left.entries()) {
          expect(rest).toBeGreaterThanOrEqual(10_000);
          if (index > 0) expect(rest).toBeCloseTo((left[index - 1] as number) / 2, -1);
        }
      }),
    );
  });

  it('is due at each of its times, and at none before the first or after the end', () => {
    const binding = asleep();
    const times = row(binding);
    for (const at of times) expect(isRefreshDue(binding, at, policy)).toBe(true);
    expect(isRefreshDue(binding, (times[0] ?? 0) - 1, policy)).toBe(false);
    expect(isRefreshDue(binding, hour, policy)).toBe(false);
  });

  it('[PN-EXP-03] a phone that wakes itself is pushed only when it is late', () => {
    expect(nextRefresh(asleep({ wakesItself: true }), 0, policy)).toBe(hour - 120_000);
  });

  it('[PN-EXP-08] never by a VoIP token, and not at all when there is no other', () => {
    expect(row(asleep({ tokens: [voip] }))).toEqual([]);
    expect(row(asleep({ tokens: [voip, alert] })).length).toBeGreaterThan(0);
  });

  it('[PN-EXP-04] a dead token, a plain binding and a time after the end get none', () => {
    expect(row(asleep({ deadSince: 5 }))).toEqual([]);
    const { push: _, ...plain } = asleep();
    expect(row(plain)).toEqual([]);
    expect(nextRefresh(asleep(), hour + 1, policy)).toBeUndefined();
  });

  it('goes by the end that comes first, of the phone or of the PBX', () => {
    const first = nextRefresh(asleep({ seconds: 86_400, upstreamSeconds: 3600 }), 0, policy) ?? 0;
    expect(first).toBeLessThan(hour - 120_000);
  });

  it('[PN-EXP-06] spreads bindings that end together over a tenth of their life', () => {
    const perMinute = new Map<number, number>();
    for (let count = 0; count < 10_000; count++) {
      const at = nextRefresh(asleep({ id: `binding-${count}` }), 0, policy) ?? 0;
      const minute = Math.floor(at / 60_000);
      perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1);
    }
    expect(perMinute.size).toBeGreaterThanOrEqual(6);
    expect(Math.max(...perMinute.values())).toBeLessThan(2500);
  });

  it('[PN-EXP-06] of two bindings of one push resource one speaks for both', () => {
    const [one, two, other] = [
      asleep({ id: 'a' }),
      asleep({ id: 'b' }),
      asleep({ id: 'c', tokens: [{ ...alert, token: 'ef'.repeat(32) }] }),
    ];
    const set = [two, other, one];
    expect(set.map((binding) => speaksForItsResource(binding, set))).toEqual([false, true, true]);
  });

  it('[PN-EXP-06] of two that end at different times the one that ends first speaks, or nobody would be pushed for it', () => {
    const [later, sooner] = [asleep({ id: 'a', seconds: 7200 }), asleep({ id: 'b', seconds: 3600 })];
    const set = [later, sooner];
    expect(set.map((binding) => speaksForItsResource(binding, set))).toEqual([false, true]);
  });

  it('a task names its binding, however odd the user is called', () => {
    for (const aor of ['alice@example.com', 'a b\n c@example.com'])
      expect(readRefreshTask(refreshTask(aor, 'f00'))).toEqual({ aor, bindingId: 'f00' });
    expect(readRefreshTask('tombstone 1 2')).toBeUndefined();
  });
});
