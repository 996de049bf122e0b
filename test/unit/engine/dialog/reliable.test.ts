import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  noReliable,
  type Reliable,
  type ReliableEffect,
  type ReliableEvent,
  step,
} from '../../../../lib/engine/dialog/reliable.ts';

function play(events: readonly ReliableEvent[]): string[] {
  let state: Reliable = noReliable(10);
  const words: string[] = [];
  for (const event of events) {
    const [next, effects] = step(state, event);
    state = next;
    words.push(...effects.map((effect) => Object.values(effect).join(' ')));
  }
  return words;
}

const provisional = (id: number, described = false): ReliableEvent => ({ is: 'provisional', id, described });
const success = (id: number): ReliableEvent => ({ is: 'success', id });
const prack = (rseq: number): ReliableEvent => ({ is: 'prack', rseq });

describe('reliable provisionals (RFC 3262 3)', () => {
  test('one after the other, each numbered one higher', () => {
    expect(play([provisional(1), provisional(2), prack(11), prack(12)])).toEqual([
      'send 1 11',
      'stop-timers',
      'take-prack',
      'send 2 12',
      'stop-timers',
      'take-prack',
    ]);
  });

  test('a 2xx waits for the PRACK of a session description, and for nothing else', () => {
    expect(play([provisional(1, true), success(2), prack(11)])).toEqual([
      'send 1 11',
      'stop-timers',
      'take-prack',
      'send-success 2',
    ]);
    expect(play([provisional(1), success(2), prack(11)])).toEqual([
      'send 1 11',
      'stop-timers',
      'send-success 2',
      'take-prack',
    ]);
  });

  test('a PRACK is taken once, in its order, and refused otherwise', () => {
    expect(play([prack(11), provisional(1), prack(10), prack(12), prack(11), prack(11)])).toEqual([
      'refuse-prack',
      'send 1 11',
      'refuse-prack',
      'refuse-prack',
      'stop-timers',
      'take-prack',
      'refuse-prack',
    ]);
  });

  test('without a PRACK the INVITE is refused, and nothing is sent any more', () => {
    expect(play([provisional(1, true), success(2), { is: 'copy-due' }, { is: 'give-up' }, success(3)])).toEqual([
      'send 1 11',
      'repeat',
      'stop-timers',
      'drop 2',
      'reject',
      'drop 3',
    ]);
  });
});

const anEvent = (id: number): fc.Arbitrary<ReliableEvent> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.boolean().map((described): ReliableEvent => provisional(id, described)) },
    { weight: 1, arbitrary: fc.constant(success(id)) },
    { weight: 3, arbitrary: fc.integer({ min: -1, max: 1 }).map((off): ReliableEvent => prack(off)) },
    { weight: 1, arbitrary: fc.constantFrom<ReliableEvent>({ is: 'copy-due' }, { is: 'give-up' }, { is: 'ended' }) },
  );
const story = fc
  .array(fc.nat(), { maxLength: 40 })
  .chain((seeds) => fc.tuple(...seeds.map((_seed, index) => anEvent(index))));

test('in every order: one waits at a time, RSeq grows by one, no 2xx past a description, each answer ends once', () => {
  fc.assert(
    fc.property(story, (events) => {
      let state = noReliable(0);
      let waiting: { rseq: number; described: boolean } | undefined;
      let timers = false;
      let last = 0;
      let finished = false;
      const offered = new Map<number, boolean>();
      const ended = new Map<number, number>();
      const take = (written: ReliableEvent): void => {
        // relative numbers make the fitting ones likely
        const event = written.is === 'prack' ? prack(state.rseq + written.rseq) : written;
        const [next, effects] = step(state, event);
        state = next;
        if ('id' in event) offered.set(event.id, event.is === 'provisional' && event.described);
        for (const effect of effects) look(effect);
        if (event.is === 'prack') {
          const answers = effects.filter((effect) => effect.do === 'take-prack' || effect.do === 'refuse-prack');
          expect(answers).toHaveLength(1);
        }
      };
      const look = (effect: ReliableEffect): void => {
        if ('id' in effect) ended.set(effect.id, (ended.get(effect.id) ?? 0) + 1);
        if (effect.do === 'send') {
          expect([waiting, finished, timers, effect.rseq]).toEqual([undefined, false, false, last + 1]);
          last = effect.rseq;
          waiting = { rseq: effect.rseq, described: offered.get(effect.id) === true };
          timers = true;
        } else if (effect.do === 'send-success') {
          expect(finished || waiting?.described === true || timers).toBe(false);
          finished = true;
        } else if (effect.do === 'take-prack') {
          expect(waiting?.rseq).toBe(last);
          waiting = undefined;
        } else if (effect.do === 'stop-timers') {
          expect(timers).toBe(true);
          timers = false;
        } else if (effect.do === 'repeat') expect(timers).toBe(true);
        else if (effect.do === 'reject') {
          expect(finished).toBe(false);
          finished = true;
        }
      };
      for (const event of events) take(event);
      take({ is: 'ended' });
      expect(timers).toBe(false);
      for (const id of offered.keys()) expect(ended.get(id)).toBe(1);
    }),
    { numRuns: 3000 },
  );
});
