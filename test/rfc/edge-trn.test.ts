/** RFC 3261 18 and RFC 3581 over sockets: what the embedded engine does with datagrams, their size and their source. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { tagOf } from '../../lib/sip/name-addr.ts';
import { aRequest, headerOf } from '../support/text-peer.ts';
import {
  anApp,
  anEngine,
  answerTo,
  aServer,
  aSipPeer,
  aTcpPeer,
  atEnd,
  aUdpPeer,
  cleanUp,
  send,
  tcp,
  text,
  udp,
} from './engine-world.ts';

cleanUp();

/** A TCP port whose packets are dropped, as by a firewall: its process is stopped and its queue is full. */
async function aDeafPort(): Promise<number> {
  const listen =
    'const s=require("net").createServer();s.listen({host:"127.0.0.1",port:0,backlog:1},()=>console.log(s.address().port))';
  const child = spawn(process.execPath, ['-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] });
  atEnd(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line);
  child.kill('SIGSTOP');
  for (let full = false; !full; ) {
    const socket = connect({ host: '127.0.0.1', port });
    atEnd(() => socket.destroy());
    full = await new Promise<boolean>((resolve) => {
      const late = setTimeout(() => resolve(true), 300);
      socket.once('connect', () => {
        clearTimeout(late);
        resolve(false);
      });
    });
  }
  return port;
}

const via = (message: { readonly headers: { get(name: string): string | undefined } }): string =>
  message.headers.get('via') ?? '';

describe('[EDGE-TRN-02] a request above 1300 octets', () => {
  test('[EDGE-TRN-02] goes over TCP, says so in its Via, and its transaction stays there', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aServer();
    const { txn, echo } = await send(app, server.udp.nextHop, text('INVITE', 'sip:bob@pbx.test', 1600));
    const invite = await server.tcp.request('INVITE');
    expect(via(invite)).toMatch(`SIP/2.0/TCP 127.0.0.1:${engine.listeners[1]!.port};branch=`);
    expect(echo.split('|')[6]).toBe('tcp');
    await server.tcp.send(server.tcp.answer(invite, 486), invite.source);
    await answerTo(app, txn, 486);
    expect(via(await server.tcp.request('ACK'))).toBe(via(invite));
    expect(server.udp.received).toEqual([]);
    expect(engine.counters()).toMatchObject({ tcpForSize: 1, tcpFallbacks: 0, clientTransactions: 0 });
  });

  test('[EDGE-TRN-02] is of no concern at 1300, with the switch off, or without a TCP listener', async () => {
    const server = await aServer();
    server.udp.on('MESSAGE', (request, from) => void server.udp.send(server.udp.answer(request, 200), from));
    for (const [listen, tcpAboveBytes, octets] of [
      [[udp(), tcp()], 1300, 900],
      [[udp(), tcp()], 0, 1600],
      [[udp()], 1300, 1600],
    ] as const) {
      const engine = await anEngine(listen, { tcpAboveBytes });
      const app = await anApp(engine);
      const { txn } = await send(app, server.udp.nextHop, text('MESSAGE', 'sip:bob@pbx.test', octets));
      await answerTo(app, txn, 200);
      expect(engine.counters().tcpForSize).toBe(0);
    }
    expect(server.tcp.received).toEqual([]);
  });

  test('[EDGE-TRN-02] comes back to UDP where TCP is refused, with a new branch, and the next one does not ask again', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aSipPeer('udp');
    const branches = new Set<string>();
    server.on('MESSAGE', (request, from) => {
      branches.add(via(request));
      void server.send(server.answer(request, 200), from);
    });
    for (const tried of [1, 1]) {
      const { txn } = await send(app, server.nextHop, text('MESSAGE', 'sip:bob@pbx.test', 1600));
      await answerTo(app, txn, 200);
      expect(engine.counters()).toMatchObject({ tcpForSize: tried, tcpFallbacks: tried });
    }
    expect([...branches].every((each) => each.startsWith('SIP/2.0/UDP 127.0.0.1'))).toBe(true);
    expect(branches.size).toBe(2);
  });

  test('[EDGE-TRN-02] comes back to UDP where the connection is reset before an answer', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aServer();
    const answered = new Promise<void>((resolve) => {
      server.tcp.on('INVITE', (_, from) => void server.tcp.hangUp(from).then(resolve));
    });
    const { txn } = await send(app, server.udp.nextHop, text('INVITE', 'sip:bob@pbx.test', 1600));
    await answered;
    const invite = await server.udp.request('INVITE');
    await server.udp.send(server.udp.answer(invite, 486), invite.source);
    await answerTo(app, txn, 486);
    expect(via(await server.udp.request('ACK'))).toBe(via(invite));
  });

  test('[EDGE-TRN-02] comes back to UDP where nobody takes the connection, after the time for that and not after that of others', async () => {
    const engine = await anEngine([udp(), tcp()], { limits: { connectForSizeMs: 100, connectMs: 60_000 } });
    const app = await anApp(engine);
    const port = await aDeafPort();
    const server = await aSipPeer('udp', '127.0.0.1', port);
    server.on('MESSAGE', (request, from) => void server.send(server.answer(request, 200), from));
    const { txn } = await send(app, server.nextHop, text('MESSAGE', 'sip:bob@pbx.test', 1600));
    await answerTo(app, txn, 200);
    expect(engine.counters()).toMatchObject({ tcpForSize: 1, tcpFallbacks: 1 });
  });

  test('[EDGE-TRN-02] an answered transaction is not tried again: its end is a 503', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aServer();
    const { txn } = await send(app, server.udp.nextHop, text('INVITE', 'sip:bob@pbx.test', 1600));
    const invite = await server.tcp.request('INVITE');
    await server.tcp.send(server.tcp.answer(invite, 180), invite.source);
    await answerTo(app, txn, 180);
    await server.tcp.hangUp(invite.source);
    await answerTo(app, txn, 503);
    expect(server.udp.received).toEqual([]);
  });

  test('[EDGE-TRN-02] stays on the flow of a phone that registered over UDP', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine, 'register');
    // somebody else may well have the same port on TCP
    const phone = await aServer();
    void app.answerAll();
    await phone.udp.send(phone.udp.draft('REGISTER'), engine.listeners[0]!);
    await phone.udp.response(200, 'REGISTER');
    const { txn } = await send(app, phone.udp.nextHop, text('INVITE', 'sip:bob@pbx.test', 1600));
    const invite = await phone.udp.request('INVITE');
    expect(via(invite)).toMatch(/^SIP\/2\.0\/UDP /);
    await phone.udp.send(phone.udp.answer(invite, 486), invite.source);
    await answerTo(app, txn, 486);
    expect(phone.tcp.received).toEqual([]);
  });

  test('[EDGE-TRN-02] leaves its dialog on UDP: the connection may go', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aServer();
    const { txn } = await send(app, server.udp.nextHop, text('INVITE', 'sip:bob@pbx.test', 1600));
    const invite = await server.tcp.request('INVITE');
    const contact = `<sip:bob@127.0.0.1:${server.port}>`;
    await server.tcp.send(server.tcp.answer(invite, 200, { contact }), invite.source);
    const dialog = (await answerTo(app, txn, 200)).split('|')[9] ?? '';
    await app.ask(`sip||${dialog}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    const ack = await Promise.race([server.udp.request('ACK'), server.tcp.request('ACK')]);
    expect(tagOf(ack.headers.get('to') ?? '')).toBeDefined();
    await server.tcp.hangUp(invite.source);
    const bye = (await app.ask(`sip||${dialog}\r\nBYE sip:x SIP/2.0\r\n\r\n`)).split('|')[10] ?? '';
    const ended = await server.udp.request('BYE');
    expect(via(ended)).toMatch(/^SIP\/2\.0\/UDP /);
    await server.udp.send(server.udp.answer(ended, 200), ended.source);
    await answerTo(app, bye, 200);
  });

  test('[EDGE-TRN-02] of the peer over TCP does not move a dialog that lives on UDP', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const server = await aServer();
    const { txn } = await send(app, server.udp.nextHop, text('INVITE', 'sip:bob@pbx.test'));
    const invite = await server.udp.request('INVITE');
    const ok = server.udp.answer(invite, 200, { tag: 'b' });
    await server.udp.send(ok, invite.source);
    const dialog = (await answerTo(app, txn, 200)).split('|')[9] ?? '';
    await app.ask(`sip||${dialog}\r\nACK sip:x SIP/2.0\r\n\r\n`);
    await server.udp.request('ACK');
    const again = server.tcp.fromCallee('INVITE', invite, 'b', {
      body: 'v=0\r\n'.padEnd(1600, 'x'),
      contact: `<${server.udp.uri()}>`,
    });
    await server.tcp.send(again, engine.listeners[1]!);
    const asked = await app.next((payload) => payload.includes('|sip|network|') && payload.includes('\r\nINVITE '));
    app.send(`sip|${asked.split('|')[8]}|\r\nSIP/2.0 488 No\r\n\r\n`);
    await server.tcp.response(488);
    await app.ask(`sip||${dialog}\r\nBYE sip:x SIP/2.0\r\n\r\n`);
    expect((await server.udp.request('BYE')).headers.get('Via')).toContain('SIP/2.0/UDP');
  });
});

describe('[EDGE-TRN-03] large datagrams', () => {
  for (const [address, most] of [
    ['127.0.0.1', 65_507],
    ['::1', 65_527],
  ] as const) {
    test(`[EDGE-TRN-03] as large as ${address} carries come in and go out whole; more is a 503 at once`, async () => {
      const engine = await anEngine([udp(address)]);
      const app = await anApp(engine, 'message');
      const peer = await aUdpPeer(address);
      const bare = aRequest('MESSAGE', { callId: 'large', body: 'x'.repeat(10_000) });
      const body = 'x'.repeat(most - bare.length + 10_000);
      const whole = bare.replace(/Content-Length: .*\r\n\r\n[^]*/, `Content-Length: ${body.length}\r\n\r\n${body}`);
      expect(whole.length).toBe(most);
      await peer.send(whole, engine.listeners[0]!);
      const frame = await app.next((payload) => payload.includes('MESSAGE'));
      expect(frame.endsWith(`\r\n\r\n${body}`)).toBe(true);
      const hop = `sip:${address.includes(':') ? `[${address}]` : address}:${peer.port};transport=udp`;
      await send(app, hop, text('MESSAGE', 'sip:bob@pbx.test', 65_000));
      expect((await peer.next('MESSAGE')).endsWith('x'.repeat(65_000))).toBe(true);
      const { txn } = await send(app, hop, text('MESSAGE', 'sip:bob@pbx.test', 66_000));
      await answerTo(app, txn, 503);
      expect(engine.counters()).toMatchObject({ faults: 0, malformed: 0 });
    });
  }
});

describe('the source of a request', () => {
  for (const [address, bracketed] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '[::1]'],
  ] as const) {
    test(`[EDGE-TRN-04] [EDGE-RPT-01] stands in the top Via on ${address}`, async () => {
      const engine = await anEngine([udp(address)]);
      const app = await anApp(engine, 'options');
      void app.answerAll();
      const peer = await aUdpPeer(address);
      for (const [sentBy, received] of [
        ['phone.local:5060', true],
        ['10.0.0.7:5060', true],
        ['[2001:db8::7]', true],
        [`${bracketed}:5060`, false],
      ] as const) {
        await peer.send(aRequest('OPTIONS', { sentBy }), engine.listeners[0]!);
        const top = headerOf(await peer.next('SIP/2.0 200'), 'Via');
        expect(top).toContain(`;rport=${peer.port}`);
        expect(top.includes(`;received=${address}`), sentBy).toBe(received);
      }
    });

    test(`[EDGE-RPT-02] gets the answer, from the address and port it wrote to, on ${address}`, async () => {
      const listen = address === '::1' ? [udp(address), udp(address)] : [udp(), udp('127.0.0.2'), udp()];
      const engine = await anEngine(listen);
      void (await anApp(engine, 'options')).answerAll();
      const peer = await aUdpPeer(address);
      for (const at of engine.listeners) {
        await peer.send(aRequest('OPTIONS', { sentBy: '10.0.0.7:9' }), at);
        await peer.next('SIP/2.0 200');
        expect(peer.from).toBe(`${at.address}:${at.port}`);
      }
    });

    test(`[EDGE-RPT-03] is asked for by rport in what we send over UDP from ${address}`, async () => {
      const engine = await anEngine([udp(address)]);
      const app = await anApp(engine);
      const peer = await aUdpPeer(address);
      await send(app, `sip:${bracketed}:${peer.port}`, text('OPTIONS', 'sip:x@y'));
      expect(headerOf(await peer.next('OPTIONS'), 'Via')).toMatch(
        `SIP/2.0/UDP ${bracketed}:${engine.listeners[0]!.port};rport;branch=z9hG4bK`,
      );
    });
  }
});

describe('[EDGE-TRN-06] Content-Length on UDP', () => {
  test('[EDGE-TRN-06] cuts what is longer, refuses a shorter request with 400 and drops a shorter answer', async () => {
    const engine = await anEngine([udp()]);
    const app = await anApp(engine, 'message');
    const peer = await aUdpPeer();
    const long = aRequest('MESSAGE', { body: 'whole' });
    await peer.send(`${long}and more\r\n\r\nREGISTER`, engine.listeners[0]!);
    expect((await app.next((payload) => payload.includes('MESSAGE'))).endsWith('\r\n\r\nwhole')).toBe(true);
    await peer.send(aRequest('MESSAGE', { body: 'whole' }).slice(0, -2), engine.listeners[0]!);
    await peer.next('SIP/2.0 400');
    const { txn } = await send(app, `sip:127.0.0.1:${peer.port}`, text('OPTIONS', 'sip:x@y'));
    const asked = await peer.next('OPTIONS');
    const lines = ['Via', 'From', 'To', 'Call-ID', 'CSeq']
      .map((name) => `${name}: ${headerOf(asked, name)}\r\n`)
      .join('');
    await peer.send(`SIP/2.0 200 OK\r\n${lines}Content-Length: 9\r\n\r\nshort`, engine.listeners[0]!);
    await peer.send(`SIP/2.0 404 No\r\n${lines}Content-Length: 0\r\n\r\n`, engine.listeners[0]!);
    await answerTo(app, txn, 404);
    expect(engine.counters().malformed).toBe(2);
  });
});

describe('[EDGE-TRN-08] transport errors', () => {
  test('[EDGE-TRN-08] a refused connection, and no address to send to, count as 503', async () => {
    const engine = await anEngine([udp(), tcp()]);
    const app = await anApp(engine);
    const gone = await aSipPeer('tcp');
    await gone.close();
    const { txn } = await send(app, gone.nextHop, text('INVITE', 'sip:x@y'));
    expect((await answerTo(app, txn, 503)).split('|').slice(3, 7)).toEqual(['0', 'tcp', '', '0']);
    const none = await send(app, 'sip:nobody.invalid', text('INVITE', 'sip:x@y'));
    expect((await answerTo(app, none.txn, 503)).split('|')[4]).toBe('unknown');
  });
});

describe('[EDGE-TRN-10] [EDGE-TRN-11] forms and names of headers', () => {
  test('[EDGE-TRN-10] compact forms, odd case, folding and any order are read, and reach the app as they came', async () => {
    const engine = await anEngine([udp()]);
    const app = await anApp(engine, 'message');
    const peer = await aUdpPeer();
    const odd = [
      'MESSAGE sip:bob@edge.test SIP/2.0',
      'l: 2',
      'F: <sip:alice@edge.test>',
      '   ;tag=1',
      'cseq: 7',
      '\tMESSAGE',
      'I: odd@test',
      'mAX-fORWARDS: 70',
      't: <sip:bob@edge.test>',
      'c: text/plain',
      'v: SIP / 2.0 / UDP first.test;branch=z9hG4bKone, SIP/2.0/UDP second.test;branch=z9hG4bKtwo',
      '',
      'hi',
    ].join('\r\n');
    await peer.send(odd, engine.listeners[0]!);
    const frame = await app.next((payload) => payload.includes('MESSAGE'));
    expect(frame).toContain('F: <sip:alice@edge.test>\r\n   ;tag=1\r\n');
    app.send(`sip|${frame.split('|')[8]}|\r\nSIP/2.0 200 OK\r\n\r\n`);
    const answer = await peer.next('SIP/2.0 200');
    expect(headerOf(answer, 'CSeq')).toBe('7 MESSAGE');
    expect(answer).toContain('SIP/2.0/UDP second.test;branch=z9hG4bKtwo');
  });

  test('[EDGE-TRN-11] an unknown header passes both ways, and so does a method the app asked for', async () => {
    const engine = await anEngine([udp()]);
    const app = await anApp(engine, 'foo');
    const peer = await aUdpPeer();
    await peer.send(aRequest('FOO', { extra: 'X-Any: <a>;b="c, d"\r\n' }), engine.listeners[0]!);
    expect(await app.next((payload) => payload.includes('\r\nFOO '))).toContain('X-Any: <a>;b="c, d"\r\n');
    await send(app, `sip:127.0.0.1:${peer.port}`, text('FOO', 'sip:x@y', 0, 'x-any: <a>;b="c, d"\r\n'));
    expect(headerOf(await peer.next('FOO'), 'x-any')).toBe('<a>;b="c, d"');
  });
});

describe('[EDGE-OUT-05] keep-alives', () => {
  test('[EDGE-OUT-05] CRLF on UDP is taken without a word, STUN is answered with the address, both families', async () => {
    for (const address of ['127.0.0.1', '::1']) {
      const engine = await anEngine([udp(address), tcp(address)]);
      void (await anApp(engine, 'options')).answerAll();
      const peer = await aUdpPeer(address);
      const [at, stream] = [engine.listeners[0]!, engine.listeners[1]!];
      for (const noise of ['\r\n\r\n', '\r\n', '\0\0\0\0']) await peer.send(noise, at);
      const binding = Buffer.from('000100002112a4420102030405060708090a0b0c', 'hex');
      await peer.send(Buffer.concat([binding, Buffer.from('x')]), at);
      await peer.send(binding, at);
      const answer = Buffer.from(await peer.next('\u0001\u0001'), 'latin1');
      expect(answer.readUInt16BE(26) ^ 0x2112).toBe(peer.port);
      expect(answer[25]).toBe(address === '::1' ? 2 : 1);
      await peer.send(aRequest('OPTIONS'), at);
      await peer.next('SIP/2.0 200');
      expect(peer.messages).toEqual([]);
      expect(engine.counters()).toMatchObject({ malformed: 0, dropped: 2, faults: 0 });
      const phone = await aTcpPeer(stream);
      phone.send('\r\n\r\n');
      expect(await phone.next('\r\n')).toBe('\r\n');
    }
  });
});
