/** RFC 3261 18.1.1: which of several listeners a request leaves from, and what the peer is told. */
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { needsNetwork, titled } from '../support/needs.ts';
import { headerOf } from '../support/text-peer.ts';
import { anApp, anEngine, answerTo, aSipPeer, aUdpPeer, cleanUp, send, tcp, text, udp } from './engine-world.ts';

cleanUp();

const outside = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

describe('the listener of a request', () => {
  test('has the transport and family of its target, and the address the kernel would send from', async () => {
    const engine = await anEngine([udp('127.0.0.3'), udp('127.0.0.1'), udp('::1'), tcp('127.0.0.1'), tcp('::1')]);
    const app = await anApp(engine);
    for (const [transport, address, at] of [
      ['udp', '127.0.0.9', 1],
      ['udp', '::1', 2],
      ['tcp', '127.0.0.9', 3],
      ['tcp', '::1', 4],
    ] as const) {
      const peer = await aSipPeer(transport, address);
      await send(app, peer.nextHop, text('OPTIONS', 'sip:x@y'));
      const { source, headers } = await peer.request('OPTIONS');
      const listener = engine.listeners[at]!;
      const host = listener.address.includes(':') ? `[${listener.address}]` : listener.address;
      expect(headers.get('via')).toContain(`/${transport.toUpperCase()} ${host}:${listener.port};`);
      expect(source.address).toBe(listener.address);
      if (transport === 'udp') expect(source.port).toBe(listener.port);
    }
  });

  test('of another family or transport is never taken', async () => {
    const engine = await anEngine([udp('::1')]);
    const app = await anApp(engine);
    for (const hop of ['sip:127.0.0.1:5060', 'sip:[::1]:5060;transport=tcp'])
      expect(await app.ask(`sip|||${hop}\r\n${text('OPTIONS', 'sip:x@y')}`)).toContain(
        '|NOK|requested protocol/transport not available',
      );
  });

  test('on every address tells each peer the one it is reached from', async () => {
    const engine = await anEngine([udp('0.0.0.0'), udp('::')]);
    const app = await anApp(engine);
    for (const [address, told] of [
      ['127.0.0.1', '127.0.0.1'],
      ['::1', '[::1]'],
    ] as const) {
      const peer = await aSipPeer('udp', address);
      const { txn } = await send(app, peer.nextHop, text('INVITE', 'sip:x@y'));
      const invite = await peer.request('INVITE');
      expect(invite.headers.get('via')).toContain(`/UDP ${told}:`);
      expect(invite.headers.get('contact')).toContain(`<sip:${told}:`);
      await peer.send(peer.answer(invite, 486), invite.source);
      await answerTo(app, txn, 486);
    }
  });

  test.skipIf(outside === undefined)(
    titled('is not the one on loopback for a target beyond it', needsNetwork()),
    async () => {
      if (outside === undefined) return;
      const engine = await anEngine([udp('127.0.0.1'), udp(outside)]);
      const app = await anApp(engine);
      const peer = await aUdpPeer(outside);
      await send(app, `sip:${outside}:${peer.port}`, text('OPTIONS', 'sip:x@y'));
      await peer.next('OPTIONS');
      expect(peer.from).toBe(`${outside}:${engine.listeners[1]!.port}`);
    },
  );
});

describe('an advertised address', () => {
  test('stands in Via, Contact and what apps are told, for its listener only; the other has the one for all', async () => {
    const engine = await anEngine(
      [
        { ...udp(), advertise: { host: 'edge.example', port: 5062 } },
        { ...udp('::1'), advertise: { host: '2001:db8::1' } },
        tcp(),
      ],
      { externalAddress: '203.0.113.9' },
    );
    const app = await anApp(engine);
    const [, six, stream] = engine.listeners;
    for (const [transport, address, told] of [
      ['udp', '127.0.0.1', 'edge.example:5062'],
      ['udp', '::1', `[2001:db8::1]:${six!.port}`],
      ['tcp', '127.0.0.1', `203.0.113.9:${stream!.port}`],
    ] as const) {
      const peer = await aSipPeer(transport, address);
      await send(app, peer.nextHop, text('SUBSCRIBE', 'sip:x@y'));
      const { headers } = await peer.request('SUBSCRIBE');
      expect(headers.get('via')).toContain(` ${told};`);
      expect(headers.get('contact')).toContain(`<sip:${told}`);
    }
    const again = await app.ask('authenticate|secret|');
    expect(again).toContain(`udp/edge.example:5062,udp/[2001:db8::1]:${six!.port},tcp/203.0.113.9:${stream!.port}`);
  });
});

test('a server that closes its connection is connected to again', async () => {
  const engine = await anEngine([tcp()]);
  const app = await anApp(engine);
  const server = await aSipPeer('tcp');
  server.on('OPTIONS', (request, from) => void server.send(server.answer(request, 200), from));
  for (const _ of [1, 2]) {
    const { txn } = await send(app, server.nextHop, text('OPTIONS', 'sip:x@y'));
    await answerTo(app, txn, 200);
    await server.hangUp({ address: '127.0.0.1', port: server.received.at(-1)!.from.port });
    while (engine.counters().connections > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(headerOf(server.received[1]!.text, 'Via')).toContain('/TCP ');
});
