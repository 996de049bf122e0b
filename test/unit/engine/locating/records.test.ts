import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  kindOf,
  type Naptr,
  orderAddresses,
  orderNaptr,
  orderSrv,
  type Srv,
} from '../../../../lib/engine/locating/records.ts';

const srvs = fc.array(
  fc.record({
    priority: fc.integer({ min: 0, max: 3 }),
    weight: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })),
    name: fc.stringMatching(/^[a-c]\.example$/),
    port: fc.integer({ min: 1, max: 65_535 }),
  }),
  { maxLength: 12 },
);
/** Chance as the draw of a run, always below 1. */
const chance = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1, maxLength: 12 });
const from = (draws: readonly number[]): (() => number) => {
  let at = 0;
  return () => draws[at++ % draws.length] as number;
};

describe('RFC 2782: the order of SRV records', () => {
  test('is a permutation, by priority, whatever chance says', () => {
    fc.assert(
      fc.property(srvs, chance, (records, draws) => {
        const ordered = orderSrv(records, from(draws));
        expect(ordered.toSorted(byText)).toEqual(records.toSorted(byText));
        expect(ordered.map(({ priority }) => priority)).toEqual(
          records.map(({ priority }) => priority).toSorted((a, b) => a - b),
        );
      }),
    );
  });

  test('follows the weights: three times the weight is first three times as often', () => {
    const records = [a('light', 10), a('heavy', 30)];
    let heavy = 0;
    for (let at = 0; at < 4000; at++)
      if (orderSrv(records, () => ((at * 7919) % 4000) / 4000)[0]?.name === 'heavy') heavy++;
    expect(heavy / 4000).toBeCloseTo(0.75, 1);
  });

  test('weight 0 is only drawn with a small chance while others are left', () => {
    const records = [a('none', 0), a('all', 99)];
    expect(orderSrv(records, () => 0)[0]?.name).toBe('none');
    expect(orderSrv(records, () => 0.02)[0]?.name).toBe('all');
  });

  test('a target of one dot is no service', () => {
    expect(orderSrv([a('.', 0)], () => 0)).toEqual([]);
  });
});

describe('RFC 3263 4.1: the order of NAPTR records', () => {
  const can = (transport: string): boolean => transport === 'udp' || transport === 'tcp' || transport === 'tls';
  const records = [
    naptr(50, 50, 's', 'SIPS+D2T', '_sips._tcp.example.com'),
    naptr(90, 50, 's', 'SIP+D2T', '_sip._tcp.example.com'),
    naptr(100, 50, 's', 'SIP+D2U', '_sip._udp.example.com'),
    naptr(10, 10, 'u', 'E2U+sip', ''),
    naptr(10, 10, 's', 'SIP+D2S', '_sip._sctp.example.com'),
  ];

  test('is by order, then preference, of what we can speak', () => {
    expect(orderNaptr(records, can, false).map(({ transport }) => transport)).toEqual(['tls', 'tcp', 'udp']);
    expect(orderNaptr(records, (each) => each === 'udp', false).map(({ name }) => name)).toEqual([
      '_sip._udp.example.com',
    ]);
    const preferred = [naptr(1, 20, 's', 'SIP+D2T', 'second'), naptr(1, 10, 's', 'sip+d2u', 'first')];
    expect(orderNaptr(preferred, can, false).map(({ name }) => name)).toEqual(['first', 'second']);
  });

  test('a sips URI takes only SIPS services', () => {
    expect(orderNaptr(records, can, true).map(({ transport }) => transport)).toEqual(['tls']);
  });

  test('flag a leads to addresses; anything else is left out', () => {
    expect(orderNaptr([naptr(1, 1, 'A', 'SIP+D2U', 'host.example')], can, false)).toEqual([
      { transport: 'udp', name: 'host.example', isHost: true },
    ]);
    expect(orderNaptr([naptr(1, 1, 'p', 'SIP+D2U', 'x'), naptr(1, 1, 's', 'constructor', 'x')], can, false)).toEqual(
      [],
    );
  });
});

describe('RFC 6724: the order of addresses', () => {
  const sources: Record<string, string> = {
    '192.0.2.9': '192.0.2.1',
    '2001:db8::9': '2001:db8::1',
    'fd00::9': 'fd00::1',
  };

  test('IPv6 first where its source is of its kind, behind IPv4 where it is not, and nothing without a route', () => {
    expect(orderAddresses(['192.0.2.9', '2001:db8::9'], (each) => sources[each])).toEqual(['2001:db8::9', '192.0.2.9']);
    const local = (each: string): string | undefined => (each.includes(':') ? 'fd00::1' : '192.0.2.1');
    expect(orderAddresses(['2001:db8::9', '192.0.2.9'], local)).toEqual(['192.0.2.9', '2001:db8::9']);
    expect(orderAddresses(['2001:db8::9', '192.0.2.9'], (each) => (each.includes(':') ? undefined : 'x'))).toEqual([
      '192.0.2.9',
    ]);
  });

  test('kinds', () => {
    expect(['127.0.0.9', '::1', '10.0.0.1', 'FD12::1', '2001:db8::1'].map(kindOf)).toEqual([
      'loopback',
      'loopback',
      'ipv4',
      'unique-local',
      'ipv6',
    ]);
  });
});

function a(name: string, weight: number): Srv {
  return { priority: 0, weight, name, port: 5060 };
}

function naptr(order: number, preference: number, flags: string, service: string, replacement: string): Naptr {
  return { order, preference, flags, service, replacement };
}

function byText(one: Srv, other: Srv): number {
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}
