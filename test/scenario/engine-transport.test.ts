/** The engine's ports as peers and apps see them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import * as spawn from '../../lib/engine/spawn.ts';
import { frame } from '../../lib/engine/control/frames.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { EngineOptions, ListenAt } from '../../lib/engine/options.ts';
import { RawApp } from '../support/raw-app.ts';
import { aRequest, headerOf, TcpPeer, UdpPeer } from '../support/text-peer.ts';

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function anEngine(listen: readonly ListenAt[], options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({ listen, control: { port: 0, secret: 'secret' }, ...options });
  ends.push(() => engine.close());
  return engine;
}

async function anApp(engine: Engine, ...methods: string[]): Promise<RawApp> {
  const app = await RawApp.ready(engine.controlPort, 'secret', ...methods);
  ends.push(() => app.close());
  return app;
}

async function aUdpPeer(address = '127.0.0.1'): Promise<UdpPeer> {
  const peer = await UdpPeer.open(address);
  ends.push(() => peer.stop());
  return peer;
}

async function aTcpPeer(engine: Engine, at = 0): Promise<TcpPeer> {
  const peer = await TcpPeer.open(engine.listeners[at]!);
  ends.push(() => peer.stop());
  return peer;
}

const onUdp: ListenAt = { transport: 'udp', address: '127.0.0.1', port: 0 };
const onTcp: ListenAt = { transport: 'tcp', address: '127.0.0.1', port: 0 };

describe('SIP ports', () => {
  test.each(['in this thread', 'in a thread of its own'])(
    'a caller who waits for an app hears 503 when an engine %s ends',
    async (where) => {
      const own = where !== 'in this thread';
      const engine = await (own ? spawn.spawnEngine : spawn.engineInThread)({
        listen: [onUdp],
        control: { secret: 'secret', port: 0 },
      });
      const app = await RawApp.ready(engine.controlPort, 'secret', 'invite');
      ends.push(() => app.close());
      const udp = await aUdpPeer();
      await udp.send(aRequest('INVITE'), engine.listeners[0]!);
      await udp.next('SIP/2.0 100');
      await app.next((payload) => payload.includes('|sip|'));
      const closed = engine.close();
      expect(await udp.next('SIP/2.0 503')).toContain('INVITE');
      await closed;
    },
  );

  test('[EDGE-TRN-01] [EDGE-RPT-02] answer on the transport and from the address a request came to', async () => {
    const engine = await anEngine([onUdp, onTcp, { ...onUdp, address: '127.0.0.2' }]);
    void (await anApp(engine, 'options')).answerAll();
    const udp = await aUdpPeer();
    for (const at of [0, 2]) {
      await udp.send(aRequest('OPTIONS'), engine.listeners[at]!);
      await udp.next('SIP/2.0 200');
      expect(udp.from).toBe(`${engine.listeners[at]!.address}:${engine.listeners[at]!.port}`);
    }
    const tcp = await aTcpPeer(engine, 1);
    tcp.send(aRequest('OPTIONS', { transport: 'TCP' }));
    expect(headerOf(await tcp.next('SIP/2.0 200'), 'Via')).toContain(`rport=${tcp.port};received=127.0.0.1`);
  });

  test('a listener on every IPv6 address answers IPv4 peers as well', async () => {
    const engine = await anEngine([
      { transport: 'udp', address: '::', port: 0 },
      { transport: 'tcp', address: '::', port: 0 },
    ]);
    void (await anApp(engine, 'options')).answerAll();
    const udp = await aUdpPeer('127.0.80.3');
    await udp.send(aRequest('OPTIONS'), { address: '127.0.0.1', port: engine.listeners[0]!.port });
    expect(headerOf(await udp.next('SIP/2.0 200'), 'Via')).toContain(`rport=${udp.port};received=127.0.80.3`);
    const tcp = await TcpPeer.open({ address: '127.0.0.1', port: engine.listeners[1]!.port });
    ends.push(() => tcp.stop());
    tcp.send(aRequest('OPTIONS', { transport: 'TCP' }));
    await tcp.next('SIP/2.0 200');
  });

  test('[EDGE-TRN-03] takes a datagram of 20 kB', async () => {
    const engine = await anEngine([onUdp]);
    const app = await anApp(engine, 'message');
    const peer = await aUdpPeer();
    const body = 'x'.repeat(20_000);
    await peer.send(aRequest('MESSAGE', { body }), engine.listeners[0]!);
    const frame = await app.next((payload) => payload.includes('MESSAGE'));
    expect(frame.endsWith(body)).toBe(true);
  });

  test('[EDGE-TRN-05] two connections with the same sent-by get their own answers', async () => {
    const engine = await anEngine([onTcp]);
    const app = await anApp(engine, 'options');
    const [one, two] = [await aTcpPeer(engine), await aTcpPeer(engine)];
    one.send(aRequest('OPTIONS', { transport: 'TCP', callId: 'one' }));
    two.send(aRequest('OPTIONS', { transport: 'TCP', callId: 'two' }));
    void app.answerAll();
    expect(headerOf(await one.next('SIP/2.0 200'), 'Call-ID')).toBe('one');
    expect(headerOf(await two.next('SIP/2.0 200'), 'Call-ID')).toBe('two');
  });

  test('[EDGE-OUT-05] answers CRLFCRLF on a connection and STUN on UDP', async () => {
    const engine = await anEngine([onUdp, onTcp]);
    const tcp = await aTcpPeer(engine, 1);
    tcp.send('\r\n\r\n');
    expect(await tcp.next('\r\n')).toBe('\r\n');
    const udp = await aUdpPeer();
    const binding = Buffer.from('000100002112a442000102030405060708090a0b', 'hex');
    await udp.send(binding, engine.listeners[0]!);
    const answer = Buffer.from(await udp.next('\u0001\u0001'), 'latin1');
    expect(answer.subarray(4, 20)).toEqual(binding.subarray(4, 20));
    expect(answer.readUInt16BE(26) ^ 0x2112).toBe(udp.port);
    expect([0, 1, 2, 3].map((at) => (answer[28 + at] as number) ^ (binding[4 + at] as number))).toEqual([127, 0, 0, 1]);
  });

  test('IPv6 is spoken like IPv4', async () => {
    const engine = await anEngine([
      { ...onUdp, address: '::1' },
      { ...onTcp, address: '::1' },
    ]);
    const app = await anApp(engine, 'options');
    const peer = await aUdpPeer('::1');
    await peer.send(aRequest('OPTIONS', { sentBy: `[::1]:${peer.port}` }), engine.listeners[0]!);
    expect((await app.next((payload) => payload.includes('OPTIONS'))).split('|').slice(4, 7)).toEqual([
      'udp',
      '::1',
      String(peer.port),
    ]);
    app.send(`sip|||sip:[::1]:${peer.port};transport=udp\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`);
    const request = await peer.next('OPTIONS');
    expect(headerOf(request, 'Via')).toMatch(/^SIP\/2\.0\/UDP \[::1\]:\d+;rport;branch=/);
    expect(headerOf(request, 'From')).toMatch(/^<sip:\[::1\]:\d+>;tag=/);
  });

  test('with several UDP listeners a device is called over the one it spoke to', async () => {
    const engine = await anEngine([onUdp, { ...onUdp, address: '127.0.0.2' }]);
    const app = await anApp(engine, 'options');
    const peer = await aUdpPeer();
    await peer.send(aRequest('OPTIONS'), engine.listeners[1]!);
    await app.next((payload) => payload.includes('OPTIONS'));
    app.send(`sip|||sip:127.0.0.1:${peer.port};transport=udp\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`);
    await peer.next('OPTIONS');
    expect(peer.from).toBe(`127.0.0.2:${engine.listeners[1]!.port}`);
  });

  test('an external address stands in Via and Contact', async () => {
    const engine = await anEngine([onUdp], { externalAddress: '203.0.113.9' });
    const app = await anApp(engine);
    const peer = await aUdpPeer();
    app.send(`sip||\r\nINVITE sip:x@127.0.0.1:${peer.port} SIP/2.0\r\n\r\n`);
    const invite = await peer.next('INVITE');
    const { port } = engine.listeners[0]!;
    expect(headerOf(invite, 'Via')).toMatch(`SIP/2.0/UDP 203.0.113.9:${port};rport`);
    expect(headerOf(invite, 'Contact')).toBe(`<sip:203.0.113.9:${port}>`);
  });

  test('a refused connection is a 503 of the engine at once', async () => {
    const engine = await anEngine([onTcp]);
    const app = await anApp(engine);
    const gone = await anEngine([onTcp]);
    const { port } = gone.listeners[0]!;
    await gone.close();
    app.send(`sip|||sip:127.0.0.1:${port};transport=tcp\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`);
    const answer = await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    expect(answer.split('|').slice(3, 7)).toEqual(['0', 'tcp', '', '0']);
  });

  test('a port that is taken is named', async () => {
    const engine = await anEngine([onUdp, onTcp]);
    const [udp, tcp] = engine.listeners as [ListenAt, ListenAt];
    await expect(anEngine([udp])).rejects.toThrow(
      `cannot listen on udp 127.0.0.1:${udp.port}: the port is taken by another process`,
    );
    await expect(anEngine([onUdp, tcp])).rejects.toThrow(`cannot listen on tcp 127.0.0.1:${tcp.port}`);
    await expect(anEngine([{ ...onUdp, address: '192.0.2.1' }])).rejects.toThrow('this host has no such address');
    await expect(anEngine([], { control: { port: engine.controlPort, secret: 'x' } })).rejects.toThrow(
      `cannot listen on control 127.0.0.1:${engine.controlPort}`,
    );
  });
});

describe('control port', () => {
  test('no command is taken before the secret was shown', async () => {
    const engine = await anEngine([onUdp]);
    for (const command of ['route|invite', 'ping', 'sip||\r\nOPTIONS sip:x@127.0.0.1:9 SIP/2.0\r\n\r\n']) {
      const app = await RawApp.connect(engine.controlPort);
      expect(await app.ask(command)).toContain('|NO|authentication required');
      await app.untilClosed();
    }
    const wrong = await RawApp.connect(engine.controlPort);
    expect(await wrong.ask('authenticate|guess|')).toContain('|NO|incorrect secret');
    await wrong.untilClosed();
    expect(engine.counters()).toMatchObject({ controlRefused: 4, apps: 0, sent: 0 });
  });

  test('commands in the same segment as the secret are not lost', async () => {
    const engine = await anEngine([onUdp]);
    const app = await RawApp.connect(engine.controlPort);
    ends.push(() => app.close());
    app.write(frame('a|authenticate|secret|') + frame('b|ping'));
    expect(await app.next((payload) => payload.includes('|response|b|'))).toContain('|OK|pong');
  });

  test('a frame larger than the limit closes the connection', async () => {
    const engine = await anEngine([onUdp], { limits: { frameBytes: 20_000 } });
    const app = await anApp(engine);
    expect(
      await app.ask(
        `sip|||sip:127.0.0.1:9\r\nMESSAGE sip:x@y SIP/2.0\r\nContent-Type: text/plain\r\n\r\n${'x'.repeat(19_000)}`,
      ),
    ).toContain('|OK|');
    app.write('20001#');
    await app.untilClosed();
  });

  test('a body of any octets arrives as it was sent', async () => {
    const engine = await anEngine([onUdp]);
    const app = await anApp(engine, 'message');
    const peer = await aUdpPeer();
    const body = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');
    await peer.send(aRequest('MESSAGE', { body }), engine.listeners[0]!);
    expect((await app.next((payload) => payload.includes('MESSAGE'))).endsWith(`\r\n\r\n${body}`)).toBe(true);
    app.send(`sip|||sip:127.0.0.1:${peer.port}\r\nMESSAGE sip:x@y SIP/2.0\r\nContent-Type: a/b\r\n\r\n${body}`);
    const sent = await peer.next('MESSAGE');
    expect(sent.endsWith(`Content-Length: 256\r\n\r\n${body}`)).toBe(true);
  });
});

describe('spawnEngine', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));

  test('runs the compiled engine in a thread of its own', { timeout: 60_000 }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'reveille-engine-'));
    ends.push(() => rmSync(out, { recursive: true, force: true }));
    execFileSync(process.execPath, [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      root,
      '--outDir',
      out,
      '--tsBuildInfoFile',
      join(out, '.info'),
    ]);
    writeFileSync(join(out, 'package.json'), '{"type":"module"}');
    symlinkSync(join(root, 'node_modules'), join(out, 'node_modules'));
    const { spawnEngine } = (await import(pathToFileURL(join(out, 'lib/engine/spawn.js')).href)) as typeof spawn;
    const handle = await spawnEngine({ listen: [onUdp], control: { port: 0, secret: 'secret' } });
    const app = await RawApp.ready(handle.controlPort, 'secret', 'options');
    void app.answerAll();
    const peer = await aUdpPeer();
    await peer.send(aRequest('OPTIONS'), handle.listeners[0]!);
    await peer.next('SIP/2.0 200');
    expect(await handle.counters()).toMatchObject({ received: 1, apps: 1, faults: 0 });
    await expect(spawnEngine({ listen: handle.listeners, control: { port: 0, secret: 'x' } })).rejects.toThrow(
      'cannot listen on udp 127.0.0.1:',
    );
    app.close();
    await handle.close();
    expect(await handle.ended).toBeUndefined();
  });
});
