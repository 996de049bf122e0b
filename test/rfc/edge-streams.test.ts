/** TCP and TLS on the embedded engine (RFC 3261 18, 26.2; RFC 5626 5.4; RFC 5922), over real sockets. */
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeServerIdentity, type ServerIdentity } from '../../apps/push-lab/certificate.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { EngineOptions, ListenAt } from '../../lib/engine/options.ts';
import { RawApp } from '../support/raw-app.ts';
import { TlsPeer, WsPeer } from '../support/stream-peers.ts';
import { aRequest, headerOf, Inbox, TcpPeer } from '../support/text-peer.ts';

const ends: (() => unknown)[] = [];
let ours: ServerIdentity;
let theirs: ServerIdentity;

beforeAll(() => {
  ours = makeServerIdentity({ hosts: ['edge.test'], addresses: ['127.0.0.1', '::1'] });
  theirs = makeServerIdentity({ hosts: ['pbx.test', 'localhost'], addresses: ['127.0.0.1'] });
});
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

const on = (transport: ListenAt['transport'], address = '127.0.0.1'): ListenAt => ({ transport, address, port: 0 });

async function anEngine(listen: readonly ListenAt[], options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({
    listen,
    tls: { cert: ours.certificate, key: ours.key, ca: theirs.ca },
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

async function aPhone(engine: Engine, at = 0, localAddress?: string): Promise<TlsPeer | TcpPeer> {
  const listener = engine.listeners[at]!;
  const peer =
    listener.transport === 'tls'
      ? await TlsPeer.open(listener, localAddress === undefined ? {} : ({ localAddress } as object))
      : await TcpPeer.open(listener, localAddress);
  ends.push(() => peer.stop());
  return peer;
}

/** A PBX on TLS that answers nothing and keeps what it was sent. */
class Pbx extends Inbox {
  port = 0;
  connections = 0;
  readonly #server: Server;

  constructor(identity: ServerIdentity) {
    super();
    this.#server = createServer({ cert: identity.certificate, key: identity.key }, (socket: TLSSocket) => {
      this.connections++;
      socket.on('error', () => {});
      socket.on('data', (octets) => this.put(octets.toString('latin1')));
    });
    this.#server.on('tlsClientError', () => {});
  }

  static async open(identity: ServerIdentity): Promise<Pbx> {
    const pbx = new Pbx(identity);
    pbx.#server.listen(0, '127.0.0.1');
    await once(pbx.#server, 'listening');
    pbx.port = (pbx.#server.address() as AddressInfo).port;
    ends.push(() => new Promise((done) => pbx.#server.close(done)));
    return pbx;
  }
}

describe('TLS listeners', () => {
  test('[EDGE-TRN-01] a request over TLS is answered over TLS, on IPv4 and IPv6', async () => {
    const engine = await anEngine([on('tls'), on('tls', '::1')]);
    const app = await anApp(engine, 'options');
    for (const at of [0, 1]) {
      const peer = await aPhone(engine, at);
      peer.send(aRequest('OPTIONS', { transport: 'TLS' }));
      const frame = await app.next((payload) => payload.includes('\r\nOPTIONS sip:'));
      expect(frame.split('|').slice(4, 7)).toEqual(['tls', at === 0 ? '127.0.0.1' : '::1', String(peer.port)]);
      app.send(`sip|${frame.split('|')[8]}|\r\nSIP/2.0 200 OK\r\n\r\n`);
      expect(headerOf(await peer.next('SIP/2.0 200'), 'Via')).toContain(`rport=${peer.port};received=`);
    }
  });

  test('a request goes back over the connection, with TLS in Via and Contact', async () => {
    const engine = await anEngine([on('tls')]);
    const app = await anApp(engine);
    const peer = await aPhone(engine);
    const { port } = engine.listeners[0]!;
    // a client may have ended its handshake before we have
    peer.send('\r\n\r\n');
    await peer.next('\r\n');
    app.send(`sip|||sip:127.0.0.1:${peer.port};transport=tls\r\nINVITE sip:alice@192.0.2.7 SIP/2.0\r\n\r\n`);
    const invite = await peer.next('INVITE');
    expect(headerOf(invite, 'Via')).toMatch(`SIP/2.0/TLS 127.0.0.1:${port};branch=z9hG4bK`);
    expect(headerOf(invite, 'Contact')).toBe(`<sip:127.0.0.1:${port};transport=tls>`);
  });

  test('[EDGE-TRN-09] the certificate shown names the host that clients use', async () => {
    const engine = await anEngine([on('tls'), on('wss')]);
    const peer = await TlsPeer.open(engine.listeners[0]!, {
      rejectUnauthorized: true,
      ca: ours.ca,
      servername: 'edge.test',
    });
    ends.push(() => peer.stop());
    expect(peer.socket.authorized).toBe(true);
    await expect(
      TlsPeer.open(engine.listeners[1]!, { rejectUnauthorized: true, ca: ours.ca, servername: 'other.test' }),
    ).rejects.toThrow(/does not match/);
  });

  test('junk instead of a handshake, or an old TLS, harms nobody', async () => {
    const engine = await anEngine([on('tls')]);
    void (await anApp(engine, 'options')).answerAll();
    const peer = await aPhone(engine);
    const junk = [
      'REGISTER sip:edge.test SIP/2.0\r\n\r\n',
      '\x16\x03\x01\xff\xff',
      '\0'.repeat(70_000),
      '\x80\x2e\x01',
    ];
    for (const text of junk) {
      const stranger = await TcpPeer.open(engine.listeners[0]!);
      stranger.send(text);
      stranger.send(text.repeat(3));
      if (text.length < 1000) setTimeout(() => stranger.stop(), 50);
      await stranger.untilClosed();
    }
    await expect(
      TlsPeer.open(engine.listeners[0]!, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).rejects.toThrow();
    await expect.poll(() => engine.counters().handshakesFailed).toBe(5);
    peer.send(aRequest('OPTIONS', { transport: 'TLS' }));
    await peer.next('SIP/2.0 200');
    expect(engine.counters().faults).toBe(0);
  });

  test('junk after the handshake closes that connection only', async () => {
    const engine = await anEngine([on('tls')]);
    void (await anApp(engine, 'options')).answerAll();
    const [peer, bad] = [await aPhone(engine), await aPhone(engine)];
    bad.send('\x16\x03\x01\x02\0\x01\0\x01\xfc');
    await bad.untilClosed();
    peer.send(aRequest('OPTIONS', { transport: 'TLS' }));
    await peer.next('SIP/2.0 200');
    expect(engine.counters()).toMatchObject({ malformed: 1, faults: 0 });
  });

  test('without a certificate the start says so', async () => {
    await expect(anEngine([on('tls')], { tls: {} })).rejects.toThrow(
      /cannot listen on tls 127\.0\.0\.1:0: a certificate and its key are needed/,
    );
    await expect(anEngine([on('tls')], { tls: { cert: ours.certificate, key: theirs.key } })).rejects.toThrow(
      /^the certificate and key cannot be used \(ERR_OSSL_X509_KEY_VALUES_MISMATCH\)$/,
    );
  });

  test('new certificates are shown to new connections, those that stand go on; bad ones are refused and change nothing', async () => {
    const engine = await anEngine([on('tls'), on('wss')]);
    void (await anApp(engine, 'options')).answerAll();
    const before = await aPhone(engine);
    const browser = await WsPeer.open(engine.listeners[1]!, { secure: true });
    ends.push(() => browser.stop());
    const renewed = makeServerIdentity({ hosts: ['renewed.test'], addresses: [] });
    const shown = async (at: number): Promise<string> => {
      const peer = await TlsPeer.open(engine.listeners[at]!);
      const { subjectaltname = '' } = peer.socket.getPeerCertificate();
      peer.stop();
      return subjectaltname;
    };
    expect(() => engine.useTls({ cert: renewed.certificate, key: ours.key })).toThrow(/cannot be used/);
    expect(() => engine.useTls({})).toThrow(/are needed/);
    expect(await shown(0)).toContain('edge.test');
    engine.useTls({ cert: renewed.certificate, key: renewed.key });
    expect(await shown(0)).toBe('DNS:renewed.test');
    expect(await shown(1)).toBe('DNS:renewed.test');
    before.send(aRequest('OPTIONS', { transport: 'TLS' }));
    await before.next('SIP/2.0 200');
    browser.send(aRequest('OPTIONS', { transport: 'WSS' }));
    await browser.next('SIP/2.0 200');
  });
});

describe.each(['tcp', 'tls'] as const)('connections over %s', (transport) => {
  test('[EDGE-TRN-05] two clients with one sent-by get their own answers and their own requests', async () => {
    const engine = await anEngine([on(transport)]);
    const app = await anApp(engine, 'options');
    const [one, two] = [await aPhone(engine), await aPhone(engine)];
    one.send(aRequest('OPTIONS', { transport, callId: 'one' }));
    two.send(aRequest('OPTIONS', { transport, callId: 'two' }));
    void app.answerAll();
    expect(headerOf(await one.next('SIP/2.0 200'), 'Call-ID')).toBe('one');
    expect(headerOf(await two.next('SIP/2.0 200'), 'Call-ID')).toBe('two');
    app.send(`sip|||sip:127.0.0.1:${two.port};transport=${transport}\r\nINVITE sip:alice@192.0.2.1 SIP/2.0\r\n\r\n`);
    await two.next('INVITE');
    expect(one.messages).toEqual([]);
  });

  test('a client that has hung up is not called back: 503 at once', async () => {
    const engine = await anEngine([on(transport)]);
    const app = await anApp(engine, 'options');
    const phone = await aPhone(engine);
    void app.answerAll();
    phone.send(aRequest('OPTIONS', { transport }));
    await phone.next('SIP/2.0 200');
    const { port } = phone;
    phone.stop();
    await expect.poll(() => engine.counters().connections).toBe(0);
    app.send(`sip|||sip:127.0.0.1:${port};transport=${transport}\r\nINVITE sip:alice@192.0.2.1 SIP/2.0\r\n\r\n`);
    const answer = await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    expect(answer.split('|').slice(3, 7)).toEqual(['0', transport, '', '0']);
    expect(engine.counters().connections).toBe(0);
  });

  test('[EDGE-OUT-05] CRLFCRLF is answered with CRLF, in any cut and between messages', async () => {
    const engine = await anEngine([on(transport)]);
    void (await anApp(engine, 'options')).answerAll();
    const peer = await aPhone(engine);
    peer.send('\r\n\r\n');
    expect(await peer.next('\r\n')).toBe('\r\n');
    peer.send(`\r\n${aRequest('OPTIONS', { transport })}\r\n\r\n`);
    await peer.next('\r\n');
    await peer.next('SIP/2.0 200');
  });

  test.each([
    ['missing', (text: string) => text.replace('Content-Length: 0\r\n', '')],
    ['no number', (text: string) => text.replace('Length: 0', 'Length: zero')],
    ['negative', (text: string) => text.replace('Length: 0', 'Length: -5')],
    ['contradicting itself', (text: string) => text.replace('Content-Length: 0', 'Content-Length: 0\r\nl: 4')],
    ['above the limit', (text: string) => text.replace('Length: 0', 'Length: 900000')],
  ] as const)('[EDGE-TRN-07] a Content-Length that is %s: 400, then closed', async (_what, spoil) => {
    const engine = await anEngine([on(transport)]);
    await anApp(engine, 'options');
    const peer = await aPhone(engine);
    peer.send(spoil(aRequest('OPTIONS', { transport })));
    expect(await peer.next('SIP/2.0')).toMatch(/^SIP\/2\.0 400 /);
    await peer.untilClosed();
    expect(engine.counters()).toMatchObject({ malformed: 1, faults: 0 });
  });

  test('[EDGE-TRN-07] a slow sender is closed, and so is one whose head does not end', async () => {
    const engine = await anEngine([on(transport)], { limits: { halfMessageMs: 100, messageBytes: 4000 } });
    const slow = await aPhone(engine);
    slow.send('OPTIONS sip:a SIP/2.0\r\nVia: ');
    await slow.untilClosed();
    expect(engine.counters()).toMatchObject({ slowClosed: 1, malformed: 0 });
    const endless = await aPhone(engine);
    endless.send(`OPTIONS sip:a SIP/2.0\r\n${'X: y\r\n'.repeat(1000)}`);
    await endless.untilClosed();
    expect(engine.counters()).toMatchObject({ slowClosed: 1, malformed: 1 });
  });

  test('[EDGE-TRN-07] too many header fields: 400 and closed', async () => {
    const engine = await anEngine([on(transport)], { limits: { headers: 50 } });
    const peer = await aPhone(engine);
    peer.send(aRequest('OPTIONS', { transport, extra: 'X: y\r\n'.repeat(60) }));
    expect(await peer.next('SIP/2.0')).toMatch(/^SIP\/2\.0 400 /);
    await peer.untilClosed();
  });

  test('[EDGE-TRN-07] who asks and never reads is cut before its answers fill our memory', async () => {
    const engine = await anEngine([on(transport)], { limits: { peerBacklogBytes: 50_000 } });
    void (await anApp(engine, 'options')).answerAll();
    const deaf = await aPhone(engine);
    deaf.pause();
    const flood = aRequest('OPTIONS', { transport, extra: `Subject: ${'x'.repeat(100)}\r\n` });
    let number = 0;
    const more = setInterval(() => {
      for (let at = 0; at < 200; at++) deaf.send(flood.replace(/branch=[^;]+/, `branch=z9hG4bK${number++}`));
    }, 2);
    ends.push(() => clearInterval(more));
    await expect.poll(() => engine.counters().backlogClosed, { timeout: 20_000 }).toBe(1);
  });

  test('connections of one address are limited, those of others are not touched', async () => {
    const engine = await anEngine([on(transport), on('ws')], { limits: { connectionsPerAddress: 3 } });
    void (await anApp(engine, 'options')).answerAll();
    const peers = [await aPhone(engine), await aPhone(engine)];
    const browser = await WsPeer.open(engine.listeners[1]!);
    ends.push(() => browser.stop());
    const extra = await TcpPeer.open(engine.listeners[0]!);
    await extra.untilClosed();
    const elsewhere = await aPhone(engine, 0, '127.0.0.77');
    elsewhere.send(aRequest('OPTIONS', { transport }));
    await elsewhere.next('SIP/2.0 200');
    expect(engine.counters()).toMatchObject({ addressLimitRefused: 1, connectionsRefused: 0, connections: 4 });
    peers[0]?.stop();
    await expect.poll(() => engine.counters().connections).toBe(3);
    await aPhone(engine);
  });
});

describe('TLS to a PBX', () => {
  const askFor = (uri: string): string => `sip|||${uri}\r\nOPTIONS sip:x@y SIP/2.0\r\n\r\n`;

  test('[EDGE-TRN-09] a PBX whose certificate is for the name or address gets the request, over one connection', async () => {
    const pbx = await Pbx.open(theirs);
    const engine = await anEngine([on('tls')]);
    const app = await anApp(engine);
    app.send(askFor(`sip:127.0.0.1:${pbx.port};transport=tls`));
    expect(headerOf(await pbx.next('OPTIONS'), 'Via')).toMatch(/^SIP\/2\.0\/TLS /);
    app.send(askFor(`sips:127.0.0.1:${pbx.port}`));
    await pbx.next('OPTIONS');
    expect(pbx.connections).toBe(1);
    expect(engine.counters().certificatesRefused).toBe(0);
  });

  test('[EDGE-TRN-09] the name in the next hop counts and not the address behind it, and each has a connection of its own', async () => {
    const named = makeServerIdentity({ hosts: ['localhost'], addresses: [] });
    const pbx = await Pbx.open(named);
    const engine = await anEngine([on('tls')], { tls: { cert: ours.certificate, key: ours.key, ca: named.ca } });
    const app = await anApp(engine);
    for (let count = 0; count < 2; count++) {
      app.send(askFor(`sip:localhost:${pbx.port};transport=tls`));
      await pbx.next('OPTIONS');
      app.send(askFor(`sip:127.0.0.1:${pbx.port};transport=tls`));
      await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    }
    expect(pbx.messages).toEqual([]);
    expect(engine.counters()).toMatchObject({ certificatesRefused: 2, connections: 1 });
  });

  test('[EDGE-TRN-09] a wrong name, an unknown issuer: refused with 503, counted, and not an octet of SIP is sent', async () => {
    const elsewhere = makeServerIdentity({ hosts: ['elsewhere.test'], addresses: [] });
    const [wrong, stranger] = [await Pbx.open(elsewhere), await Pbx.open(ours)];
    const engine = await anEngine([on('tls')], { tls: { cert: ours.certificate, key: ours.key, ca: elsewhere.ca } });
    const app = await anApp(engine);
    for (const pbx of [wrong, stranger]) {
      app.send(askFor(`sip:127.0.0.1:${pbx.port};transport=tls`));
      const answer = await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
      expect(answer.split('|').slice(3, 7)).toEqual(['0', 'tls', '', '0']);
      expect(pbx.messages).toEqual([]);
    }
    expect(engine.counters().certificatesRefused).toBe(2);
  });

  test('[EDGE-TRN-09] a PBX that speaks no TLS: 503', async () => {
    const plain = await anEngine([on('tcp')]);
    const engine = await anEngine([on('tls')]);
    const app = await anApp(engine);
    app.send(askFor(`sip:127.0.0.1:${plain.listeners[0]!.port};transport=tls`));
    await app.next((payload) => payload.includes('\r\nSIP/2.0 503'));
    expect(plain.counters()).toMatchObject({ malformed: 1, faults: 0 });
  });
});
