import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  noSessionTimer,
  type SessionTimer,
  type SessionTimerEvent,
  step,
} from '../../../../lib/engine/dialog/session-timer.ts';

function play(events: readonly SessionTimerEvent[]): string[] {
  let timer: SessionTimer = noSessionTimer;
  const words: string[] = [];
  for (const event of events) {
    const [next, effects] = step(timer, event);
    timer = next;
    words.push(...effects.map((effect) => Object.values(effect).join(' ')));
  }
  return words;
}

const agreed = (refresher: 'us' | 'peer' | 'nobody', seconds = 1800): SessionTimerEvent => ({
  is: 'agreed',
  seconds,
  refresher,
});
const due: SessionTimerEvent = { is: 'refresh-due', busy: false };
const refused = (status: number, minSe = 0): SessionTimerEvent => ({ is: 'refused', status, minSe, wait: 3 });

describe('session timer (RFC 4028)', () => {
  test('the peer refreshes, or the call ends', () => {
    expect(play([agreed('peer'), agreed('peer'), { is: 'expired' }])).toEqual([
      'expire-in 1800',
      'stop-timers',
      'expire-in 1800',
      'stop-timers',
      'hang-up',
    ]);
  });

  test('nothing shorter than 90 s, whatever was written', () => {
    expect(play([agreed('peer', 5)])).toEqual(['expire-in 90']);
  });

  test('we refresh a little after half of the time, and not while an INVITE is on its way', () => {
    expect(play([agreed('us'), { is: 'refresh-due', busy: true }, due, agreed('us')])).toEqual([
      'expire-in 1800',
      'refresh-in 905',
      'refresh-in 2',
      'refresh 1800 90',
      'stop-timers',
      'expire-in 1800',
      'refresh-in 905',
    ]);
  });

  test('422 makes the next one longer, and only when it asks for more', () => {
    expect(play([agreed('us', 90), due, refused(422, 600), refused(422, 600)])).toEqual([
      'expire-in 90',
      'refresh-in 50',
      'refresh 90 90',
      'refresh 600 600',
      'refresh-in 3',
    ]);
  });

  test('408 and 481 end the call, anything else leaves it its time', () => {
    expect(play([agreed('us'), due, refused(491), due, refused(481)])).toEqual([
      'expire-in 1800',
      'refresh-in 905',
      'refresh 1800 90',
      'refresh-in 3',
      'refresh 1800 90',
      'stop-timers',
      'hang-up',
    ]);
  });
});

const event: fc.Arbitrary<SessionTimerEvent> = fc.oneof(
  fc.record({
    is: fc.constant('agreed' as const),
    seconds: fc.constantFrom(0, 1, 90, 1800),
    refresher: fc.constantFrom('us' as const, 'peer' as const, 'nobody' as const),
  }),
  fc.record({ is: fc.constant('refresh-due' as const), busy: fc.boolean() }),
  fc.record({
    is: fc.constant('refused' as const),
    status: fc.constantFrom(408, 422, 481, 491, 500),
    minSe: fc.constantFrom(0, 90, 500, 5000),
    wait: fc.constant(1),
  }),
  fc.constantFrom<SessionTimerEvent>({ is: 'expired' }, { is: 'dialog-over' }),
);

test('in every order: a timer runs exactly while a session is agreed, one refresh at a time, one BYE for each agreement', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let timer: SessionTimer = noSessionTimer;
      let running = false;
      let refreshing = false;
      for (const one of [...events, { is: 'dialog-over' } as const]) {
        // what the shell cannot report
        if ((one.is === 'refused' && !refreshing) || (one.is === 'expired' && !running)) continue;
        const [next, effects] = step(timer, one);
        timer = next;
        if (one.is === 'refused' || one.is === 'agreed') refreshing = false;
        for (const effect of effects) {
          switch (effect.do) {
            case 'expire-in':
              expect(running).toBe(false);
              expect(effect.seconds).toBeGreaterThanOrEqual(90);
              running = true;
              break;
            case 'stop-timers':
              expect(running).toBe(true);
              running = false;
              break;
            case 'refresh':
              expect([running, refreshing]).toEqual([true, false]);
              expect(effect.seconds).toBeGreaterThanOrEqual(effect.minSe);
              refreshing = true;
              break;
            case 'refresh-in':
              expect([running, refreshing]).toEqual([true, false]);
              break;
            case 'hang-up':
              expect([running, timer]).toEqual([false, { at: 'none' }]);
              break;
            default:
              effect satisfies never;
          }
        }
        expect(running).toBe(timer.at !== 'none');
        if (timer.at !== 'ours') refreshing = false;
      }
      expect(running).toBe(false);
    }),
    { numRuns: 3000 },
  );
});
