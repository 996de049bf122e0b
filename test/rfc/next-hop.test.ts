/** RFC 3263: the next hop is a name. Engine, app, servers and DNS server on real sockets. */
import { describe, expect, test } from 'vitest';
import type { Engine } from '../../lib/engine/engine.ts';
import type { EngineOptions } from '../../lib/engine/options.ts';
import { DnsServer } from '../support/dns-server.ts';
import type { RawApp } from '../support/raw-app.ts';
import type { SipPeer } from '../support/sip-peer.ts';
import { headerOf } from '../support/text-peer.ts';
import { anApp, anEngine, answerTo, aSipPeer, atEnd, cleanUp, send, tcp, text, udp } from './engine-world.ts';

cleanUp();

/** 64 * T1 of 1.3 s, so that a silent server costs a test little. */
const timers = { t1Ms: 20, t2Ms: 80, t4Ms: 100 };

async function aWorld(
  options: Partial<EngineOptions> = {},
): Promise<{ dns: DnsServer; engine: Engine; app: RawApp; servers: [SipPeer, SipPeer] }> {
  const dns = await DnsServer.open();
  atEnd(() => dns.stop());
  const engine = await anEngine([udp(), tcp(), udp('::1')], {
    dns: { servers: [dns.at], timeoutMs: 500 },
    timers,
    ...options,
  });
  const app = await anApp(engine);
  return { dns, engine, app, servers: [await aSipPeer('udp', '127.0.0.1'), await aSipPeer('udp', '127.0.0.2')] };
}

/** Both servers by SRV, the first one preferred. */
function both(dns: DnsServer, [first, second]: readonly [SipPeer, SipPeer]): void {
  dns.srv('_sip._udp.pbx.test', 'a.pbx.test', first.port, 10);
  dns.srv('_sip._udp.pbx.test', 'b.pbx.test', second.port, 20);
  dns.address('a.pbx.test', first.address);
  dns.address('b.pbx.test', second.address);
}

function answering(server: SipPeer, method: string, status: number): void {
  server.on(method, (request, from) => void server.send(server.answer(request, status), from));
}

describe('RFC 3263 4.1, 4.2: where a name leads', () => {
  test('NAPTR to TCP, although there is UDP', async () => {
    const { dns, app } = await aWorld();
    const server = await aSipPeer('tcp');
    dns.naptr('pbx.test', 'SIP+D2T', '_sip._tcp.pbx.test');
    dns.srv('_sip._tcp.pbx.test', 'a.pbx.test', server.port);
    dns.address('a.pbx.test', server.address);
    answering(server, 'OPTIONS', 200);
    const { txn } = await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:x@elsewhere.test'));
    await answerTo(app, txn, 200);
    expect(headerOf(server.received[0]!.text, 'Via')).toMatch(/^SIP\/2\.0\/TCP /);
  });

  test('the request-URI is followed when no next hop is named, and IPv6 is as good', async () => {
    const { dns, app } = await aWorld();
    const server = await aSipPeer('udp', '::1');
    dns.address('six.test', '::1');
    answering(server, 'OPTIONS', 200);
    const { txn } = await send(app, '', text('OPTIONS', `sip:x@six.test:${server.port}`));
    await answerTo(app, txn, 200);
    expect(headerOf(server.received[0]!.text, 'Via')).toMatch(/^SIP\/2\.0\/UDP \[::1\]:\d+;rport/);
  });

  test('localhost needs no DNS', async () => {
    const { dns, app, servers } = await aWorld();
    answering(servers[0], 'OPTIONS', 200);
    const { txn } = await send(app, `sip:localhost:${servers[0].port}`, text('OPTIONS', 'sip:x@y'));
    await answerTo(app, txn, 200);
    expect(dns.questions).toEqual([]);
  });

  test('[EDGE-WS-05] a name in .invalid is a 503 without a question', async () => {
    const { dns, app } = await aWorld();
    const { txn } = await send(app, '', text('INVITE', 'sip:x@df7jal23ls0d.invalid;transport=tcp'));
    expect((await answerTo(app, txn, 503)).split('|')[4]).toBe('unknown');
    expect(dns.questions).toEqual([]);
  });

  test('a name that is not there, and a DNS server that is not, are a 503 soon', async () => {
    const { dns, engine, app } = await aWorld();
    const none = await send(app, 'sip:nobody.test', text('OPTIONS', 'sip:x@y'));
    expect(await answerTo(app, none.txn, 503)).toContain('SIP/2.0 503 DNS Error');
    expect(engine.counters().dnsFailures).toBe(0);
    dns.mode = 'silent';
    const began = performance.now();
    const silent = await send(app, 'sip:somebody.test', text('OPTIONS', 'sip:x@y'));
    await answerTo(app, silent.txn, 503);
    expect(performance.now() - began).toBeLessThan(4000);
    expect(engine.counters().dnsFailures).toBeGreaterThan(0);
    const again = performance.now();
    await answerTo(app, (await send(app, 'sip:somebody.test', text('OPTIONS', 'sip:x@y'))).txn, 503);
    expect(performance.now() - again).toBeLessThan(400);
  });
});

describe('RFC 3263 4.3: the next server', () => {
  test('is tried after a 503, with a new branch and the same rest; the app hears the last answer only', async () => {
    const { dns, engine, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[0], 'INVITE', 503);
    answering(servers[1], 'INVITE', 486);
    const { txn } = await send(app, 'sip:pbx.test', text('INVITE', 'sip:bob@pbx.test'));
    await answerTo(app, txn, 486);
    const [first, second] = [servers[0].received[0]!.text, servers[1].received[0]!.text];
    expect(headerOf(first, 'Via')).not.toBe(headerOf(second, 'Via'));
    for (const name of ['From', 'To', 'Call-ID', 'CSeq', 'Contact'])
      expect(headerOf(second, name), name).toBe(headerOf(first, name));
    await servers[0].request('ACK');
    await servers[1].request('ACK');
    expect(app.frames.filter((frame) => frame.includes('SIP/2.0 503'))).toEqual([]);
    expect(engine.counters()).toMatchObject({ failovers: 1, faults: 0 });
  });

  test('is tried after silence; a moment later it is the first', async () => {
    const { dns, engine, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[1], 'OPTIONS', 200);
    for (const silent of [1, 0]) {
      const before = servers[0].received.length;
      const { txn } = await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:pbx.test'));
      await answerTo(app, txn, 200);
      expect(servers[0].received.length - before).toBe(silent);
    }
    expect(engine.counters().failovers).toBe(1);
  });

  test('is tried after a refused connection', async () => {
    const { dns, app } = await aWorld();
    const [gone, here] = [await aSipPeer('tcp', '127.0.0.1'), await aSipPeer('tcp', '127.0.0.2')];
    await gone.close();
    dns.srv('_sip._tcp.pbx.test', 'a.pbx.test', gone.port, 1);
    dns.srv('_sip._tcp.pbx.test', 'b.pbx.test', here.port, 2);
    dns.address('a.pbx.test', gone.address);
    dns.address('b.pbx.test', here.address);
    answering(here, 'OPTIONS', 200);
    const { txn } = await send(app, 'sip:pbx.test;transport=tcp', text('OPTIONS', 'sip:x@y'));
    expect((await answerTo(app, txn, 200)).split('|')[5]).toBe(here.address);
  });

  test('is not tried after any other answer, nor once somebody rang, nor after a CANCEL', async () => {
    const { dns, engine, app, servers } = await aWorld();
    both(dns, servers);
    const [first, second] = servers;
    answering(first, 'OPTIONS', 404);
    await answerTo(app, (await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:x@y'))).txn, 404);

    const ringing = await send(app, 'sip:pbx.test', text('INVITE', 'sip:bob@pbx.test'));
    const invite = await first.request('INVITE');
    await first.send(first.answer(invite, 180), invite.source);
    await answerTo(app, ringing.txn, 180);
    await first.send(first.answer(invite, 503), invite.source);
    await answerTo(app, ringing.txn, 503);

    const cancelled = await send(app, 'sip:pbx.test', text('INVITE', 'sip:bob@pbx.test'));
    await first.request('INVITE');
    await app.ask(`sip|${cancelled.txn}|\r\nCANCEL sip:bob@pbx.test SIP/2.0\r\n\r\n`);
    await answerTo(app, cancelled.txn, 408);
    expect(second.received).toEqual([]);
    expect(engine.counters().failovers).toBe(0);
  });

  test('can be cancelled while it rings', async () => {
    const { dns, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[0], 'INVITE', 503);
    const { txn } = await send(app, 'sip:pbx.test', text('INVITE', 'sip:bob@pbx.test'));
    const invite = await servers[1].request('INVITE');
    await servers[1].send(servers[1].answer(invite, 180), invite.source);
    await answerTo(app, txn, 180);
    await app.ask(`sip|${txn}|\r\nCANCEL sip:bob@pbx.test SIP/2.0\r\n\r\n`);
    const cancel = await servers[1].request('CANCEL');
    expect(cancel.headers.get('via')).toBe(invite.headers.get('via'));
    await servers[1].send(servers[1].answer(cancel, 200), cancel.source);
    await servers[1].send(servers[1].answer(invite, 487), invite.source);
    await answerTo(app, txn, 487);
  });

  test('the last answer is told when all fail', async () => {
    const { dns, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[0], 'OPTIONS', 503);
    answering(servers[1], 'OPTIONS', 503);
    const { txn } = await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:x@y'));
    expect((await answerTo(app, txn, 503)).split('|')[5]).toBe('127.0.0.2');
  });

  test('a call that went to the second server stays there', async () => {
    const { dns, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[0], 'INVITE', 503);
    const { txn } = await send(app, 'sip:pbx.test', text('INVITE', 'sip:bob@pbx.test'));
    const invite = await servers[1].request('INVITE');
    await servers[1].send(servers[1].answer(invite, 200, { contact: '<sip:bob@pbx.test>' }), invite.source);
    const dialog = (await answerTo(app, txn, 200)).split('|')[9] ?? '';
    await app.ask(`sip||${dialog}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    await servers[1].request('ACK');
    await app.ask(`sip||${dialog}\r\nBYE sip:x SIP/2.0\r\n\r\n`);
    await servers[1].request('BYE');
    expect(servers[0].received.filter((one) => one.text.startsWith('BYE'))).toEqual([]);
  });
});

describe('an outage of DNS', () => {
  test('leaves the servers that are known', async () => {
    const { dns, app, servers } = await aWorld();
    both(dns, servers);
    answering(servers[0], 'OPTIONS', 200);
    await answerTo(app, (await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:x@y'))).txn, 200);
    dns.mode = 'silent';
    const { txn } = await send(app, 'sip:pbx.test', text('OPTIONS', 'sip:x@y'));
    expect((await answerTo(app, txn, 200)).split('|')[5]).toBe(servers[0].address);
  });
});

describe('RFC 3261 8.1.2, 12.2.1.1: a route set of the app, which only the embedded engine takes', () => {
  const routed = (route: string): string =>
    text('OPTIONS', 'sip:bert@192.0.2.7', 0, `Route: ${route}\r\nRoute: <sip:two.test;lr>\r\n`);

  test('a loose router gets the target in the request line and the whole set as Route', async () => {
    const { app, servers } = await aWorld();
    const [server] = servers;
    answering(server, 'OPTIONS', 200);
    const hop = `sip:127.0.0.1:${server.port};transport=udp`;
    const { txn } = await send(app, `${hop}|routed`, routed(`<${hop};lr>`));
    await answerTo(app, txn, 200);
    const got = server.received[0]!.text;
    expect(got).toMatch(/^OPTIONS sip:bert@192\.0\.2\.7 /);
    expect(got.match(/^Route: .*$/gm)?.map((line) => line.trim())).toEqual([
      `Route: <${hop};lr>`,
      'Route: <sip:two.test;lr>',
    ]);
    expect(headerOf(got, 'To')).toContain('sip:bert@192.0.2.7');
  });

  test('a strict router gets its own URI in the request line and the target last', async () => {
    const { app, servers } = await aWorld();
    const [server] = servers;
    answering(server, 'OPTIONS', 200);
    const hop = `sip:127.0.0.1:${server.port};transport=udp`;
    const { txn } = await send(app, `${hop}|routed`, routed(`<${hop}>`));
    await answerTo(app, txn, 200);
    const got = server.received[0]!.text;
    expect(got.startsWith(`OPTIONS ${hop} SIP/2.0`)).toBe(true);
    expect(got.match(/^Route: .*$/gm)?.map((line) => line.trim())).toEqual([
      'Route: <sip:two.test;lr>',
      'Route: <sip:bert@192.0.2.7>',
    ]);
    expect(headerOf(got, 'To')).toContain('sip:bert@192.0.2.7');
  });

  test('without that word Route of an app is dropped, as a drachtio-server drops it', async () => {
    const { app, servers } = await aWorld();
    const [server] = servers;
    answering(server, 'OPTIONS', 200);
    const hop = `sip:127.0.0.1:${server.port};transport=udp`;
    const { txn } = await send(app, hop, routed(`<${hop};lr>`));
    await answerTo(app, txn, 200);
    expect(server.received[0]!.text).not.toMatch(/^Route:/m);
  });
});
