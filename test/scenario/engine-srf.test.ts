/** The engine with the real drachtio-srf on its control port and plain UDP peers on the other side. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import Srf from 'drachtio-srf';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';

let engine: Engine;
let srf: any;
let peer: Socket;
const inbox: string[] = [];
const waiting: (() => void)[] = [];

beforeEach(async () => {
  engine = await startEngine({
    listen: [{ transport: 'udp', address: '127.0.10.1', port: 0 }],
    control: { port: 0, secret: 'x' },
    timers: { t1Ms: 50, t2Ms: 400, t4Ms: 500 },
  });
  srf = new Srf();
  peer = createSocket('udp4');
  inbox.length = 0;
  peer.on('message', (octets) => {
    inbox.push(octets.toString('latin1'));
    for (const wake of waiting.splice(0)) wake();
  });
  peer.bind(0, '127.0.10.2');
  await once(peer, 'listening');
  for (const method of ['register', 'invite', 'options', 'message'])
    srf[method]((...args: any[]) => handlers[method]?.(...args));
  srf.connect({ host: '127.0.0.1', port: engine.controlPort, secret: 'x' });
  await once(srf, 'connect');
  // routes are asked for right after the connect; a ping-pong behind them proves they have been read
  await new Promise<void>((resolve) => {
    const probe = setInterval(() => {
      if (engine.counters().apps === 1) {
        clearInterval(probe);
        setImmediate(() => setImmediate(resolve));
      }
    }, 5);
  });
});

afterEach(async () => {
  srf.disconnect();
  peer.close();
  await engine.close();
});

let handlers: Record<string, any> = {};

function send(text: string): void {
  const at = engine.listeners[0]!;
  peer.send(Buffer.from(text, 'latin1'), at.port, at.address);
}

async function next(starts: string): Promise<string> {
  for (;;) {
    const at = inbox.findIndex((text) => text.startsWith(starts));
    if (at >= 0) return inbox.splice(at, 1)[0] as string;
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
  }
}

function header(text: string, name: string): string {
  return new RegExp(`^${name}: (.*)\r$`, 'im').exec(text)?.[1] ?? '';
}

const sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.10.2\r\ns=-\r\nc=IN IP4 127.0.10.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n';

function aRequest(
  method: string,
  options: { toTag?: string; seq?: number; branch?: string; uri?: string; body?: string } = {},
): string {
  const port = peer.address().port;
  const body = options.body ?? '';
  const type = body === '' ? '' : 'Content-Type: application/sdp\r\n';
  return (
    `${method} ${options.uri ?? 'sip:bob@edge.test'} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.10.2:${port};branch=${options.branch ?? `z9hG4bK${method}1`};rport\r\n` +
    `Max-Forwards: 70\r\nFrom: <sip:alice@edge.test>;tag=a1\r\nTo: <sip:bob@edge.test>${options.toTag ? `;tag=${options.toTag}` : ''}\r\nCall-ID: c1\r\n` +
    `CSeq: ${options.seq ?? 1} ${method}\r\nContact: <sip:alice@127.0.10.2:${port}>\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`
  );
}

function answerTo(request: string, status: string, tag: string, body = ''): string {
  const to = header(request, 'To');
  const type = body === '' ? '' : 'Content-Type: application/sdp\r\n';
  return (
    `SIP/2.0 ${status}\r\nVia: ${header(request, 'Via')}\r\nFrom: ${header(request, 'From')}\r\nTo: ${to.includes('tag=') ? to : `${to};tag=${tag}`}\r\n` +
    `Call-ID: ${header(request, 'Call-ID')}\r\nCSeq: ${header(request, 'CSeq')}\r\nContact: <sip:callee@127.0.10.2:${peer.address().port}>\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`
  );
}

test('a REGISTER is answered by the app', async () => {
  handlers = { register: (_req: any, res: any) => res.send(200, { headers: { Expires: '60' } }) };
  send(aRequest('REGISTER'));
  const answer = await next('SIP/2.0 200');
  expect(header(answer, 'Expires')).toBe('60');
  expect(header(answer, 'To')).toMatch(/;tag=/);
});

test('createUAS answers, the ACK arrives, BYE from the caller ends the dialog', async () => {
  const ended = new Promise((resolve) => {
    handlers = {
      invite: (req: any, res: any) =>
        srf
          .createUAS(req, res, { localSdp: sdp })
          .then((dialog: any) => dialog.on('destroy', () => resolve('destroyed'))),
    };
  });
  send(aRequest('INVITE', { body: sdp }));
  await next('SIP/2.0 100');
  const ok = await next('SIP/2.0 200');
  const toTag = /tag=(.*)/.exec(header(ok, 'To'))?.[1] as string;
  const uri = /<(.*)>/.exec(header(ok, 'Contact'))?.[1] as string;
  send(aRequest('ACK', { toTag, branch: 'z9hG4bKack', uri }));
  send(aRequest('BYE', { toTag, seq: 2, branch: 'z9hG4bKbye', uri }));
  await next('SIP/2.0 200');
  expect(await ended).toBe('destroyed');
  expect(engine.counters()).toMatchObject({ dialogs: 0, faults: 0, malformed: 0 });
});

test('createUAC calls, acknowledges and hangs up', async () => {
  const calling = srf.createUAC(`sip:bob@127.0.10.2:${peer.address().port}`, { localSdp: sdp });
  const invite = await next('INVITE');
  send(answerTo(invite, '180 Ringing', 'b1'));
  send(answerTo(invite, '200 OK', 'b1', sdp));
  const dialog = await calling;
  expect(dialog.remote.sdp).toBe(sdp);
  const ack = await next('ACK');
  expect(header(ack, 'CSeq')).toBe(header(invite, 'CSeq').replace('INVITE', 'ACK'));
  const bye = dialog.destroy();
  send(answerTo(await next('BYE'), '200 OK', 'b1'));
  await bye;
  expect(engine.counters().dialogs).toBe(0);
});

test('a CANCEL during the hold gets 200 and 487, and the app hears of it', async () => {
  const cancelled = new Promise((resolve) => {
    handlers = { invite: (req: any) => req.on('cancel', () => resolve('cancelled')) };
  });
  send(aRequest('INVITE', { body: sdp }));
  await next('SIP/2.0 100');
  send(aRequest('CANCEL', { branch: 'z9hG4bKINVITE1' }));
  await next('SIP/2.0 200');
  const terminated = await next('SIP/2.0 487');
  expect(await cancelled).toBe('cancelled');
  send(aRequest('ACK', { toTag: /tag=(.*)/.exec(header(terminated, 'To'))?.[1] as string, branch: 'z9hG4bKINVITE1' }));
});

test('createB2BUA bridges a call both ways', async () => {
  const bridged = new Promise<any>((resolve, reject) => {
    handlers = {
      invite: (req: any, res: any) =>
        srf.createB2BUA(req, res, `sip:callee@127.0.10.2:${peer.address().port}`, {}).then(resolve, reject),
    };
  });
  send(aRequest('INVITE', { body: sdp }));
  const leg = await next('INVITE sip:callee');
  send(answerTo(leg, '200 OK', 'b2', sdp));
  const ok = await next('SIP/2.0 200');
  const toTag = /tag=(.*)/.exec(header(ok, 'To'))?.[1] as string;
  await next('ACK sip:callee');
  send(aRequest('ACK', { toTag, branch: 'z9hG4bKack' }));
  const { uas, uac } = await bridged;
  expect(uas.connected && uac.connected).toBe(true);
  await Promise.all([
    uas.destroy(),
    uac.destroy(),
    next('BYE sip:callee').then((bye) => send(answerTo(bye, '200 OK', ''))),
    next('BYE sip:alice').then((bye) => send(answerTo(bye, '200 OK', ''))),
  ]);
});

test('a request of the app is answered, and a challenge is met by srf', async () => {
  const answered = new Promise<number>((resolve) => {
    srf.request(
      `sip:127.0.10.2:${peer.address().port}`,
      {
        method: 'REGISTER',
        auth: { username: 'u', password: 'p' },
        headers: { From: '<sip:u@edge.test>', To: '<sip:u@edge.test>' },
      },
      (_error: unknown, req: any) => req.on('response', (res: any) => resolve(res.status)),
    );
  });
  const first = await next('REGISTER');
  send(answerTo(first, '401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="n"', 'r1'));
  const second = await next('REGISTER');
  expect(header(second, 'Authorization')).toContain('username="u"');
  expect(header(second, 'Call-ID')).toBe(header(first, 'Call-ID'));
  send(answerTo(second, '200 OK', 'r1'));
  expect(await answered).toBe(200);
});

test('[EDGE-TXN-07] a second phone that answers is acknowledged and hung up; the first call stays', async () => {
  const calling = srf.createUAC(`sip:bob@127.0.10.2:${peer.address().port}`, { localSdp: sdp });
  const invite = await next('INVITE');
  send(answerTo(invite, '200 OK', 'first', sdp));
  const dialog = await calling;
  await next('ACK');
  send(answerTo(invite, '200 OK', 'second', sdp));
  const ack = await next('ACK');
  const bye = await next('BYE');
  for (const text of [ack, bye]) expect(header(text, 'To')).toContain(';tag=second');
  send(answerTo(bye, '200 OK', ''));
  expect(dialog.connected).toBe(true);
  const ending = dialog.destroy();
  const last = await next('BYE');
  expect(header(last, 'To')).toContain(';tag=first');
  send(answerTo(last, '200 OK', ''));
  await ending;
});

test('a refused re-INVITE is acknowledged once, by the transaction', async () => {
  const calling = srf.createUAC(`sip:bob@127.0.10.2:${peer.address().port}`, { localSdp: sdp });
  send(answerTo(await next('INVITE'), '200 OK', 'b1', sdp));
  const dialog = await calling;
  await next('ACK');
  const changing = dialog.modify(sdp).catch((error: any) => error.status);
  const again = await next('INVITE');
  send(answerTo(again, '488 Not Acceptable Here', 'b1'));
  expect(await changing).toBe(488);
  const ack = await next('ACK');
  expect(header(ack, 'Via')).toBe(header(again, 'Via'));
  const ending = dialog.destroy();
  send(answerTo(await next('BYE'), '200 OK', 'b1'));
  await ending;
  expect(inbox.filter((text) => text.startsWith('ACK') && text !== ack)).toEqual([]);
});

test('a BYE before the answer ends the INVITE with 487', async () => {
  handlers = { invite: (_req: any, res: any) => res.send(180) };
  send(aRequest('INVITE', { body: sdp }));
  const ringing = await next('SIP/2.0 180');
  const toTag = /tag=(.*)/.exec(header(ringing, 'To'))?.[1] as string;
  send(aRequest('BYE', { toTag, seq: 2, branch: 'z9hG4bKbye' }));
  const terminated = await next('SIP/2.0 487');
  expect(header(terminated, 'CSeq')).toBe('1 INVITE');
  send(aRequest('ACK', { toTag, branch: 'z9hG4bKINVITE1' }));
});

test('a callee that forks: each reliable provisional gets its own PRACK, the one who answers is the call', async () => {
  const calling = srf.createUAC(`sip:bob@127.0.10.2:${peer.address().port}`, {
    localSdp: sdp,
    headers: { Supported: '100rel' },
  });
  const invite = await next('INVITE');
  for (const tag of ['one', 'two']) {
    send(answerTo(invite, '183 Session Progress\r\nRequire: 100rel\r\nRSeq: 9', tag, sdp));
    const prack = await next('PRACK');
    expect(header(prack, 'To')).toContain(`;tag=${tag}`);
    expect(header(prack, 'RAck')).toBe(`9 ${header(invite, 'CSeq')}`);
    send(answerTo(prack, '200 OK', tag));
  }
  send(answerTo(invite, '200 OK', 'two', sdp));
  const dialog = await calling;
  expect(header(await next('ACK'), 'To')).toContain(';tag=two');
  expect(
    srf.findDialogByCallIDAndFromTag(header(invite, 'Call-ID'), /tag=(.*)/.exec(header(invite, 'From'))?.[1]),
  ).toBe(dialog);
  const ending = dialog.destroy();
  const bye = await next('BYE');
  expect(header(bye, 'To')).toContain(';tag=two');
  send(answerTo(bye, '200 OK', ''));
  await ending;
});

test('a reliable 183 is repeated until its PRACK, and the 200 behind it waits', async () => {
  const dialogs: any[] = [];
  handlers = {
    invite: (req: any, res: any) => {
      res.send(183, { body: sdp, headers: { Require: '100rel' } });
      srf.createUAS(req, res, { localSdp: sdp }).then((dialog: any) => dialogs.push(dialog));
    },
  };
  const invite = aRequest('INVITE', { body: sdp }).replace('Max-Forwards', 'Supported: 100rel\r\nMax-Forwards');
  send(invite);
  const first = await next('SIP/2.0 183');
  const copy = await next('SIP/2.0 183');
  expect(copy).toBe(first);
  const toTag = /tag=(.*)/.exec(header(first, 'To'))?.[1] as string;
  const rack = (rseq: number): string => `RAck: ${rseq} 1 INVITE\r\nMax-Forwards`;
  const prack = (seq: number, rseq: number): string =>
    aRequest('PRACK', { toTag, seq, branch: `z9hG4bKp${seq}` }).replace('Max-Forwards', rack(rseq));
  const rseq = Number(header(first, 'RSeq'));
  send(prack(2, rseq + 1));
  await next('SIP/2.0 481');
  expect(inbox.some((text) => text.startsWith('SIP/2.0 200'))).toBe(false);
  send(prack(3, rseq));
  // the 200 to the INVITE is repeated until the ACK below
  const answered = new Set<string>();
  while (answered.size < 2) answered.add(header(await next('SIP/2.0 200'), 'CSeq'));
  expect([...answered].toSorted()).toEqual(['1 INVITE', '3 PRACK']);
  send(aRequest('ACK', { toTag, branch: 'z9hG4bKack' }));
  send(aRequest('BYE', { toTag, seq: 4, branch: 'z9hG4bKbye' }));
  while (header(await next('SIP/2.0 200'), 'CSeq') !== '4 BYE');
  expect(engine.counters()).toMatchObject({ dialogs: 0, faults: 0, inDialogRefused: 1 });
});

test('a reliable 183 without PRACK ends the INVITE with 504 after 64 T1', async () => {
  handlers = { invite: (_req: any, res: any) => res.send(183, { body: sdp, headers: { Require: '100rel' } }) };
  send(aRequest('INVITE', { body: sdp }).replace('Max-Forwards', 'Supported: 100rel\r\nMax-Forwards'));
  const rung = await next('SIP/2.0 183');
  const refused = await next('SIP/2.0 504');
  expect(header(refused, 'CSeq')).toBe('1 INVITE');
  // 50, 150, 350, 750, 1550 and, when the clock is fine enough, 3150 ms after the first
  expect([5, 6]).toContain(inbox.filter((text) => text === rung).length);
  send(aRequest('ACK', { toTag: /tag=(.*)/.exec(header(refused, 'To'))?.[1] as string, branch: 'z9hG4bKINVITE1' }));
  expect(engine.counters().dialogs).toBe(0);
});

test('UPDATE before the answer reaches the app and is answered with a description', async () => {
  handlers = {
    invite: (req: any, res: any) => {
      req.on('update', (_update: any, answer: any) => answer.send(200, { body: sdp }));
      res.send(180);
    },
  };
  send(aRequest('INVITE', { body: sdp }));
  const toTag = /tag=(.*)/.exec(header(await next('SIP/2.0 180'), 'To'))?.[1] as string;
  send(aRequest('UPDATE', { toTag, seq: 2, branch: 'z9hG4bKup', body: sdp }));
  const ok = await next('SIP/2.0 200');
  expect([header(ok, 'CSeq'), ok.endsWith(sdp)]).toEqual(['2 UPDATE', true]);
  expect(header(ok, 'Contact')).toContain('127.0.10.1');
  send(aRequest('CANCEL', { branch: 'z9hG4bKINVITE1' }));
  await next('SIP/2.0 487');
  send(aRequest('ACK', { toTag, branch: 'z9hG4bKINVITE1' }));
});
