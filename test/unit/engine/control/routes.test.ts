import { expect, test } from 'vitest';
import { Routes } from '../../../../lib/engine/control/routes.ts';

class App {
  keepsUp = true;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}
const a = new App('a');
const b = new App('b');
const c = new App('c');

test('apps share a method round robin, and one that asks twice has two places', () => {
  const routes = new Routes<App>();
  for (const app of [a, b, a]) routes.add('invite', app);
  expect([1, 2, 3, 4].map(() => routes.next('INVITE')?.name)).toEqual(['a', 'b', 'a', 'a']);
  expect(routes.next('REGISTER')).toBeUndefined();
});

test('an app that leaves takes all its places with it', () => {
  const routes = new Routes<App>();
  for (const app of [a, b, a, c]) routes.add('invite', app);
  routes.add('register', a);
  for (let times = 0; times < 3; times++) routes.next('INVITE');
  routes.removeAll(a);
  expect(new Set([1, 2].map(() => routes.next('INVITE')))).toEqual(new Set([b, c]));
  expect(routes.has('REGISTER')).toBe(false);
});

test('an app that does not keep up is passed over until it does', () => {
  const routes = new Routes<App>();
  const slow = new App('slow');
  for (const app of [slow, b]) routes.add('invite', app);
  slow.keepsUp = false;
  expect([1, 2, 3].map(() => routes.next('INVITE')?.name)).toEqual(['b', 'b', 'b']);
  routes.removeAll(b);
  expect([routes.next('INVITE'), routes.has('INVITE')]).toEqual([undefined, true]);
  slow.keepsUp = true;
  expect(routes.next('INVITE')).toBe(slow);
});

test('nobody has more places than it can need', () => {
  const routes = new Routes<App>();
  const added = Array.from({ length: 1100 }, () => routes.add('invite', a));
  expect(added.filter(Boolean)).toHaveLength(1024);
  routes.removeAll(a);
  expect(routes.add('invite', a)).toBe(true);
});

test('`*` is a place of its own: no method takes it by itself', () => {
  const routes = new Routes<App>();
  routes.add('*', a);
  expect([routes.next('*')?.name, routes.next('FOO'), routes.has('FOO')]).toEqual(['a', undefined, false]);
});
