import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Door } from '../../../../lib/engine/control/door.ts';

describe('the door of the control port', () => {
  test('lets in few of one address and few in all, in every order of coming and going', () => {
    const address = fc.constantFrom('127.0.0.1', '10.0.0.1', '2001:db8::1', '2001:db8::ffff', '');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), address), { maxLength: 80 }), (steps) => {
        const door = new Door({ perAddress: 3, inAll: 7 });
        const inside: string[] = [];
        for (const [comes, from] of steps) {
          if (comes) {
            const near = inside.filter((one) => one === from || (one.includes(':') && from.includes(':'))).length;
            const expected = near < 3 && inside.length < 7;
            expect(door.enter(from)).toBe(expected);
            if (expected) inside.push(from);
          } else {
            const at = inside.indexOf(from);
            if (at < 0) continue;
            inside.splice(at, 1);
            door.leave(from);
          }
          expect(door.waiting).toBe(inside.length);
        }
      }),
    );
  });

  test('answers wrong secrets of one address more and more slowly, up to 5 s, and forgives after 10 minutes', () => {
    const door = new Door({ perAddress: 1, inAll: 1 });
    const waits = Array.from({ length: 12 }, (_, at) => door.wrong('203.0.113.7', at));
    expect(waits).toEqual([0, 0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
    expect(door.wrong('203.0.113.8', 12)).toBe(0);
    expect(door.wrong('203.0.113.7', 12 + 600_001)).toBe(0);
  });

  test('takes the neighbours of an IPv6 address for the same, and IPv4 in IPv6 for IPv4', () => {
    const door = new Door({ perAddress: 1, inAll: 9 });
    const entered = [
      '2001:db8:0:1::1',
      '2001:db8:0:1:ffff::2',
      '2001:db8:0:2::1',
      '::ffff:10.0.0.1',
      '10.0.0.1',
      '::1',
    ];
    expect(entered.map((one) => door.enter(one))).toEqual([true, false, true, true, false, true]);
  });

  test('remembers a bounded number of addresses', () => {
    const door = new Door({ perAddress: 1, inAll: 1 });
    for (let times = 0; times < 4; times++) door.wrong('203.0.113.7', times);
    for (let count = 0; count < 5000; count++) door.wrong(`10.1.${count >> 8}.${count & 255}`, 10);
    expect(door.wrong('203.0.113.7', 20)).toBe(0);
  });
});
