/** Every order of everything: two dialogs of one subscription. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  step,
  subscribed,
  type SubscriptionEffect,
  type SubscriptionEvent,
  type SubscriptionStep,
} from '../../../lib/core/subscription-state.ts';

const side = fc.constantFrom('subscriber', 'notifier');
const event: fc.Arbitrary<SubscriptionEvent> = fc.oneof(
  fc.record({ is: fc.constant('granted'), seconds: fc.constantFrom(0, 60, 3600) }),
  fc.record({
    is: fc.constant('refused'),
    of: fc.constantFrom('SUBSCRIBE', 'NOTIFY'),
    status: fc.constantFrom(401, 423, 481, 489, 500, 503),
  }),
  fc.record({ is: fc.constant('notified'), terminated: fc.boolean() }),
  fc.record({ is: fc.constant('expired') }),
  fc.record({ is: fc.constant('lost'), side }),
  fc.record({ is: fc.constant('stop') }),
  fc.record({ is: fc.constant('told'), side }),
) as fc.Arbitrary<SubscriptionEvent>;

test('whatever comes in whatever order: one end, each side closed once, nobody told twice, the timer stopped', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const [begun, effects]: SubscriptionStep = subscribed(600);
      let state = begun;
      const done: SubscriptionEffect[] = [];
      let timer = false;
      const take = ([next, some]: SubscriptionStep): void => {
        state = next;
        for (const effect of some) {
          if (effect.do === 'start-timer') timer = true;
          else if (effect.do === 'stop-timer') timer = false;
          else done.push(effect);
        }
      };
      take([state, effects]);
      for (const one of events) {
        const before = state;
        take(step(state, one));
        expect(step(before, one)[0]).toEqual(state);
      }
      // an active one has a limit; an ending one has somebody to tell; the world goes on until all is said
      expect(timer).toBe(state.at === 'active');
      if (state.at === 'active') take(step(state, { is: 'stop' }));
      for (const at of ['subscriber', 'notifier'] as const) take(step(state, { is: 'told', side: at }));
      expect(state.at).toBe('over');
      const count = (what: string): number => done.filter((effect) => JSON.stringify(effect) === what).length;
      expect(done.filter((effect) => effect.do === 'over')).toHaveLength(1);
      for (const at of ['subscriber', 'notifier']) {
        expect(count(JSON.stringify({ do: 'close', side: at }))).toBe(1);
        expect(count(JSON.stringify({ do: `tell-${at}` }))).toBeLessThanOrEqual(1);
      }
      expect(done.at(-1)?.do).toBe('over');
    }),
    { numRuns: 1000 },
  );
});

test.each([481, 489])('[PN-PURR-13] %i ends it; what ends a transaction only does not', (status) => {
  const [state] = subscribed(600);
  expect(step(state, { is: 'refused', of: 'NOTIFY', status })[0].at).toBe('over');
  for (const other of [401, 423, 500, 503])
    expect(step(state, { is: 'refused', of: 'NOTIFY', status: other })[0].at).toBe('active');
});

test('Expires: 0 waits for the last NOTIFY, but not for ever', () => {
  const [state] = subscribed(600);
  const [left, effects] = step(state, { is: 'granted', seconds: 0 });
  expect(effects).toEqual([{ do: 'start-timer', seconds: 32 }]);
  expect(step(left, { is: 'notified', terminated: true })[1].at(-1)).toEqual({ do: 'over', because: 'unsubscribed' });
  expect(step(left, { is: 'expired' })[1].at(-1)).toEqual({ do: 'over', because: 'unsubscribed' });
});
