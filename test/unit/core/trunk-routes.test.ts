import fc from 'fast-check';
import { expect, test } from 'vitest';
import { routeNumber, type TrunkRoute } from '../../../lib/core/trunk-routes.ts';

const route = (prefix: string, over: Partial<TrunkRoute> = {}): TrunkRoute => ({ prefix, strip: 0, add: '', ...over });
const routes = [
  route('+49', { strip: 3, add: '0' }),
  route('+4930', { strip: 5, toDomain: 'berlin.example' }),
  route('', { domain: 'all.example' }),
];
const called = (user: string, host = '10.0.0.4') => routeNumber(routes, { user, host }, 'home.example');

test('the longest prefix wins, a route for the host before one for all', () => {
  expect(called('+4989123')).toBe('089123@home.example');
  expect(called('+4930123')).toBe('123@berlin.example');
  expect(called('+4930123', 'ALL.example')).toBe('+4930123@home.example');
  expect(called('4711')).toBeUndefined();
  expect(called('+4930'), 'nothing left to call').toBeUndefined();
  expect(routeNumber([route('')], { user: 'a', host: 'B.example' }, '*')).toBe('a@b.example');
});

test('what a route gives is the number with its front exchanged', () => {
  const digits = fc.stringMatching(/^[0-9]{1,12}$/);
  fc.assert(
    fc.property(digits, fc.nat(6), digits, (user, strip, add) => {
      const aor = routeNumber([route('', { strip, add })], { user, host: 'x' }, 'home.example');
      expect(aor).toBe(`${add}${user.slice(strip)}@home.example`);
    }),
  );
});
