import { expect, test } from 'vitest';
import { bindingOf, RegistrationCache } from '../../../lib/engine/registration-cache.ts';
import type { Flow } from '../../../lib/engine/transport/flow.ts';

function aFlow(reliable: boolean): Flow {
  return {
    listener: {
      transport: reliable ? 'tcp' : 'udp',
      reliable,
      address: '127.0.0.1',
      port: 5060,
      host: '127.0.0.1',
      toldPort: 5060,
      hostTowards: () => '127.0.0.1',
    },
    remoteAddress: '192.0.2.1',
    remotePort: 40_000,
    open: true,
    send: () => true,
    end: () => {},
    watch: () => {},
    unwatch: () => {},
  };
}

test('a binding is user and host, whatever port and parameters', () => {
  expect(bindingOf('sip:bob@10.9.8.7:5060;transport=tcp')).toBe('bob@10.9.8.7');
  expect(bindingOf('sip:bob@EDGE.test')).toBe('bob@edge.test');
  expect(bindingOf('sip:edge.test')).toBe('');
  expect(bindingOf('tel:+1')).toBe('');
});

test('the last registration wins until it runs out', () => {
  let now = 0;
  const cache = new RegistrationCache(true, () => now);
  const [one, two] = [aFlow(true), aFlow(true)];
  cache.remember('bob@10.9.8.7', one, 60);
  cache.remember('bob@10.9.8.7', two, 60);
  expect(cache.find('sip:bob@10.9.8.7:1234')).toBe(two);
  now = 60_001;
  expect(cache.find('sip:bob@10.9.8.7')).toBeUndefined();
  expect(cache.size).toBe(0);
});

test('an expiry of 0 forgets, UDP is never remembered, and it can be turned off', () => {
  const cache = new RegistrationCache(true);
  cache.remember('bob@a', aFlow(true), 60);
  cache.remember('bob@a', aFlow(true), 0);
  cache.remember('eve@a', aFlow(false), 60);
  const off = new RegistrationCache(false);
  off.remember('bob@a', aFlow(true), 60);
  expect([cache.size, off.size]).toEqual([0, 0]);
});
