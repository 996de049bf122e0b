import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Bridge,
  type BridgeEffect,
  type BridgeEvent,
  type End,
  step,
  talking,
} from '../../../lib/core/bridge-state.ts';

function play(events: readonly BridgeEvent[]): { readonly bridge: Bridge; readonly effects: readonly BridgeEffect[] } {
  let bridge: Bridge = talking;
  const effects: BridgeEffect[] = [];
  for (const event of events) {
    const [next, more] = step(bridge, event);
    bridge = next;
    effects.push(...more);
  }
  return { bridge, effects };
}

const words = (effects: readonly BridgeEffect[]): string[] => effects.map((effect) => Object.values(effect).join(' '));

test('a BYE is answered and told to the other side', () => {
  expect(
    words(
      play([
        { is: 'bye', from: 'caller' },
        { is: 'bye-over', side: 'callee' },
      ]).effects,
    ),
  ).toEqual([
    'answer-bye caller',
    'close caller',
    'send-bye callee other-hung-up',
    'close callee',
    'over caller-hung-up',
  ]);
});

test('BYEs that cross are both answered', () => {
  expect(
    words(
      play([
        { is: 'bye', from: 'caller' },
        { is: 'bye', from: 'callee' },
        { is: 'bye-over', side: 'callee' },
      ]).effects,
    ),
  ).toEqual([
    'answer-bye caller',
    'close caller',
    'send-bye callee other-hung-up',
    'answer-bye callee',
    'close callee',
    'over caller-hung-up',
  ]);
});

test('a BYE during a re-INVITE drops it first', () => {
  expect(
    words(
      play([
        { is: 'reinvite', from: 'callee' },
        { is: 'bye', from: 'caller' },
      ]).effects,
    ),
  ).toEqual([
    'relay-reinvite callee',
    'answer-bye caller',
    'drop-reinvite callee',
    'close caller',
    'send-bye callee other-hung-up',
  ]);
});

test('glare: the other side gets 491, the same side 500, until the ACK', () => {
  const { effects } = play([
    { is: 'reinvite', from: 'caller' },
    { is: 'reinvite', from: 'callee' },
    { is: 'reinvite', from: 'caller' },
    { is: 'reinvite-answered', from: 'caller' },
    { is: 'reinvite', from: 'callee' },
    { is: 'acked', from: 'caller' },
    { is: 'reinvite', from: 'callee' },
    { is: 'reinvite-failed', from: 'callee' },
    { is: 'reinvite', from: 'caller' },
  ]);
  expect(words(effects)).toEqual([
    'relay-reinvite caller',
    'refuse-reinvite callee 491',
    'refuse-reinvite caller 500',
    'refuse-reinvite callee 491',
    'relay-reinvite callee',
    'relay-reinvite caller',
  ]);
});

test('a side that is lost gets a BYE all the same, a side the engine ended does not', () => {
  expect(words(play([{ is: 'lost', side: 'callee' }]).effects)).toEqual([
    'send-bye callee lost',
    'send-bye caller other-lost',
  ]);
  expect(words(play([{ is: 'ended', side: 'callee' }]).effects)).toEqual([
    'close callee',
    'send-bye caller other-lost',
  ]);
});

const end = fc.constantFrom<End>('caller', 'callee');
const event: fc.Arbitrary<BridgeEvent> = fc.oneof(
  fc.record({ is: fc.constantFrom('bye', 'reinvite', 'reinvite-answered', 'acked', 'reinvite-failed'), from: end }),
  fc.record({ is: fc.constantFrom('lost', 'ended', 'bye-over'), side: end }),
  fc.constant({ is: 'hang-up' } as const),
) as fc.Arbitrary<BridgeEvent>;

test('whatever comes in whatever order: one end, each side closed once, every request answered', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let bridge: Bridge = talking;
      const closed: Record<End, number> = { caller: 0, callee: 0 };
      const byes: Record<End, number> = { caller: 0, callee: 0 };
      const openByes = new Set<End>();
      let overs = 0;
      let changing: End | undefined;
      let owedAck = false;

      const take = (one: BridgeEvent): void => {
        const [next, effects] = step(bridge, one);
        bridge = next;
        if ('side' in one && (one.is === 'bye-over' || one.is === 'ended')) openByes.delete(one.side);
        if (one.is === 'bye')
          expect(effects.filter((effect) => effect.do === 'answer-bye' && effect.from === one.from)).toHaveLength(1);
        if (one.is === 'reinvite') {
          expect(
            effects.filter(
              (effect) =>
                (effect.do === 'relay-reinvite' || effect.do === 'refuse-reinvite') && effect.from === one.from,
            ),
          ).toHaveLength(1);
        }
        if (one.is === 'reinvite-answered' && one.from === changing) owedAck = true;
        if (
          (one.is === 'acked' && one.from === changing && owedAck) ||
          (one.is === 'reinvite-failed' && one.from === changing)
        ) {
          changing = undefined;
          owedAck = false;
        }
        for (const effect of effects) {
          if (effect.do === 'over') {
            overs++;
            expect(closed).toEqual({ caller: 1, callee: 1 });
          } else if (effect.do === 'close') closed[effect.side]++;
          else if (effect.do === 'send-bye') {
            byes[effect.to]++;
            openByes.add(effect.to);
            expect(closed[effect.to]).toBe(0);
          } else if (effect.do === 'relay-reinvite') {
            expect(changing).toBeUndefined();
            expect(closed).toEqual({ caller: 0, callee: 0 });
            changing = effect.from;
          } else if (effect.do === 'drop-reinvite') {
            expect(changing).toBe(effect.from);
            changing = undefined;
            owedAck = false;
          }
        }
        expect(overs).toBeLessThanOrEqual(1);
        expect(Math.max(...Object.values(closed), ...Object.values(byes))).toBeLessThanOrEqual(1);
        if (bridge.at !== 'talking') expect(changing).toBeUndefined();
      };

      // a BYE of ours cannot be over before it was sent
      for (const one of events) if (one.is !== 'bye-over' || openByes.has(one.side)) take(one);
      const wasOver = overs;
      take({ is: 'hang-up' });
      for (const side of [...openByes]) take({ is: 'bye-over', side });
      expect(bridge).toEqual({ at: 'over' });
      expect(overs).toBe(1);
      expect(wasOver).toBeLessThanOrEqual(1);
    }),
    { numRuns: 3000 },
  );
});
