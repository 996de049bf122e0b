/** SIP over WebSocket (RFC 7118) on the embedded engine, over real sockets. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { EngineOptions, ListenAt } from '../../lib/engine/options.ts';
import { RawApp } from '../support/raw-app.ts';
import { WsPeer, type WsPeerOptions } from '../support/stream-peers.ts';
import { aRequest, headerOf, TcpPeer } from '../support/text-peer.ts';

const ends: (() => unknown)[] = [];
let identity: ReturnType<typeof makeServerIdentity>;

beforeAll(() => {
  identity = makeServerIdentity({ hosts: ['edge.test'], addresses: ['127.0.0.1'] });
});
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

const onWs: ListenAt = { transport: 'ws', address: '127.0.0.1', port: 0 };
const onWss: ListenAt = { transport: 'wss', address: '127.0.0.1', port: 0 };

async function anEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({
    listen: [onWs, onWss],
    tls: { cert: identity.certificate, key: identity.key },
    control: { port: 0, secret: 'secret' },
    registrationCache: false,
    ...options,
  });
  ends.push(() => engine.close());
  return engine;
}

async function anApp(engine: Engine, ...methods: string[]): Promise<RawApp> {
  const app = await RawApp.ready(engine.controlPort, 'secret', ...methods);
  ends.push(() => app.close());
  return app;
}

async function aBrowser(engine: Engine, secure = false, options: WsPeerOptions = {}): Promise<WsPeer> {
  const peer = await WsPeer.open(engine.listeners[secure ? 1 : 0]!, { secure, ...options });
  ends.push(() => peer.stop());
  return peer;
}

const invalid = 'df7jal23ls0d.invalid';
const aBrowsersRequest = (method: string, secure: boolean, options: Parameters<typeof aRequest>[1] = {}): string =>
  aRequest(method, { transport: secure ? 'WSS' : 'WS', sentBy: invalid, ...options }).replace(
    /Contact: <[^>]*>/,
    `Contact: <sip:alice@${invalid};transport=ws>`,
  );
const isOptions = (payload: string): boolean => payload.includes('\r\nOPTIONS sip:');

describe('handshake', () => {
  test.each([false, true])(
    '[EDGE-WS-01] the subprotocol sip is demanded and confirmed (secure: %s)',
    async (secure) => {
      const engine = await anEngine();
      expect((await aBrowser(engine, secure, { protocols: ['chat', 'sip'] })).socket.protocol).toBe('sip');
      await expect(aBrowser(engine, secure, { protocols: ['chat'] })).rejects.toThrow('refused with 400');
      await expect(aBrowser(engine, secure, { protocols: [] })).rejects.toThrow('refused with 400');
      expect(engine.counters()).toMatchObject({ upgradesRefused: 2, faults: 0 });
    },
  );

  test('[EDGE-WS-01] plain HTTP is answered 426, and what is no HTTP is closed', async () => {
    const engine = await anEngine();
    for (const text of [
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n',
    ]) {
      const peer = await TcpPeer.open(engine.listeners[0]!);
      peer.send(text);
      expect(await peer.next('HTTP/')).toMatch(/^HTTP\/1\.1 426 /);
      await peer.untilClosed();
    }
    for (const text of [
      'REGISTER sip:edge.test SIP/2.0\r\nVia: x\r\n\r\n',
      '\x16\x03\x01\x02\0\x01\0\x01\xfc',
      '\0\xff\r\n\r\n',
    ]) {
      const peer = await TcpPeer.open(engine.listeners[0]!);
      peer.send(text);
      await peer.untilClosed();
    }
    const bad = await TcpPeer.open(engine.listeners[0]!);
    bad.send(
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: x\r\n\r\n',
    );
    await bad.untilClosed();
    await aBrowser(engine);
    expect(engine.counters()).toMatchObject({ upgradesRefused: 2, handshakesFailed: 4, faults: 0 });
  });

  test('[EDGE-WS-08] an Origin that is not on the list gets 403; clients without one, and with cookies, come in', async () => {
    const engine = await anEngine({ webSocket: { origins: ['https://phone.example.com'] } });
    await aBrowser(engine, true, { origin: 'https://Phone.Example.com' });
    await aBrowser(engine, true, { headers: { Cookie: `session=${'x'.repeat(4000)}; other=1` } });
    await expect(aBrowser(engine, true, { origin: 'https://evil.example.com' })).rejects.toThrow('refused with 403');
    await expect(aBrowser(engine, false, { origin: 'null' })).rejects.toThrow('refused with 403');
    expect(engine.counters().upgradesRefused).toBe(2);
  });

  test('[EDGE-WS-08] 401 without the cookie that the operator asks for', async () => {
    const engine = await anEngine({ webSocket: { cookie: { name: 'session', value: 'a1b2' } } });
    await aBrowser(engine, true, { headers: { Cookie: 'theme=dark; session=a1b2' } });
    await expect(aBrowser(engine, true, { headers: { Cookie: 'session=a1b' } })).rejects.toThrow('refused with 401');
    await expect(aBrowser(engine, true)).rejects.toThrow('refused with 401');
  });

  test('who does not bring the handshake to its end is closed in time', async () => {
    const engine = await anEngine({ limits: { handshakeMs: 100 } });
    const silent = await TcpPeer.open(engine.listeners[0]!);
    const slow = await TcpPeer.open(engine.listeners[0]!);
    slow.send('GET / HTTP/1.1\r\nHost: x\r\nX-A: ');
    const noTls = await TcpPeer.open(engine.listeners[1]!);
    for (const peer of [silent, slow, noTls]) await peer.untilClosed();
    expect(engine.counters().handshakesLate).toBe(3);
    await expect.poll(() => engine.counters().connections).toBe(0);
  });
});

describe('messages', () => {
  test('[EDGE-WS-02] text and binary frames are taken; an answer is binary only when it is not UTF-8', async () => {
    const engine = await anEngine();
    const app = await anApp(engine, 'options', 'message');
    const peer = await aBrowser(engine);
    void app.answerAll();
    peer.send(aBrowsersRequest('OPTIONS', false), { binary: false });
    await peer.next('SIP/2.0 200');
    peer.send(aBrowsersRequest('OPTIONS', false), { binary: true });
    await peer.next('SIP/2.0 200');
    peer.send(aBrowsersRequest('OPTIONS', false, { extra: 'Subject: \xc3\xa4\r\n', branch: 'z9hG4bK1' }));
    await peer.next('SIP/2.0 200');
    expect(peer.binary).toEqual([false, false, false]);
    app.send(
      `sip|||sip:127.0.0.1:${portOf(peer)};transport=ws\r\nMESSAGE sip:x@y SIP/2.0\r\nContent-Type: a/b\r\n\r\n\xff\x00\xfe`,
    );
    expect(await peer.next('MESSAGE')).toMatch(/\r\n\r\n\xff\0\xfe$/);
    app.send(
      `sip|||sip:127.0.0.1:${portOf(peer)};transport=ws\r\nMESSAGE sip:x@y SIP/2.0\r\nContent-Type: a/b\r\n\r\n\xe2\x82\xac`,
    );
    expect(await peer.next('MESSAGE')).toMatch(/\r\n\r\n\xe2\x82\xac$/);
    expect(peer.binary).toEqual([false, false, false, true, false]);
  });

  test('[EDGE-WS-02] the octets of a binary body reach the app as they were', async () => {
    const engine = await anEngine();
    const app = await anApp(engine, 'message');
    const peer = await aBrowser(engine);
    const body = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');
    peer.send(aBrowsersRequest('MESSAGE', false, { body }), { binary: true });
    expect((await app.next((payload) => payload.includes('\r\nMESSAGE'))).endsWith(`\r\n\r\n${body}`)).toBe(true);
  });

  test('[EDGE-WS-03] fragments are joined, and a message needs no Content-Length', async () => {
    const engine = await anEngine();
    const app = await anApp(engine, 'message');
    const peer = await aBrowser(engine);
    const text = aBrowsersRequest('MESSAGE', false, { body: 'hello' }).replace(/Content-Length: 5\r\n/, '');
    for (let at = 0; at < text.length; at += 50)
      peer.socket.send(text.slice(at, at + 50), { fin: at + 50 >= text.length });
    expect((await app.next((payload) => payload.includes('\r\nMESSAGE'))).endsWith('\r\n\r\nhello')).toBe(true);
  });

  test.each([
    [
      'two messages in one frame',
      (): string => aBrowsersRequest('OPTIONS', false) + aBrowsersRequest('OPTIONS', false),
      400,
    ],
    [
      'fewer octets than Content-Length says',
      (): string => aBrowsersRequest('OPTIONS', false).replace('Length: 0', 'Length: 9'),
      400,
    ],
    [
      'a Content-Length that is no number',
      (): string => aBrowsersRequest('OPTIONS', false).replace('Length: 0', 'Length: x'),
      400,
    ],
    ['no SIP', (): string => '{"hello": 1}', undefined],
    [
      'a head without its end',
      (): string => 'OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKa\r\n',
      undefined,
    ],
  ] as const)('[EDGE-WS-03] %s: 400 or no answer, and the connection is closed', async (_what, text, status) => {
    const engine = await anEngine();
    await anApp(engine, 'options');
    const [peer, other] = [await aBrowser(engine), await aBrowser(engine)];
    peer.send(text());
    if (status !== undefined) expect(await peer.next('SIP/2.0')).toMatch(`SIP/2.0 ${status}`);
    await peer.untilClosed();
    expect(peer.messages).toEqual([]);
    expect(engine.counters()).toMatchObject({ malformed: 1, faults: 0 });
    expect(other.closed).toBe(false);
  });

  test('[EDGE-WS-03] a message above the limit and frames against RFC 6455 close that connection only', async () => {
    const engine = await anEngine({ limits: { messageBytes: 2000 } });
    void (await anApp(engine, 'options')).answerAll();
    const other = await aBrowser(engine);
    const large = await aBrowser(engine);
    large.send('x'.repeat(2001));
    await large.untilClosed();
    expect(large.closeCode).toBe(1009);
    const crumbs = await aBrowser(engine);
    for (let at = 0; at < 400; at++) crumbs.socket.send('', { fin: false });
    await crumbs.untilClosed();
    const raw = await upgraded(engine);
    raw.send(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
    await raw.untilClosed();
    const unmasked = await upgraded(engine);
    unmasked.send(Buffer.from([0x81, 0x01, 0x41]));
    await unmasked.untilClosed();
    const notUtf8 = await aBrowser(engine);
    notUtf8.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    await notUtf8.untilClosed();
    expect(notUtf8.closeCode).toBe(1007);
    expect(engine.counters()).toMatchObject({ malformed: 5, faults: 0 });
    other.send(aBrowsersRequest('OPTIONS', false));
    await other.next('SIP/2.0 200');
  });
});

describe('routing', () => {
  test.each([
    ['ws', 'WS', 0],
    ['wss', 'WSS', 1],
  ] as const)(
    '[EDGE-WS-04] %s: Via %s, transport=ws, and tcp as the protocol an app is told',
    async (transport, via, at) => {
      const engine = await anEngine();
      const app = await anApp(engine, 'options');
      const peer = await aBrowser(engine, at === 1);
      const { port } = engine.listeners[at]!;
      peer.send(aBrowsersRequest('OPTIONS', at === 1));
      const frame = (await app.next(isOptions)).split('|');
      expect(frame.slice(4, 7)).toEqual(['tcp', '127.0.0.1', String(portOf(peer))]);
      expect(frame.slice(10, 12)).toEqual(['127.0.0.1', String(port)]);
      app.send(
        `sip|||sip:127.0.0.1:${portOf(peer)};transport=${transport}\r\nINVITE sip:alice@${invalid};transport=ws SIP/2.0\r\n\r\n`,
      );
      const invite = await peer.next('INVITE');
      expect(headerOf(invite, 'Via')).toMatch(new RegExp(`^SIP/2\\.0/${via} 127\\.0\\.0\\.1:${port};branch=z9hG4bK`));
      expect(headerOf(invite, 'Contact')).toBe(`<sip:127.0.0.1:${port};transport=ws>`);
      const hello = await app.ask('authenticate|secret|');
      expect(hello).toContain(`${transport}/127.0.0.1:${port}`);
    },
  );

  test('[EDGE-WS-04] the default ports 80 and 443 are left out of Via', async () => {
    const engine = await anEngine({
      listen: [
        { ...onWs, advertise: { host: 'edge.test', port: 80 } },
        { ...onWss, advertise: { host: 'edge.test', port: 443 } },
      ],
    });
    const app = await anApp(engine);
    for (const [transport, secure] of [
      ['WS', false],
      ['WSS', true],
    ] as const) {
      const peer = await aBrowser(engine, secure);
      app.send(
        `sip|||sip:127.0.0.1:${portOf(peer)};transport=${transport.toLowerCase()}\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`,
      );
      expect(headerOf(await peer.next('OPTIONS'), 'Via')).toMatch(`SIP/2.0/${transport} edge.test;branch=`);
    }
  });

  test('[EDGE-WS-05] a whole call with .invalid names in Via and Contact runs over the connection, and none is looked up', async () => {
    const engine = await anEngine();
    const app = await anApp(engine, 'invite', 'bye');
    const peer = await aBrowser(engine, true);
    const sdp = 'v=0\r\n';
    peer.send(
      aBrowsersRequest('INVITE', true, { callId: 'c1', body: sdp, extra: 'Content-Type: application/sdp\r\n' }),
    );
    const frame = await app.next((payload) => payload.includes('\r\nINVITE'));
    await peer.next('SIP/2.0 100');
    const txn = frame.split('|')[8] as string;
    app.send(`sip|${txn}|\r\nSIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n${sdp}`);
    const ok = await peer.next('SIP/2.0 200');
    const toTag = /;tag=([^;]+)/.exec(headerOf(ok, 'To'))?.[1] ?? '';
    peer.send(aBrowsersRequest('ACK', true, { callId: 'c1', toTag }));
    const ack = await app.next((payload) => payload.includes('\r\nACK'));
    const dialogId = ack.split('|')[9] as string;
    app.send(`sip||${dialogId}\r\nBYE sip:placeholder SIP/2.0\r\n\r\n`);
    const bye = await peer.next('BYE');
    expect(bye).toContain(`BYE sip:alice@${invalid};transport=ws SIP/2.0`);
  });

  test('[EDGE-WS-05] a request to an .invalid name without its connection is 503 at once', async () => {
    const engine = await anEngine();
    const app = await anApp(engine);
    app.send(`sip||\r\nOPTIONS sip:alice@${invalid};transport=ws SIP/2.0\r\n\r\n`);
    const answer = await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    expect(answer.split('|').slice(3, 7)).toEqual(['0', 'unknown', '', '0']);
  });

  test('[EDGE-WS-06] nothing is repeated on a connection', async () => {
    const engine = await anEngine({ timers: { t1Ms: 5, t2Ms: 20, t4Ms: 20 } });
    const app = await anApp(engine, 'register');
    const peer = await aBrowser(engine);
    void app.answerAll();
    peer.send(aBrowsersRequest('REGISTER', false));
    await peer.next('SIP/2.0 200');
    app.send(`sip|||sip:127.0.0.1:${portOf(peer)};transport=ws\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`);
    // timer F, 64 T1, ends the transaction: until then there were a dozen occasions for a copy
    await app.next((payload) => payload.includes('\r\nSIP/2.0 408'));
    expect(peer.messages.filter((text) => text.startsWith('OPTIONS'))).toHaveLength(1);
    expect(peer.messages).toHaveLength(1);
  });

  test('[EDGE-WS-10] [EDGE-TRN-05] a request goes over the connection of its browser or not at all', async () => {
    const engine = await anEngine();
    const app = await anApp(engine, 'options');
    // two tabs that gave themselves the same name
    const [one, two] = [await aBrowser(engine, true), await aBrowser(engine, true)];
    one.send(aBrowsersRequest('OPTIONS', true, { callId: 'one' }));
    two.send(aBrowsersRequest('OPTIONS', true, { callId: 'two' }));
    void app.answerAll();
    expect(headerOf(await one.next('SIP/2.0 200'), 'Call-ID')).toBe('one');
    expect(headerOf(await two.next('SIP/2.0 200'), 'Call-ID')).toBe('two');
    const port = portOf(one);
    one.stop();
    await expect.poll(() => engine.counters().connections).toBe(1);
    const { sent } = engine.counters();
    app.send(`sip|||sip:127.0.0.1:${port};transport=wss\r\nINVITE sip:alice@${invalid};transport=ws SIP/2.0\r\n\r\n`);
    const answer = await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    expect(answer.split('|').slice(3, 7)).toEqual(['0', 'tcp', '', '0']);
    expect(engine.counters().sent).toBe(sent);
    expect(two.messages).toEqual([]);
  });
});

describe('keep-alive', () => {
  test('[EDGE-WS-07] [EDGE-OUT-05] Ping is answered with Pong, CRLFCRLF with CRLF, and CRLF is taken', async () => {
    const engine = await anEngine();
    const peer = await aBrowser(engine);
    peer.socket.ping('are you there');
    await peer.next('(pong)');
    peer.send('\r\n');
    peer.send('\r\n\r\n');
    expect(await peer.next('\r\n')).toBe('\r\n');
    expect(peer.messages).toEqual([]);
    expect(engine.counters().malformed).toBe(0);
  });

  test('[EDGE-WS-07] a silent client is pinged; one that does not answer is gone', async () => {
    const engine = await anEngine({ webSocket: { pingMs: 40 } });
    const alive = await aBrowser(engine);
    const dead = await aBrowser(engine, false, { autoPong: false });
    await dead.untilClosed();
    expect(dead.pings).toBe(2);
    await alive.next('(ping)');
    await alive.next('(ping)');
    expect(alive.closed).toBe(false);
    expect(engine.counters().idleClosed).toBe(1);
    await expect.poll(() => engine.counters().connections).toBe(1);
  });

  test('a client that never says anything of SIP is closed', async () => {
    const engine = await anEngine({ limits: { firstMessageMs: 100 } });
    const peer = await aBrowser(engine);
    await peer.untilClosed();
    expect(engine.counters().idleClosed).toBe(1);
  });
});

function portOf(peer: WsPeer): number {
  return (peer.socket as unknown as { _socket: { localPort: number } })._socket.localPort;
}

/** A connection past its handshake, for frames no library would send. */
async function upgraded(engine: Engine): Promise<TcpPeer> {
  const peer = await TcpPeer.open(engine.listeners[0]!);
  peer.send(
    'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  expect(await peer.next('HTTP/1.1 101')).toContain('Sec-WebSocket-Protocol: sip');
  return peer;
}
