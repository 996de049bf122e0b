import { expect, it } from 'vitest';
import { WrongPairs } from '../../../../lib/adapters/apns/wrong-pairs.ts';

it('knows a pair for a day, and not its parts', () => {
  const pairs = new WrongPairs();
  pairs.add('aa', 'org.example', 0);
  expect(pairs.has('AA', 'org.example', 86_399_999)).toBe(true);
  expect(pairs.has('aa', 'org.example.voip', 1)).toBe(false);
  expect(pairs.has('ab', 'org.example', 1)).toBe(false);
  expect(pairs.has('aa', 'org.example', 86_400_000)).toBe(false);
});

it('forgets the oldest above ten thousand, and all when it is told to', () => {
  const pairs = new WrongPairs();
  for (let at = 0; at <= 10_000; at++) pairs.add(String(at), 't', at);
  expect([pairs.has('0', 't', 10_000), pairs.has('1', 't', 10_000)]).toEqual([false, true]);
  pairs.clear();
  expect(pairs.has('10000', 't', 10_000)).toBe(false);
});
