/** The control port against apps that do not know the secret, do not read, do not finish, or write without end. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { connectSrf } from '../../lib/adapters/srf/connect.ts';
import { frame } from '../../lib/engine/control/frames.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { ControlAt, Limits } from '../../lib/engine/options.ts';
import { RawApp } from '../support/raw-app.ts';
import { aRequest, UdpPeer } from '../support/text-peer.ts';

const secret = 'a-long-control-secret';
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function anEngine(limits: Partial<Limits> = {}, control: Partial<ControlAt> = {}): Promise<Engine> {
  const engine = await startEngine({
    listen: [{ transport: 'udp', address: '127.0.65.1', port: 0 }],
    control: { host: '127.0.0.1', port: 0, secret, ...control },
    limits,
  });
  ends.push(() => engine.close());
  return engine;
}

async function aPhone(): Promise<UdpPeer> {
  const phone = await UdpPeer.open('127.0.65.2');
  ends.push(() => phone.stop());
  return phone;
}

function keep(app: RawApp): RawApp {
  ends.push(() => app.close());
  return app;
}

/** An app that is connected and wants these methods, and whose socket nobody reads from now on. */
async function deafApp(engine: Engine, ...methods: string[]): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: engine.controlPort });
  ends.push(() => socket.destroy());
  await once(socket, 'connect');
  let heard = '';
  socket.on('data', (octets) => (heard += octets.toString('latin1')));
  socket.on('error', () => {});
  socket.write(frame(`a|authenticate|${secret}|`));
  for (const method of methods) socket.write(frame(`r|route|${method}`));
  while (heard.split('|response|').length < methods.length + 2) await once(socket, 'data');
  socket.pause();
  return socket;
}

/** Polls what the engine counts, with an end. */
async function until(condition: () => boolean, withinMs = 10_000): Promise<void> {
  await expect.poll(condition, { timeout: withinMs, interval: 5 }).toBe(true);
}

const large = (branch: string): string =>
  aRequest('MESSAGE', { branch, callId: branch, body: 'x'.repeat(30_000), extra: 'Content-Type: text/plain\r\n' });

describe('the secret', () => {
  test('nothing is accepted before it', async () => {
    const engine = await anEngine();
    const phone = await aPhone();
    const frames = ['route|options', 'ping', 'sip|||sip:127.0.65.2:5060\r\nOPTIONS sip:x SIP/2.0\r\n\r\n', 'proxy|x'];
    for (const payload of frames) {
      const app = await RawApp.connect(engine.controlPort);
      // one write: what follows a refused frame must not be looked at either
      app.write(frame(`1|${payload}`) + frame(`2|authenticate|${secret}|`) + frame('3|route|options'));
      expect(await app.next(() => true)).toMatch(/\|response\|1\|NO\|authentication required$/);
      await app.untilClosed();
      expect(app.frames).toEqual([]);
    }
    expect(engine.counters()).toMatchObject({ apps: 0, controlRefused: frames.length, faults: 0 });
    await phone.send(aRequest('OPTIONS'), engine.listeners[0]!);
    expect(await phone.next(() => true)).toContain('SIP/2.0 503');
  });

  test('a wrong one is answered as recorded, then more and more slowly; the right one never waits', async () => {
    const engine = await anEngine();
    const times: number[] = [];
    for (let count = 0; count < 5; count++) {
      const began = performance.now();
      const app = await RawApp.connect(engine.controlPort);
      const answer = app.ask('authenticate|guess|');
      if (count === 4) await RawApp.ready(engine.controlPort, secret, 'options').then(keep);
      expect(await answer).toMatch(/\|NO\|incorrect secret$/);
      await app.untilClosed();
      times.push(performance.now() - began);
    }
    expect(times[3]).toBeGreaterThan(249);
    expect(times[4]).toBeGreaterThan(499);
    expect(engine.counters()).toMatchObject({ apps: 1, wrongSecrets: 5 });
  });

  test('guessing on many connections at once meets a closed door, and the count of apps is bounded', async () => {
    const engine = await anEngine({ apps: 2 });
    const guesses = await Promise.all(Array.from({ length: 40 }, () => RawApp.connect(engine.controlPort)));
    ends.push(() => guesses.forEach((guess) => guess.close()));
    await until(() => engine.counters().controlRefused === 24);
    for (const guess of guesses) guess.close();
    // the door is free again when the engine has seen them go
    await expect
      .poll(async () => {
        const app = await RawApp.connect(engine.controlPort);
        const answer = await app.ask('ping').catch(() => 'closed');
        return answer;
      })
      .toContain('authentication required');
    const one = keep(await RawApp.ready(engine.controlPort, secret, 'options'));
    keep(await RawApp.ready(engine.controlPort, secret, 'options'));
    const third = await RawApp.connect(engine.controlPort);
    expect(await third.ask(`authenticate|${secret}|`)).toContain('NO|too many connections');
    await third.untilClosed();
    one.close();
    await until(() => engine.counters().apps === 1);
    keep(await RawApp.ready(engine.controlPort, secret, 'options'));
  });
});

describe('frames', () => {
  test('of the largest legal size pass in both directions, cut anywhere', async () => {
    const engine = await anEngine();
    const phone = await aPhone();
    const app = keep(await RawApp.ready(engine.controlPort, secret, 'message'));
    const text = aRequest('MESSAGE', { body: 'y'.repeat(64_000), extra: 'Content-Type: text/plain\r\n' });
    await phone.send(text, engine.listeners[0]!);
    const request = await app.next((each) => each.includes('\r\nMESSAGE '));
    expect(request.length).toBeGreaterThan(64_000);
    const answer = frame(
      `1|sip|${request.split('|')[8]}|\r\nSIP/2.0 200 OK\r\nContent-Type: text/plain\r\n\r\n${'z'.repeat(64_000)}`,
    );
    for (let at = 0; at < answer.length; at += 997) app.write(answer.slice(at, at + 997));
    expect((await phone.next(() => true)).length).toBeGreaterThan(64_000);
  });

  test('that are longer than allowed, or no frames, close that connection', async () => {
    const engine = await anEngine({ frameBytes: 1000 });
    for (const junk of ['1001#', 'abc', '#', '-1#x', '00000000000000']) {
      const app = await RawApp.ready(engine.controlPort, secret, 'options');
      app.write(junk);
      await app.untilClosed();
    }
    expect(engine.counters()).toMatchObject({ controlRefused: 5, faults: 0 });
  });

  test('of which only half comes are waited for in vain, with and without the secret shown', async () => {
    const engine = await anEngine({ halfMessageMs: 100 });
    const app = await RawApp.ready(engine.controlPort, secret, 'options');
    const idle = keep(await RawApp.ready(engine.controlPort, secret, 'options'));
    app.write('100#abc|sip|');
    await app.untilClosed();
    await until(() => engine.counters().apps === 1);
    expect(engine.counters().appsClosed).toBe(1);
    expect(await idle.ask('ping')).toContain('OK|pong');
  });
});

describe('an app that does not read', () => {
  test('gets no new requests, others get them; it is cut off in the end; memory is bounded and counted', async () => {
    const limits = { appPauseBytes: 1_048_576, appBacklogBytes: 8 * 1_048_576, appStallMs: 1500 };
    const engine = await anEngine(limits);
    const phone = await aPhone();
    const deaf = await deafApp(engine, 'message');
    const good = keep(await RawApp.ready(engine.controlPort, secret, 'message'));
    void good.answerAll();
    let sent = 0;
    let highest = 0;
    // kernel buffers take the first megabytes
    while (engine.counters().appsBehind === 0) {
      await phone.send(large(`z9hG4bKfill${sent++}`), engine.listeners[0]!);
      await new Promise(setImmediate);
      highest = Math.max(highest, engine.counters().appBacklog);
      expect(sent).toBeLessThan(2000);
    }
    expect(highest).toBeLessThan(2 * 1_048_576);
    // from here on every request is answered
    for (let count = 0; count < 50; count++) {
      const branch = `z9hG4bKgood${count}`;
      await phone.send(large(branch), engine.listeners[0]!);
      expect(await phone.next((text) => text.includes(branch))).toContain('SIP/2.0 200');
    }
    expect(engine.counters().appBacklog).toBeLessThan(2 * 1_048_576);
    await until(() => engine.counters().apps === 1);
    expect(engine.counters()).toMatchObject({ appsBehind: 1, appsClosed: 1, appBacklog: 0, faults: 0 });
    deaf.destroy();
  });

  test('[EDGE-OC-03] makes callers hear 503, and no Retry-After, when it is alone, and is given requests again once it has read', async () => {
    const engine = await anEngine({ appPauseBytes: 1_048_576 });
    const phone = await aPhone();
    const deaf = await deafApp(engine, 'message');
    for (let sent = 0; engine.counters().appsBehind === 0; sent++) {
      await phone.send(large(`z9hG4bKfill${sent}`), engine.listeners[0]!);
      await new Promise(setImmediate);
    }
    await phone.send(aRequest('MESSAGE', { branch: 'z9hG4bKalone', callId: 'alone' }), engine.listeners[0]!);
    const refusal = await phone.next((text) => text.includes('z9hG4bKalone'));
    expect(refusal).toContain('SIP/2.0 503');
    expect(refusal).not.toContain('Retry-After');
    let heard = '';
    deaf.on('data', (octets) => (heard = (heard + octets.toString('latin1')).slice(-2000)));
    deaf.resume();
    await until(() => engine.counters().appBacklog === 0);
    await phone.send(aRequest('MESSAGE', { branch: 'z9hG4bKagain', callId: 'again' }), engine.listeners[0]!);
    await until(() => heard.includes('z9hG4bKagain'));
  });

  test('but writes is not read from: neither side of the engine grows', async () => {
    const engine = await anEngine({ appPauseBytes: 262_144 });
    const deaf = await deafApp(engine, 'options');
    const pings = frame('1|ping').repeat(10_000);
    let written = 0;
    // each ping has an answer nobody reads; in the end the engine stops reading, and what we write stays with us
    while (deaf.writableLength < 1_048_576) {
      written += pings.length;
      deaf.write(pings);
      await new Promise(setImmediate);
      expect(written).toBeLessThan(256 * 1_048_576);
    }
    const { appBacklog } = engine.counters();
    expect(appBacklog).toBeLessThan(2 * 262_144);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(engine.counters().appBacklog).toBeLessThan(2 * 262_144);
    let heard = 0;
    deaf.on('data', (octets) => (heard += octets.length));
    deaf.resume();
    await until(() => deaf.writableLength === 0 && engine.counters().appBacklog === 0 && heard > written);
  }, 30_000);
});

describe('over TLS', () => {
  const { certificate, key, ca } = makeServerIdentity({ hosts: ['engine.test'], addresses: ['127.0.0.1'] });
  const pem = { cert: certificate, key };

  test('an edge connects, by address or by name, and again after a cut', async () => {
    const engine = await anEngine({}, { tls: { port: 0, ...pem } });
    const port = engine.controlTlsPort!;
    const ups: string[] = [];
    const options = { host: '127.0.0.1', port, secret, engineId: 'e', onRequest: () => {} };
    const edge = await connectSrf({
      ...options,
      tls: { ca },
      onUp: () => ups.push('up'),
      onDown: () => ups.push('down'),
    });
    ends.push(() => edge.close());
    expect(edge.hostports).toEqual([`udp/127.0.65.1:${engine.listeners[0]!.port}`]);
    await engine.close();
    ends.shift();
    const again = await anEngine({}, { tls: { port, ...pem } });
    await until(() => ups.length === 2);
    expect([ups, again.counters().apps]).toEqual([['down', 'up'], 1]);

    const named = await connectSrf({ ...options, tls: { ca, serverName: 'engine.test' } });
    await named.close();
    expect(again.counters().faults).toBe(0);
  });

  test('an edge says nothing to whoever has another certificate', async () => {
    let heard = '';
    const stranger = createTlsServer(pem, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (octets) => (heard += octets.toString('latin1')));
    }).listen(0, '127.0.0.1');
    ends.push(() => stranger.close());
    await once(stranger, 'listening');
    const { port } = stranger.address() as AddressInfo;
    const options = { host: '127.0.0.1', port, secret, engineId: 'e', onRequest: () => {}, connectTimeoutMs: 1000 };
    await expect(connectSrf({ ...options, tls: {} })).rejects.toThrow(/unable to verify|self.signed|local issuer/);
    await expect(connectSrf({ ...options, tls: { ca, serverName: 'other.test' } })).rejects.toThrow(/other\.test/);
    expect(heard).toBe('');
    // the one it knows is told at once
    const known = connectSrf({ ...options, tls: { ca } }).catch(() => undefined);
    await until(() => heard.includes('|authenticate|'));
    await known;
  });

  test('junk and silence instead of a handshake cost a place at the door only', async () => {
    const engine = await anEngine({}, { tls: { port: 0, ...pem } });
    const port = engine.controlTlsPort!;
    const silent = Array.from({ length: 30 }, () => connect({ host: '127.0.0.1', port }));
    ends.push(() => silent.forEach((socket) => socket.destroy()));
    for (const socket of silent) socket.on('error', () => {});
    await until(() => silent.filter((socket) => socket.closed || socket.destroyed).length === 14);
    for (const socket of silent) socket.end('GET / HTTP/1.0\r\n\r\n');
    await until(() => engine.counters().controlRefused >= 30);
    const app = connectTls({ host: '127.0.0.1', port, ca });
    ends.push(() => app.destroy());
    await once(app, 'secureConnect');
    app.write(frame(`1|authenticate|${secret}|`));
    expect(String((await once(app, 'data'))[0])).toContain('|response|1|OK|');
  });
});
