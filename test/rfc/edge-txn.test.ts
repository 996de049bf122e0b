/** Transactions of the running engine as its peers see them (RFC 3261 17, 9; RFC 6026; RFC 4320). T1 is 25 ms here. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import { RawApp } from '../support/raw-app.ts';
import { aRequest, headerOf, TcpPeer, UdpPeer } from '../support/text-peer.ts';

const t1Ms = 25;
const timers = { t1Ms, t2Ms: 8 * t1Ms, t4Ms: 10 * t1Ms };
const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

interface World {
  readonly engine: Engine;
  readonly app: RawApp;
  readonly udp: { readonly address: string; readonly port: number };
  readonly tcp: { readonly address: string; readonly port: number };
  peer(): Promise<UdpPeer>;
  connection(): Promise<TcpPeer>;
}

/** Where a test is about what does not come in time, it has more of it. */
const slowly = { t1Ms: 200, t2Ms: 1600, t4Ms: 2000 };

function aWorld(...methods: string[]): Promise<World> {
  return aWorldAt(timers, methods);
}

async function aWorldAt(pace: typeof timers, methods: readonly string[]): Promise<World> {
  const engine = await startEngine({
    listen: [
      { transport: 'udp', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '127.0.0.1', port: 0 },
    ],
    control: { port: 0, secret: 'secret' },
    timers: pace,
  });
  ends.push(() => engine.close());
  const app = await RawApp.ready(engine.controlPort, 'secret', ...methods);
  ends.push(() => app.close());
  const [udp, tcp] = [engine.listeners[0]!, engine.listeners[1]!];
  return {
    engine,
    app,
    udp,
    tcp,
    peer: async () => {
      const peer = await UdpPeer.open('127.0.0.1');
      ends.push(() => peer.stop());
      return peer;
    },
    connection: async () => {
      const peer = await TcpPeer.open(tcp);
      ends.push(() => peer.stop());
      return peer;
    },
  };
}

const txnOf = (frame: string): string => frame.split('|')[8] as string;
const requestFrame = (app: RawApp, method: string): Promise<string> =>
  app.next((each) => each.split('|')[1] === 'sip' && each.includes(`\r\n${method} `));

function respond(app: RawApp, frame: string, status: string, lines = ''): Promise<string> {
  return app.ask(`sip|${txnOf(frame)}|\r\nSIP/2.0 ${status}\r\n${lines}\r\n`);
}

/** After this everything the engine had to say to `peer` and to the app about what came before is there. */
async function settled(world: World, peer: UdpPeer, ms = 0): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  await peer.send(aRequest('CANCEL', { branch: `z9hG4bKbarrier${Math.random()}` }), world.udp);
  await peer.next('SIP/2.0 481');
  await world.app.ask('ping');
}

function answerTo(request: string, status: string, toTag = '', lines = ''): string {
  const kept = request.split('\r\n').filter((line) => /^(Via|From|Call-ID|CSeq): /.test(line));
  const to = `To: ${headerOf(request, 'To')}${toTag === '' ? '' : `;tag=${toTag}`}`;
  return `SIP/2.0 ${status}\r\n${kept.join('\r\n')}\r\n${to}\r\n${lines}Content-Length: 0\r\n\r\n`;
}

function ackOf(response: string, branch: string): string {
  return aRequest('ACK', {
    branch,
    callId: headerOf(response, 'Call-ID'),
    toTag: /tag=(.*)/.exec(headerOf(response, 'To'))?.[1] ?? '',
  });
}

describe('server transactions', () => {
  test('[EDGE-TXN-01] a request is known by branch, sent-by and method', async () => {
    const world = await aWorld('options', 'message');
    const peer = await world.peer();
    const send = (method: string, sentBy: string): Promise<void> =>
      peer.send(
        aRequest(method, { branch: 'z9hG4bKone', sentBy, callId: `${method} ${sentBy}`.replace(' ', '-') }),
        world.udp,
      );
    await send('OPTIONS', '192.0.2.1:5060');
    await send('OPTIONS', '192.0.2.1:5060');
    await send('OPTIONS', '192.0.2.2:5060');
    await send('OPTIONS', '192.0.2.1:5061');
    await send('MESSAGE', '192.0.2.1:5060');
    await settled(world, peer);
    const came = world.app.frames.map((frame) => headerOf(frame, 'Call-ID'));
    expect(came).toEqual([
      'OPTIONS-192.0.2.1:5060',
      'OPTIONS-192.0.2.2:5060',
      'OPTIONS-192.0.2.1:5061',
      'MESSAGE-192.0.2.1:5060',
    ]);
    expect(world.engine.counters().retransmissions).toBe(1);
  });

  test('[EDGE-TXN-01] without the cookie by Call-ID, CSeq and tag, as RFC 2543 did', async () => {
    const world = await aWorld('options');
    const peer = await world.peer();
    for (const [callId, seq] of [
      ['a', 1],
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ] as const)
      await peer.send(aRequest('OPTIONS', { branch: 'old', callId, seq }), world.udp);
    await settled(world, peer);
    expect(world.app.frames.map((frame) => `${headerOf(frame, 'Call-ID')} ${headerOf(frame, 'CSeq')}`)).toEqual([
      'a 1 OPTIONS',
      'b 1 OPTIONS',
      'a 2 OPTIONS',
    ]);
  });

  test('[EDGE-TXN-02] [EDGE-NIT-02] an INVITE that waits has its 100 within 200 ms, without a tag; nothing else has one', async () => {
    const world = await aWorldAt(slowly, ['invite', 'message']);
    const peer = await world.peer();
    const sentAt = performance.now();
    await peer.send(aRequest('INVITE'), world.udp);
    const trying = await peer.next('SIP/2.0 100');
    expect(performance.now() - sentAt).toBeLessThan(200);
    expect(headerOf(trying, 'To')).not.toContain('tag=');
    await peer.send(aRequest('MESSAGE'), world.udp);
    await settled(world, peer);
    expect(peer.messages).toEqual([]);
  });

  test('[EDGE-NIT-02] [EDGE-NIT-03] anything else has a 100 when its sender slows down (7 T1), on every transport, and copies get it again', async () => {
    const world = await aWorld('register');
    for (const transport of ['udp', 'tcp'] as const) {
      const peer = transport === 'udp' ? await world.peer() : await world.connection();
      const request = aRequest('REGISTER', { transport: transport.toUpperCase() });
      const sentAt = performance.now();
      await peer.send(request, world.udp);
      const trying = await peer.next('SIP/2.0 100');
      expect(performance.now() - sentAt).toBeGreaterThanOrEqual(7 * t1Ms - 1);
      expect(headerOf(trying, 'To')).not.toContain('tag=');
      await peer.send(request, world.udp);
      expect(await peer.next('SIP/2.0 100')).toBe(trying);
      // the app may answer as ever
      const frame = await requestFrame(world.app, 'REGISTER');
      expect(await respond(world.app, frame, '200 OK')).toContain('|OK|');
      await peer.next('SIP/2.0 200');
    }
    expect(world.app.frames).toEqual([]);
  });

  test('[EDGE-NIT-02] what is answered in time has no 100', async () => {
    const world = await aWorldAt(slowly, ['register']);
    const peer = await world.peer();
    await peer.send(aRequest('REGISTER'), world.udp);
    await respond(world.app, await requestFrame(world.app, 'REGISTER'), '200 OK');
    await peer.next('SIP/2.0 200');
    await settled(world, peer, 8 * slowly.t1Ms);
    expect(peer.messages).toEqual([]);
  });

  test('[EDGE-TXN-03] a copy of an INVITE gets the last provisional answer again and goes nowhere', async () => {
    const world = await aWorld('invite');
    const peer = await world.peer();
    const invite = aRequest('INVITE');
    await peer.send(invite, world.udp);
    const trying = await peer.next('SIP/2.0 100');
    const frame = await requestFrame(world.app, 'INVITE');
    await peer.send(invite, world.udp);
    expect(await peer.next('SIP/2.0 100')).toBe(trying);
    await respond(world.app, frame, '180 Ringing');
    const ringing = await peer.next('SIP/2.0 180');
    await peer.send(invite, world.udp);
    expect(await peer.next('SIP/2.0 180')).toBe(ringing);
    expect(world.app.frames).toEqual([]);
  });

  test('[EDGE-TXN-04] a refusal is repeated over UDP until its ACK, which goes nowhere', async () => {
    const world = await aWorld('invite');
    const peer = await world.peer();
    await peer.send(aRequest('INVITE', { branch: 'z9hG4bKrefused' }), world.udp);
    await respond(world.app, await requestFrame(world.app, 'INVITE'), '480 Temporarily Unavailable');
    const first = await peer.next('SIP/2.0 480');
    expect(await peer.next('SIP/2.0 480')).toBe(first);
    await peer.send(ackOf(first, 'z9hG4bKrefused'), world.udp);
    await settled(world, peer);
    peer.messages.length = 0;
    await settled(world, peer, timers.t2Ms + 2 * t1Ms);
    expect(peer.messages).toEqual([]);
    expect(world.app.frames).toEqual([]);
  });

  test('[EDGE-TXN-04] repeating ends after 64 T1 when no ACK comes, and over a connection never begins', async () => {
    const world = await aWorld('invite');
    const [peer, connection] = [await world.peer(), await world.connection()];
    await peer.send(aRequest('INVITE'), world.udp);
    connection.send(aRequest('INVITE', { transport: 'TCP' }));
    for (let calls = 0; calls < 2; calls++)
      await respond(world.app, await requestFrame(world.app, 'INVITE'), '486 Busy Here');
    while (world.engine.counters().serverTransactions > 0) await settled(world, peer, 4 * t1Ms);
    const copies = peer.messages.filter((text) => text.startsWith('SIP/2.0 486')).length;
    // at 0, 1, 3, 7, then every 8 T1, later on a busy machine
    expect(copies).toBeGreaterThanOrEqual(5);
    expect(copies).toBeLessThanOrEqual(11);
    expect(connection.messages.join('').match(/SIP\/2\.0 486/g)).toHaveLength(1);
  });

  test('[EDGE-TXN-05] after a 2xx copies of the INVITE are no new call, and its ACK goes to the app', async () => {
    const world = await aWorld('invite');
    const peer = await world.peer();
    const invite = aRequest('INVITE', { branch: 'z9hG4bKanswered' });
    await peer.send(invite, world.udp);
    await respond(world.app, await requestFrame(world.app, 'INVITE'), '200 OK');
    const ok = await peer.next('SIP/2.0 200');
    await peer.send(invite, world.udp);
    // the dialog repeats it, not a new transaction
    expect(await peer.next('SIP/2.0 200')).toBe(ok);
    await peer.send(ackOf(ok, 'z9hG4bKother'), world.udp);
    const ack = await requestFrame(world.app, 'ACK');
    expect(headerOf(ack, 'Call-ID')).toBe(headerOf(ok, 'Call-ID'));
    await peer.send(invite, world.udp);
    await settled(world, peer);
    expect(world.app.frames).toEqual([]);
  });

  test('[EDGE-TXN-06] a caller whose connection dies while it waits keeps its transaction and is answered where it comes back', async () => {
    const world = await aWorld('invite');
    const lost = await world.connection();
    const invite = aRequest('INVITE', { transport: 'TCP' });
    lost.send(invite);
    await lost.next('SIP/2.0 100');
    const frame = await requestFrame(world.app, 'INVITE');
    lost.stop();
    while (world.engine.counters().connections > 0) await new Promise((resolve) => setImmediate(resolve));
    const back = await world.connection();
    back.send(invite);
    await back.next('SIP/2.0 100');
    expect(await respond(world.app, frame, '486 Busy Here')).toContain('|OK|');
    await back.next('SIP/2.0 486');
    expect(world.app.frames).toEqual([]);
  });

  test('[EDGE-TXN-10] a copy of an answered request gets the same answer and goes nowhere', async () => {
    const world = await aWorld('register');
    const peer = await world.peer();
    const register = aRequest('REGISTER');
    await peer.send(register, world.udp);
    const frame = await requestFrame(world.app, 'REGISTER');
    // still waiting: the copy says nothing new
    await peer.send(register, world.udp);
    await respond(world.app, frame, '200 OK', 'Contact: <sip:a@b>;expires=60\r\n');
    const answer = await peer.next('SIP/2.0 200');
    await peer.send(register, world.udp);
    expect(await peer.next('SIP/2.0 200')).toBe(answer);
    expect(await respond(world.app, frame, '500 Late')).toContain('|NOK|');
    expect(world.app.frames).toEqual([]);
    expect(world.engine.counters().retransmissions).toBe(2);
  });

  test("[EDGE-PRX-14] CANCEL and ACK are never challenged: they are not the app's to answer", async () => {
    const world = await aWorld('invite');
    const peer = await world.peer();
    await peer.send(aRequest('INVITE', { branch: 'z9hG4bKcancelled' }), world.udp);
    await requestFrame(world.app, 'INVITE');
    await peer.send(aRequest('CANCEL', { branch: 'z9hG4bKcancelled' }), world.udp);
    await peer.next('SIP/2.0 200');
    await peer.next('SIP/2.0 487');
    const told = await requestFrame(world.app, 'CANCEL');
    expect(await respond(world.app, told, '401 Unauthorized')).toContain('|NOK|');
  });
});

describe('client transactions', () => {
  const to = (peer: UdpPeer): string => `sip:127.0.0.1:${peer.port};transport=udp`;

  async function invited(world: World, peer: UdpPeer): Promise<{ invite: string; txn: string; dialogId: string }> {
    const echo = await world.app.ask(
      `sip|||${to(peer)}\r\nINVITE sip:bob@example.net SIP/2.0\r\nFrom: <sip:a@b>;tag=ours\r\nCall-ID: call\r\n\r\n`,
    );
    return { invite: await peer.next('INVITE'), txn: echo.split('|')[10] as string, dialogId: 'call;from-tag=ours' };
  }

  test('[EDGE-TXN-07] every 2xx is cared for: copies get the ACK again, another phone is acknowledged and hung up', async () => {
    const world = await aWorld();
    const peer = await world.peer();
    const { invite, dialogId } = await invited(world, peer);
    const ok = (tag: string): string =>
      answerTo(invite, '200 OK', tag, `Contact: <sip:127.0.0.1:${peer.port};transport=udp>\r\n`);
    await peer.send(ok('one'), world.udp);
    await world.app.next((frame) => frame.includes('\r\nSIP/2.0 200'));
    // no ACK of the transaction's own
    await settled(world, peer, 2 * t1Ms);
    expect(peer.messages.filter((text) => text.startsWith('ACK'))).toEqual([]);
    await world.app.ask(`sip||${dialogId}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    const ack = await peer.next('ACK');
    await peer.send(ok('one'), world.udp);
    expect(await peer.next('ACK')).toBe(ack);
    await peer.send(ok('two'), world.udp);
    expect(headerOf(await peer.next('ACK'), 'To')).toContain('tag=two');
    const bye = await peer.next('BYE');
    expect(headerOf(bye, 'To')).toContain('tag=two');
    await peer.send(answerTo(bye, '200 OK'), world.udp);
  });

  test('[EDGE-TXN-08] [EDGE-NIT-05] an answer that belongs to nothing, or comes too late, is dropped and counted', async () => {
    const world = await aWorld();
    const peer = await world.peer();
    await peer.send(answerTo(aRequest('INVITE'), '200 OK', 'stray'), world.udp);
    await settled(world, peer);
    expect(world.engine.counters().dropped).toBe(1);
    world.app.send(`sip|||${to(peer)}\r\nMESSAGE sip:bob@example.net SIP/2.0\r\n\r\n`);
    const message = await peer.next('MESSAGE');
    await world.app.next((frame) => frame.includes('\r\nSIP/2.0 408'));
    await peer.send(answerTo(message, '200 OK', 'late'), world.udp);
    await settled(world, peer);
    expect(world.engine.counters().dropped).toBe(2);
    expect(world.app.frames.filter((frame) => frame.includes('SIP/2.0 200'))).toEqual([]);
  });

  test('[EDGE-TXN-09] a refusal is acknowledged by the transaction, with branch, request-URI and Route of the INVITE', async () => {
    const world = await aWorld();
    const peer = await world.peer();
    const { invite, dialogId } = await invited(world, peer);
    const route = `Record-Route: <sip:127.0.0.1:${peer.port};lr>\r\nContact: <sip:far@192.0.2.77>\r\n`;
    await peer.send(answerTo(invite, '200 OK', 'one', route), world.udp);
    await world.app.next((frame) => frame.includes('\r\nSIP/2.0 200'));
    await world.app.ask(`sip||${dialogId}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    await peer.next('ACK');
    world.app.send(`sip||${dialogId}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n`);
    // not a late copy of the first
    const again = await peer.next((text) => text.startsWith('INVITE') && headerOf(text, 'To').includes('tag='));
    const refusal = answerTo(again, '488 Not Acceptable Here');
    await peer.send(refusal, world.udp);
    const ack = await peer.next('ACK');
    expect(ack.split(' ')[1]).toBe(again.split(' ')[1]);
    expect(headerOf(ack, 'Route')).not.toBe('');
    for (const name of ['Via', 'Route', 'From', 'To', 'Call-ID'])
      expect(headerOf(ack, name)).toBe(headerOf(again, name));
    expect(headerOf(ack, 'CSeq')).toBe(headerOf(again, 'CSeq').replace('INVITE', 'ACK'));
    // and again for each copy
    await peer.send(refusal, world.udp);
    expect(await peer.next('ACK')).toBe(ack);
  });

  test('[EDGE-TXN-11] a CANCEL waits for the first provisional answer and is the INVITE in all but the method', async () => {
    const world = await aWorld();
    const peer = await world.peer();
    const { invite, txn } = await invited(world, peer);
    await world.app.ask(`sip|${txn}|\r\nCANCEL sip:bob@example.net SIP/2.0\r\nReason: SIP;cause=200\r\n\r\n`);
    await settled(world, peer, 3 * t1Ms);
    expect(peer.messages.filter((text) => text.startsWith('CANCEL'))).toEqual([]);
    await peer.send(answerTo(invite, '100 Trying'), world.udp);
    const cancel = await peer.next('CANCEL');
    expect(cancel.split(' ')[1]).toBe(invite.split(' ')[1]);
    for (const name of ['Via', 'From', 'To', 'Call-ID']) expect(headerOf(cancel, name)).toBe(headerOf(invite, name));
    expect(headerOf(cancel, 'CSeq')).toBe(headerOf(invite, 'CSeq').replace('INVITE', 'CANCEL'));
    expect(headerOf(cancel, 'Reason')).toBe('SIP;cause=200');
    await peer.send(answerTo(cancel, '200 OK', 'one'), world.udp);
    await peer.send(answerTo(invite, '487 Request Terminated', 'one'), world.udp);
    await peer.next('ACK');
  });

  test('[EDGE-TXN-11] a 200 that crosses the CANCEL is acknowledged and hung up', async () => {
    const world = await aWorld();
    const peer = await world.peer();
    const { invite, txn, dialogId } = await invited(world, peer);
    await world.app.ask(`sip|${txn}|\r\nCANCEL sip:bob@example.net SIP/2.0\r\n\r\n`);
    const contact = `Contact: <sip:127.0.0.1:${peer.port};transport=udp>\r\n`;
    await peer.send(answerTo(invite, '200 OK', 'one', contact), world.udp);
    await world.app.next((frame) => frame.includes('\r\nSIP/2.0 200'));
    await world.app.ask(`sip||${dialogId}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    await peer.next('ACK');
    const bye = await peer.next('BYE');
    expect(headerOf(bye, 'To')).toContain('tag=one');
    await peer.send(answerTo(bye, '200 OK'), world.udp);
    expect(peer.messages.filter((text) => text.startsWith('CANCEL'))).toEqual([]);
  });

  test('[unreason] [noreason] any reason phrase reaches the app, also none (RFC 4475 3.1.1.12, 3.1.1.13)', async () => {
    const startLine = (name: string): string =>
      readFileSync(new URL(`../fixtures/rfc4475/${name}.sip`, import.meta.url), 'latin1').split('\r\n', 1)[0] as string;
    const world = await aWorld();
    const peer = await world.peer();
    const { invite } = await invited(world, peer);
    const [odd, none] = [startLine('unreason').slice(8), startLine('noreason').replace('100', '183').slice(8)];
    await peer.send(answerTo(invite, none, 'one'), world.udp);
    await world.app.next((frame) => frame.includes(`\r\nSIP/2.0 ${none}\r\n`));
    await peer.send(answerTo(invite, odd, 'one'), world.udp);
    const frame = await world.app.next((one) => one.includes(`\r\nSIP/2.0 ${odd}\r\n`));
    expect(frame).not.toContain(`SIP/2.0 ${none}`);
  });
});
