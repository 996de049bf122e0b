import { expect, test } from 'vitest';
import { TimerWheel } from '../../../../lib/engine/timer-wheel.ts';
import { AnsweredRequests } from '../../../../lib/engine/transaction/answered-requests.ts';

test('[EDGE-TXN-10] an answer is kept for Timer J at least, and not for ever', () => {
  let time = 0;
  let due: (() => void) | undefined;
  const wheel = new TimerWheel({
    clock: {
      now: () => time,
      after: (_ms, fire) => {
        due = fire;
        return () => {
          due = undefined;
        };
      },
    },
  });
  const advance = (ms: number): void => {
    for (const end = time + ms; time < end; time += 10) {
      const fire = due;
      due = undefined;
      fire?.();
    }
  };
  const answered = new AnsweredRequests(wheel, 32_000);
  advance(5000);
  answered.set('key', 'answer');
  advance(32_000);
  expect(answered.get('key')).toBe('answer');
  advance(10_000);
  expect(answered.get('key')).toBeUndefined();
  advance(50_000);
  expect([answered.size, wheel.size]).toEqual([0, 0]);
});
