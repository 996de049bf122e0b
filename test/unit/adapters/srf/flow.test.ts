import { expect, test } from 'vitest';
import { readFlow, readListeners, readReceivedOn } from '../../../../lib/adapters/srf/flow.ts';
import { Headers } from '../../../../lib/sip/headers.ts';

const listeners = readListeners([
  'wss/127.0.0.10:5443',
  'ws/127.0.0.10:5080',
  'tls/127.0.0.10:5061',
  'tcp/127.0.0.10:5060',
  'udp/127.0.0.10:5060',
  'ws/127.0.0.10:6000',
  'tcp/127.0.0.10:6000',
  'nonsense',
]);

function flow(proto: string, on: string, via: string, address = '192.0.2.9') {
  const tokens = ['id', 'sip', 'network', '1', proto, address, '4711', 't', 'txn', '', ...on.split('|')];
  return readFlow(tokens, Headers.of([['Via', via]]), listeners, 'e');
}

test('the flow is the source of the request', () => {
  expect(flow('udp', '127.0.0.10|5060', 'SIP/2.0/UDP 10.0.0.1:5060')).toEqual({
    transport: 'udp',
    address: '192.0.2.9',
    port: 4711,
    engine: 'e',
  });
  expect(flow('tls', '127.0.0.10|5061', 'SIP/2.0/TCP x').transport).toBe('tls');
  expect(flow('tcp', '127.0.0.10|5060', 'SIP/2.0/TCP x', '[2001:db8::1]').address).toBe('2001:db8::1');
});

test('WS and WSS, which the engine calls tcp, are told by the listener', () => {
  expect(flow('tcp', '127.0.0.10|5443', 'SIP/2.0/WSS x.invalid').transport).toBe('wss');
  expect(flow('tcp', '127.0.0.10|5080', 'SIP/2.0/WS x.invalid').transport).toBe('ws');
  // a phone that lies about its transport would make its calls fail
  expect(flow('tcp', '127.0.0.10|5060', 'SIP/2.0/WSS x.invalid').transport).toBe('tcp');
});

test('where one port speaks both, and inside dialogs, the Via tells', () => {
  expect(flow('tcp', '127.0.0.10|6000', 'SIP/2.0/WS x.invalid').transport).toBe('ws');
  expect(flow('tcp', '127.0.0.10|6000', 'SIP/2.0/TCP x').transport).toBe('tcp');
  expect(flow('tcp', '', 'SIP / 2.0 / WSS x.invalid').transport).toBe('wss');
  expect(flow('', '', 'SIP/2.0/TCP x').transport).toBe('tcp');
  expect(flow('', '', 'rubbish').transport).toBe('udp');
});

test('inside a dialog the listener is unknown', () => {
  expect(readReceivedOn(['id', 'sip', 'network', '1', 'udp', 'a', '1', 't', 'txn', 'dialog', ''])).toBeUndefined();
  expect(readReceivedOn(['id', 'sip', 'network', '1', 'udp', 'a', '1', 't', 'txn', '', '127.0.0.10', '5060', ''])).toBe(
    '127.0.0.10:5060',
  );
});
