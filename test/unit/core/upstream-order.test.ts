import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Standing } from '../../../lib/core/upstream-health.ts';
import { orderServers, type Ranked } from '../../../lib/core/upstream-order.ts';

const server = (id: string, over: Partial<Ranked> = {}): Ranked => ({
  id,
  upstream: 'sip:pbx.test',
  priority: 10,
  weight: 1,
  srvPriority: 0,
  srvWeight: 1,
  ...over,
});
const usable = (): Standing => 'usable';
const users = Array.from({ length: 4000 }, (_, at) => `user${at}@example.com`);

const someServers = fc
  .uniqueArray(
    fc.record({
      id: fc.string({ minLength: 1 }),
      upstream: fc.constantFrom('a', 'b', 'c'),
      srvPriority: fc.nat(2),
      srvWeight: fc.nat(100),
    }),
    { selector: ({ id }) => id, maxLength: 8 },
  )
  .map((drawn) => drawn.map((one) => server(one.id, { ...one, priority: one.upstream === 'c' ? 20 : 10 })));
const standings = fc.array(fc.constantFrom<Standing>('usable', 'resting', 'down'), { minLength: 8, maxLength: 8 });

describe('whom to try first', () => {
  test('the order has every server once, the usable ones first, then by priority', () => {
    fc.assert(
      fc.property(someServers, standings, fc.string(), (servers, drawn, user) => {
        const standing = (one: Ranked): Standing => drawn[servers.indexOf(one)] ?? 'usable';
        const ordered = orderServers(servers, user, standing);
        expect(ordered.toSorted((a, b) => servers.indexOf(a) - servers.indexOf(b))).toEqual(servers);
        const late = { usable: 0, resting: 1, down: 2 };
        for (const [at, one] of ordered.entries()) {
          const next = ordered[at + 1];
          if (next === undefined) continue;
          expect(late[standing(one)]).toBeLessThanOrEqual(late[standing(next)]);
          if (standing(one) === standing(next)) expect(one.priority).toBeLessThanOrEqual(next.priority);
          if (standing(one) === standing(next) && one.upstream === next.upstream)
            expect(one.srvPriority).toBeLessThanOrEqual(next.srvPriority);
        }
      }),
    );
  });

  test('it is the same whatever order DNS gives', () => {
    fc.assert(
      fc.property(someServers, fc.string(), (servers, user) => {
        expect(orderServers(servers.toReversed(), user, usable)).toEqual(orderServers(servers, user, usable));
      }),
    );
  });

  test('when one server goes, only its users move, and they come back', () => {
    fc.assert(
      fc.property(someServers, fc.nat(), fc.string(), (servers, at, user) => {
        if (servers.length < 2) return;
        const gone = servers[at % servers.length];
        const [before] = orderServers(servers, user, usable);
        const [meanwhile] = orderServers(servers, user, (one) => (one === gone ? 'down' : 'usable'));
        if (before === gone) expect(meanwhile).not.toBe(gone);
        else expect(meanwhile).toBe(before);
      }),
    );
  });

  test('users are shared out by weight', () => {
    const two = [server('a', { upstream: 'x', weight: 3 }), server('b', { upstream: 'y', weight: 1 })];
    const first = users.filter((user) => orderServers(two, user, usable)[0]?.id === 'a').length;
    expect(first / users.length).toBeGreaterThan(0.72);
    expect(first / users.length).toBeLessThan(0.78);
    const bySrv = [server('a', { srvWeight: 0 }), server('b', { srvWeight: 60 }), server('c', { srvWeight: 40 })];
    const share = (id: string): number =>
      users.filter((user) => orderServers(bySrv, user, usable)[0]?.id === id).length;
    expect(share('a')).toBeLessThan(users.length / 100);
    expect(share('b') / users.length).toBeGreaterThan(0.56);
    expect(share('b') / users.length).toBeLessThan(0.64);
  });
});
