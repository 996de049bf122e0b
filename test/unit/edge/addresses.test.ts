import { describe, expect, test } from 'vitest';
import { edgeHost, nextHopOf } from '../../../apps/edge/addresses.ts';

const listener = (transport: 'udp' | 'tcp', address: string, advertise?: { host: string; port?: number }) => ({
  transport,
  address,
  port: 0,
  ...(advertise === undefined ? {} : { advertise }),
});

describe("the edge's own address for the PBX", () => {
  test('is that of the listener of its transport the PBX is spoken to from', () => {
    const told = ['udp/192.0.2.1:5060', 'udp/10.0.0.1:5062', 'tcp/10.0.0.1:5063', 'udp/[2001:db8::1]:5064'];
    const listen = [
      listener('udp', '192.0.2.1'),
      listener('udp', '10.0.0.1'),
      listener('tcp', '10.0.0.1'),
      listener('udp', '2001:db8::1'),
    ];
    expect(edgeHost(told, listen, 'udp', '10.0.0.1', undefined)).toBe('10.0.0.1:5062;transport=udp');
    expect(edgeHost(told, listen, 'udp', '192.0.2.1', undefined)).toBe('192.0.2.1:5060;transport=udp');
    expect(edgeHost(told, listen, 'tcp', '10.0.0.1', undefined)).toBe('10.0.0.1:5063;transport=tcp');
    expect(edgeHost(told, listen, 'udp', '2001:db8::1', undefined)).toBe('[2001:db8::1]:5064;transport=udp');
    expect(edgeHost(told, [], 'udp', '2001:db8::1', undefined)).toBe('[2001:db8::1]:5064;transport=udp');
  });

  test('on every address is the one towards the PBX, unless the operator knows better', () => {
    const told = ['udp/192.0.2.1:5060'];
    expect(edgeHost(told, [listener('udp', '0.0.0.0')], 'udp', '10.0.0.1', undefined)).toBe(
      '10.0.0.1:5060;transport=udp',
    );
    expect(edgeHost(told, [listener('udp', '0.0.0.0')], 'udp', undefined, undefined)).toBe(
      '192.0.2.1:5060;transport=udp',
    );
    expect(edgeHost(told, [listener('udp', '0.0.0.0')], 'udp', '10.0.0.1', 'edge.example')).toBe(
      'edge.example:5060;transport=udp',
    );
    const own = [listener('udp', '0.0.0.0', { host: 'pbx-side.example', port: 5070 })];
    expect(edgeHost(['udp/pbx-side.example:5070'], own, 'udp', '10.0.0.1', 'edge.example')).toBe(
      'pbx-side.example:5070;transport=udp',
    );
    expect(edgeHost(['udp/0.0.0.0:5060'], [], 'udp', '10.0.0.1', undefined)).toBe('10.0.0.1:5060;transport=udp');
  });
});

test('the next hop is the upstream as far as the config names it', () => {
  expect(nextHopOf({ uri: '', host: 'pbx.example' })).toBe('sip:pbx.example');
  expect(nextHopOf({ uri: '', host: '2001:db8::5', port: 5070, transport: 'tcp' })).toBe(
    'sip:[2001:db8::5]:5070;transport=tcp',
  );
});
