import { expect, test } from 'vitest';
import { Routes } from '../../../../lib/engine/control/routes.ts';

test('apps share a method round robin, and one that asks twice has two places', () => {
  const routes = new Routes<string>();
  for (const app of ['a', 'b', 'a']) routes.add('invite', app);
  expect([1, 2, 3, 4].map(() => routes.next('INVITE'))).toEqual(['a', 'b', 'a', 'a']);
  expect(routes.next('REGISTER')).toBeUndefined();
});

test('an app that leaves takes all its places with it', () => {
  const routes = new Routes<string>();
  for (const app of ['a', 'b', 'a', 'c']) routes.add('invite', app);
  routes.add('register', 'a');
  for (let times = 0; times < 3; times++) routes.next('INVITE');
  routes.removeAll('a');
  expect(new Set([1, 2].map(() => routes.next('INVITE')))).toEqual(new Set(['b', 'c']));
  expect(routes.has('REGISTER')).toBe(false);
});
