/** Random, mutated and oversized bytes on every port of the engine: nothing breaks, and other flows do not notice. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import { RawApp } from '../support/raw-app.ts';
import { aRequest, headerOf, TcpPeer, UdpPeer } from '../support/text-peer.ts';

let engine: Engine;
let app: RawApp;
let phone: UdpPeer;
const udp = () => engine.listeners[0]!;
const tcp = () => engine.listeners[1]!;

beforeEach(async () => {
  engine = await startEngine({
    listen: [
      { transport: 'udp', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '127.0.0.1', port: 0 },
    ],
    control: { port: 0, secret: 'secret' },
    limits: { halfMessageMs: 100, idleMs: 60_000, connections: 40 },
  });
  app = await RawApp.ready(engine.controlPort, 'secret', 'register', 'invite', 'options', 'message');
  phone = await UdpPeer.open('127.0.0.1');
  void app.answerAll();
});

afterEach(async () => {
  app.close();
  phone.stop();
  await engine.close();
});

/** The engine still does its work, and nothing inside it was caught by the last net. */
async function stillWorks(): Promise<void> {
  const branch = `z9hG4bKalive${Math.random()}`;
  await phone.send(aRequest('REGISTER', { branch }), udp());
  const answer = await phone.next((text) => text.includes(branch));
  expect(answer.startsWith('SIP/2.0 200')).toBe(true);
  expect(engine.counters().faults).toBe(0);
}

const seeds = ['REGISTER', 'INVITE', 'ACK', 'CANCEL', 'BYE', 'PRACK', 'UPDATE', 'FOO'].map((method) =>
  aRequest(method, { branch: 'z9hG4bKfuzz', callId: 'fuzz' }),
);
const pieces = [
  '\r\n',
  '\r',
  '\0',
  ' ',
  ';',
  ',',
  '"',
  '<',
  '>',
  '\xff',
  '99999999999',
  '-1',
  '__proto__: x\r\n',
  'Via: ',
  'tag=',
  '|',
  '%00',
  'l: 5\r\n',
];
const mutated = fc
  .tuple(
    fc.constantFrom(...seeds, 'SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\n\r\n'),
    fc.array(fc.tuple(fc.nat(), fc.nat(6), fc.constantFrom(...pieces)), { maxLength: 5 }),
  )
  .map(([text, changes]) =>
    changes.reduce(
      (done, [place, cut, what]) => done.slice(0, place % done.length) + what + done.slice((place % done.length) + cut),
      text,
    ),
  );

describe('hostile bytes', () => {
  test('random and mutated datagrams', async () => {
    const random = fc
      .sample(fc.uint8Array({ minLength: 1, maxLength: 1500 }), 500)
      .map((octets) => Buffer.from(octets));
    const near = fc.sample(mutated, 1500).map((text) => Buffer.from(text, 'latin1'));
    for (const datagram of [...random, ...near]) await phone.send(datagram, udp());
    await stillWorks();
    expect(engine.counters().malformed).toBeGreaterThan(100);
  });

  test('the largest datagrams, header bombs and endless lines', async () => {
    const bombs = [
      'A'.repeat(65_507),
      `REGISTER sip:a SIP/2.0\r\n${'X: y\r\n'.repeat(10_000)}\r\n`,
      `REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP ${';'.repeat(60_000)}\r\n\r\n`,
      aRequest('REGISTER', { extra: `Contact: ${'<sip:a@b>,'.repeat(6000)}<sip:a@b>\r\n` }),
      aRequest('OPTIONS', { extra: `Subject: ${'"'.repeat(60_000)}\r\n` }),
      aRequest('INVITE', { extra: 'Record-Route: <sip:a;lr>\r\n'.repeat(200) }),
      aRequest('MESSAGE', { body: 'x'.repeat(64_000) }),
    ];
    for (const bomb of bombs) await phone.send(bomb, udp());
    await stillWorks();
  });

  test('a head of more than 16 KiB is answered 513 and no app sees it; a body may be as large as a datagram', async () => {
    const before = app.frames.length;
    const contact = `<sip:a@b${';p'.repeat(9000)}>`;
    await phone.send(aRequest('REGISTER', { branch: 'z9hG4bKbighead', extra: `Path: ${contact}\r\n` }), udp());
    const answer = await phone.next((text) => text.includes('z9hG4bKbighead'));
    expect(answer.startsWith('SIP/2.0 513 ')).toBe(true);
    await phone.send(aRequest('MESSAGE', { branch: 'z9hG4bKbigbody', body: 'x'.repeat(60_000) }), udp());
    expect(await phone.next((text) => text.includes('z9hG4bKbigbody'))).toMatch(/^SIP\/2.0 200 /);
    expect(app.frames.slice(before).some((frame) => frame.includes('z9hG4bKbighead'))).toBe(false);
    await stillWorks();
  });

  test('random and mutated streams are closed, and no connection stays', async () => {
    const streams = [
      ...fc.sample(fc.uint8Array({ minLength: 1, maxLength: 3000 }), 40).map((octets) => Buffer.from(octets)),
      ...fc.sample(mutated, 120).map((text) => Buffer.from(text, 'latin1')),
    ];
    for (const stream of streams) {
      const peer = await TcpPeer.open(tcp());
      peer.send(stream);
      peer.stop();
    }
    await stillWorks();
    while (engine.counters().connections > 0) await stillWorks();
  });

  test('a slow sender is closed', async () => {
    const peer = await TcpPeer.open(tcp());
    peer.send('REGISTER sip:edge.test SIP/2.0\r\nVia: SIP/2.0/TCP');
    await peer.untilClosed();
    await stillWorks();
  });

  test('more connections than allowed are refused, the others go on', async () => {
    const peers = await Promise.all(Array.from({ length: 40 }, () => TcpPeer.open(tcp())));
    const extra = await TcpPeer.open(tcp());
    await extra.untilClosed();
    const [first] = peers as [TcpPeer];
    first.send(aRequest('REGISTER', { transport: 'TCP' }));
    await first.next('SIP/2.0 200');
    expect(engine.counters().connectionsRefused).toBe(1);
    for (const peer of peers) peer.stop();
    await stillWorks();
  });

  test('random bytes on the control port close that connection only', async () => {
    for (const octets of fc.sample(fc.uint8Array({ minLength: 1, maxLength: 2000 }), 60)) {
      const other = await RawApp.connect(engine.controlPort);
      other.write(Buffer.from(octets).toString('latin1'));
      other.close();
    }
    await stillWorks();
  });

  test('an authenticated app that sends nonsense messages is answered and hurts nobody', async () => {
    const other = await RawApp.ready(engine.controlPort, 'secret');
    const metas = [
      'sip||',
      'sip|||',
      'sip|||sip:127.0.0.9:1;transport=udp',
      'sip|nope|',
      'sip||no;from-tag=x',
      'sip|||nonsense',
      'proxy|x',
      'sip',
      '',
      'route',
      'unknown',
    ];
    for (const text of fc.sample(mutated, 200)) other.write(`${text.length + 8}#abc|sip|${text}`);
    for (const meta of metas) {
      const next = other.closed ? await RawApp.ready(engine.controlPort, 'secret') : other;
      for (const text of fc.sample(mutated, 40)) next.send(`${meta}\r\n${text}`);
      if (next !== other) next.close();
    }
    other.close();
    await stillWorks();
  });

  test('a call that is up stays up through all of it', async () => {
    await phone.send(aRequest('INVITE', { callId: 'steady', branch: 'z9hG4bKsteady' }), udp());
    const ok = await phone.next((text) => text.startsWith('SIP/2.0 200') && text.includes('INVITE'));
    const toTag = /tag=(.*)/.exec(headerOf(ok, 'To'))?.[1] as string;
    await phone.send(aRequest('ACK', { callId: 'steady', toTag }), udp());
    for (const text of fc.sample(mutated, 500)) await phone.send(text.replaceAll('fuzz', 'steady'), udp());
    await phone.send(aRequest('BYE', { callId: 'steady', seq: 1_000_000, branch: 'z9hG4bKlast', toTag }), udp());
    const bye = await phone.next((text) => text.includes('z9hG4bKlast'));
    expect(bye.startsWith('SIP/2.0 200')).toBe(true);
    await stillWorks();
  });
});

describe('a flood of INVITEs nobody acknowledges', () => {
  test.each([{ transactions: 20 }, { transactionBytes: 20_000 }])(
    'is bounded by %o; calls that are up do not notice',
    async (limits) => {
      const small = await startEngine({
        listen: [{ transport: 'udp', address: '127.0.80.1', port: 0 }],
        control: { port: 0, secret: 'secret' },
        limits,
      });
      const refusing = await RawApp.ready(small.controlPort, 'secret', 'invite');
      const at = small.listeners[0]!;
      await phone.send(aRequest('INVITE', { callId: 'up' }), at);
      const first = await refusing.next((payload) => payload.includes('\r\nINVITE '));
      await refusing.ask(`sip|${first.split('|')[8]}|\r\nSIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n`);
      const toTag = /tag=(.*)/.exec(headerOf(await phone.next('SIP/2.0 200'), 'To'))?.[1] as string;
      await phone.send(aRequest('ACK', { callId: 'up', toTag }), at);

      for (let count = 0; count < 100; count++) await phone.send(aRequest('INVITE', { callId: `flood${count}` }), at);
      await phone.next('SIP/2.0 503');
      await phone.send(aRequest('BYE', { callId: 'up', toTag, seq: 2 }), at);
      await refusing.next((payload) => payload.includes('\r\nBYE '));
      const { serverTransactions, overload, faults } = small.counters();
      expect(serverTransactions).toBeLessThan(40);
      expect([overload > 60, faults]).toEqual([true, 0]);
      refusing.close();
      await small.close();
    },
  );
});
