import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  counterpart,
  earlyRequest,
  type EarlyPeers,
  nobodyRings,
  rings,
  stops,
} from '../../../lib/core/early-peers.ts';

const info = { method: 'INFO', hasBody: true };
const offer = { method: 'UPDATE', hasBody: true };
const plain = { method: 'UPDATE', hasBody: false };

test('one phone that rings is the counterpart, of two neither, until one has described itself', () => {
  const one = rings(nobodyRings, 'a', 'none');
  expect(earlyRequest(one, undefined, info)).toEqual({ do: 'pass', phone: 'a' });
  const two = rings(one, 'b', 'none');
  expect([earlyRequest(two, undefined, info), earlyRequest(two, 'a', plain)]).toEqual([
    { do: 'later' },
    { do: 'accept' },
  ]);
  const described = rings(two, 'b', 'unreliable');
  expect([earlyRequest(described, undefined, info), earlyRequest(described, 'a', info)]).toEqual([
    { do: 'pass', phone: 'b' },
    { do: 'later' },
  ]);
  expect(earlyRequest(stops(described, 'b'), undefined, info)).toEqual({ do: 'later' });
});

test('an offer of the phone passes once the caller has an answer for sure', () => {
  const unsure = rings(nobodyRings, 'a', 'unreliable');
  expect(earlyRequest(unsure, 'a', offer)).toEqual({ do: 'pending' });
  expect(earlyRequest(unsure, 'a', plain)).toEqual({ do: 'pass', phone: 'a' });
  expect(earlyRequest(rings(unsure, 'a', 'reliable'), 'a', offer)).toEqual({ do: 'pass', phone: 'a' });
});

const phone = fc.constantFrom('a', 'b', 'c');
const event = fc.oneof(
  fc.record({
    is: fc.constant('rings' as const),
    phone,
    description: fc.constantFrom('none' as const, 'unreliable' as const, 'reliable' as const),
  }),
  fc.record({ is: fc.constant('stops' as const), phone }),
);

test('in every order: at most one phone speaks with the caller, it rings, and both ways agree on who it is', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), (events) => {
      let peers: EarlyPeers = nobodyRings;
      const ringing = new Set<string>();
      for (const one of events) {
        if (one.is === 'rings') {
          peers = rings(peers, one.phone, one.description);
          ringing.add(one.phone);
        } else {
          peers = stops(peers, one.phone);
          ringing.delete(one.phone);
        }
        const who = counterpart(peers);
        if (who !== undefined) expect(ringing.has(who)).toBe(true);
        const heard = ['a', 'b', 'c'].filter((each) => earlyRequest(peers, each, info).do === 'pass');
        expect(heard).toEqual(who === undefined ? [] : [who]);
        const said = earlyRequest(peers, undefined, info);
        expect(said).toEqual(who === undefined ? { do: 'later' } : { do: 'pass', phone: who });
      }
    }),
  );
});
