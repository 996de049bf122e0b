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
  const answered = new AnsweredRequests(wheel, 32_000, 1000);
  advance(5000);
  answered.set('key', 'answer');
  advance(32_000);
  expect(answered.get('key')).toBe('answer');
  advance(10_000);
  expect(answered.get('key')).toBeUndefined();
  advance(50_000);
  expect([answered.size, wheel.size]).toEqual([0, 0]);
});

test('a flood cannot make it keep more than it may: the oldest answers go first', () => {
  let due: (() => void) | undefined;
  let time = 0;
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
  const answered = new AnsweredRequests(wheel, 32_000, 1000);
  answered.set('old', 'x'.repeat(500));
  for (; time < 9000; time += 10) due?.();
  answered.set('new', 'x'.repeat(400));
  expect([answered.get('old'), answered.get('new')]).not.toContain(undefined);
  answered.set('last', 'x'.repeat(400));
  expect([answered.get('old')?.length, answered.get('new')?.length, answered.get('last')?.length]).toEqual([
    undefined,
    400,
    400,
  ]);
  for (let at = 0; at < 1000; at++) answered.set(`flood ${at}`, 'x'.repeat(90));
  expect(answered.size).toBeLessThanOrEqual(10);
});
