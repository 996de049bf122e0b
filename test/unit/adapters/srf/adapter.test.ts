/** The adapter against an engine played by hand: what a real engine does seldom, late, wrongly or never. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectSrf, routedMethods, type SrfEdge, type SrfOptions } from '../../../../lib/adapters/srf/connect.ts';
import type { Dialog } from '../../../../lib/ports/dialog.ts';
import type { LegEvents } from '../../../../lib/ports/leg.ts';
import type { InviteTransaction, ServerTransaction } from '../../../../lib/ports/server-transaction.ts';
import { Headers } from '../../../../lib/sip/headers.ts';
import type { SipResponse } from '../../../../lib/sip/message.ts';
import { FakeControl } from '../../../support/fake-control.ts';
import { MovedClock } from '../../../support/moved-clock.ts';

let control: FakeControl;
let clock: MovedClock;
let edge: SrfEdge;
let requests: (ServerTransaction | InviteTransaction)[] = [];
let downs = 0;
let ups = 0;

async function connect(options: Partial<SrfOptions> = {}): Promise<SrfEdge> {
  return connectSrf({
    host: '127.0.20.1',
    port: control.port,
    secret: 'x',
    engineId: 'engine-1',
    clock,
    onRequest: (transaction) => requests.push(transaction),
    onDown: () => downs++,
    onUp: () => ups++,
    ...options,
  });
}

beforeEach(async () => {
  requests = [];
  downs = 0;
  ups = 0;
  clock = new MovedClock();
  control = await FakeControl.open();
  edge = await connect();
});

afterEach(async () => {
  await edge.close();
  await control.close();
});

const head = (method: string, more = ''): string =>
  `${method} sip:bob@edge.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.20.9:5070;branch=z9hG4bKa\r\nFrom: <sip:alice@edge.test>;tag=a1\r\n` +
  `To: <sip:bob@edge.test>\r\nCall-ID: c1\r\nCSeq: 1 ${method}\r\n${more}\r\n`;

const answer = (status: number, more = '', method = 'INVITE'): string =>
  `SIP/2.0 ${status} X\r\nFrom: <sip:edge@edge.test>;tag=ours\r\nTo: <sip:bob@edge.test>;tag=theirs\r\nCall-ID: leg-1\r\nCSeq: 7 ${method}\r\n${more}\r\n`;

const until = (true_: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(true_()).toBe(true), { interval: 1, timeout: 5000 });

async function incoming(text: string, txn = 't1'): Promise<ServerTransaction> {
  const before = requests.length;
  control.request(txn, text);
  await until(() => requests.length > before);
  return requests.at(-1) as ServerTransaction;
}

const invited = async (more = '', txn = 't1'): Promise<InviteTransaction> =>
  (await incoming(head('INVITE', more), txn)) as InviteTransaction;

/** Records what a leg tells. */
function recorder(): LegEvents & {
  readonly log: string[];
  dialog?: Dialog;
  ack?: (content?: { headers: Headers; body: string }) => void;
  last?: SipResponse;
} {
  const log: string[] = [];
  const seen: ReturnType<typeof recorder> = {
    log,
    progress: (response, reliable) => log.push(`${response.status}${reliable ? ' reliable' : ''}`),
    answered: (response, dialog, ack) => {
      log.push(`${response.status} answered`);
      Object.assign(seen, { dialog, ack, last: response });
    },
    failed: (response, local) => {
      log.push(`${response.status} failed${local ? ' locally' : ''}`);
      seen.last = response;
    },
  };
  return seen;
}

const aLeg = {
  uri: 'sip:x@127.0.20.9:5060',
  nextHop: 'sip:127.0.20.9:5060;transport=udp',
  headers: Headers.of([['From', '<sip:a@b>']]),
  body: '',
};
const aRequest = {
  method: 'MESSAGE',
  uri: 'sip:x@y',
  nextHop: 'sip:127.0.20.9:5060;transport=udp',
  headers: Headers.empty(),
  body: '',
  timeoutMs: 5000,
};

// ---- connection ----

test('routes every method once, before anything else', async () => {
  await until(() => control.routes.length === routedMethods.length);
  expect(control.routes).toEqual(routedMethods.map((method) => method.toLowerCase()));
  expect(edge.hostports).toEqual(['tcp/127.0.20.1:5060', 'udp/127.0.20.1:5060']);
});

test('a wrong secret is told with address and port', async () => {
  const troubles: string[] = [];
  const refused = connect({ secret: 'wrong', onTrouble: (what) => troubles.push(what) });
  const told = expect(refused).rejects.toThrow(/127\.0\.20\.1:\d+ did not accept us \(it does not know our secret/);
  await until(() => troubles.length > 0);
  clock.move(10_000);
  await told;
});

test('a wrong secret is tried less and less often, and told once', async () => {
  const strict = await FakeControl.open({ secret: 'x' });
  const troubles: unknown[] = [];
  const began = performance.now();
  const refused = connectSrf({
    host: '127.0.20.1',
    port: strict.port,
    secret: 'wrong',
    engineId: 'e',
    clock,
    onRequest: () => {},
    onTrouble: (_, why) => troubles.push(why),
  }).catch(() => undefined);
  await vi.waitFor(() => expect(strict.connections).toBe(4), { timeout: 10_000 });
  // 250, 425 and 722 ms
  expect(performance.now() - began).toBeGreaterThan(1390);
  expect(troubles).toEqual(['it does not know our secret']);
  clock.move(10_000);
  await refused;
  await strict.close();
});

test('an engine that closes at once is told once', async () => {
  const busy = createServer((socket) => socket.destroy()).listen(0, '127.0.20.1');
  await once(busy, 'listening');
  const troubles: unknown[] = [];
  let count = 0;
  busy.on('connection', () => count++);
  const failed = connectSrf({
    host: '127.0.20.1',
    port: (busy.address() as AddressInfo).port,
    secret: 'x',
    engineId: 'e',
    clock,
    onRequest: () => {},
    onTrouble: (_, why) => troubles.push(why),
  }).catch(() => undefined);
  await vi.waitFor(() => expect(count).toBe(3), { timeout: 10_000 });
  expect(troubles).toHaveLength(1);
  clock.move(10_000);
  await failed;
  busy.close();
});

test('an engine that is not there is told, and nothing goes on trying', async () => {
  const gone = await FakeControl.open();
  const { port } = gone;
  await gone.close();
  const troubles: unknown[] = [];
  const refused = connect({ port, onTrouble: (what, cause) => troubles.push(`${what} ${String(cause)}`) });
  const told = expect(refused).rejects.toMatchObject({ code: 'EDGE_ENGINE_UNAVAILABLE' });
  await until(() => troubles.length > 0);
  clock.move(10_000);
  await told;
  expect(troubles[0]).toMatch(/connect-failed .*ECONNREFUSED/);
});

test('the engine dies: everything open hears it once, and the edge comes back by itself', async () => {
  const invite = await invited();
  const events = recorder();
  edge.legs.start(aLeg, events);
  const legFrame = await control.next();
  control.sentRequest(legFrame, 'leg-txn');
  const held = edge.client.send(aRequest);
  control.sentRequest(await control.next(), 'client-txn');
  const unsent = invite.respond({ status: 486 });
  await control.next();
  const dialog = await aDialog();
  const ends: string[] = [];
  dialog.onEnd((why) => ends.push(why));
  const asked = dialog.request({ method: 'INFO', headers: Headers.empty(), body: '' });
  await control.next();

  await control.cut();
  expect(await unsent).toBe('gone');
  expect(await held).toMatchObject({ local: true, response: { status: 503 } });
  expect(await asked).toMatchObject({ local: true, response: { status: 503 } });
  expect(events.log).toEqual(['503 failed locally']);
  expect(ends).toEqual(['control connection lost']);
  expect(downs).toBe(1);
  expect(await invite.respond({ status: 486 })).toBe('gone');
  expect(await dialog.request({ method: 'INFO', headers: Headers.empty(), body: '' })).toMatchObject({
    local: true,
    response: { status: 481 },
  });
  expect(await edge.client.send(aRequest)).toMatchObject({ local: true, response: { status: 503 } });
  const late = recorder();
  edge.legs.start(aLeg, late);
  expect(late.log).toEqual([]); // never before start has returned
  await until(() => late.log.length > 0);
  expect(late.log).toEqual(['503 failed locally']);

  await until(() => ups === 1);
  expect(edge.open()).toEqual({ invites: 0, dialogs: 0, requests: 0 });
  const again = edge.client.send(aRequest);
  control.sentRequest(await control.next(), 'client-2');
  control.response('client-2', answer(200, '', 'MESSAGE'));
  expect(await again).toMatchObject({ local: false, response: { status: 200 } });
});

test('whoever holds an INVITE hears when nobody can be answered any more: link lost, no PRACK, answered by the engine', async () => {
  const told: string[] = [];
  const held = async (name: string, more = ''): Promise<InviteTransaction> => {
    const invite = await invited(more, name);
    invite.onCancel(() => told.push(name));
    return invite;
  };
  const forked = await held('forked');
  const outcome = forked.respond({ status: 180 });
  control.reply((await control.next()).id, 'NOK|dialog already exists, rejecting this request');
  expect(await outcome).toBe('gone');
  expect(told).toEqual(['forked']);

  void (await held('unacknowledged', 'Require: 100rel\r\n')).respond({ status: 183 });
  control.sentResponse(await control.next(), 'early-1');
  await held('parked');
  clock.move(32_000);
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 504 /);
  expect(told).toEqual(['forked', 'unacknowledged']);
  clock.move(10_000);
  control.reply((await control.next()).id, 'NOK|Response not sent due to unknown transaction');
  await until(() => told.includes('parked'));

  void (await held('refused')).respond({ status: 486 });
  await held('ringing');
  await control.cut();
  await until(() => downs === 1);
  expect(told).toEqual(['forked', 'unacknowledged', 'parked', 'ringing']);
  expect(edge.open().invites).toBe(0);
});

test('callers that an engine has kept through a loss of the link are answered as soon as it stands again', async () => {
  await invited('', 'waits');
  void (await invited('', 'answered')).respond({ status: 486 });
  await control.next();
  await control.cut();
  await until(() => ups === 1);
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'waits', ''],
    text: expect.stringMatching(/^SIP\/2\.0 503 .*\r\nRetry-After: /),
  });
  expect(control.waiting).toEqual([]);
});

test('rubbish on the control link ends the connection, not the process', async () => {
  control.raw('this is not a frame');
  await until(() => downs === 1);
  await until(() => ups === 1);
});

test('frames that cannot be understood are dropped and counted, or answered 400', async () => {
  control.send('sip');
  control.send('sip|network|1');
  control.send('response|nobody|OK');
  control.send('unheard-of|1|2');
  control.request('bad', 'INVITE sip:bob@edge.test SIP/2.0\r\nbro ken\r\n\r\n');
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'bad', ''],
    text: expect.stringMatching(/^SIP\/2\.0 400 /),
  });
  control.request('ack', 'ACK sip:bob@edge.test SIP/2.0\r\nbro ken\r\n\r\n');
  expect(edge.counts.malformed).toBeGreaterThan(0);
  await incoming(head('OPTIONS'));
  expect(control.waiting).toEqual([]);
});

// ---- server transactions ----

test('a request is read as received, with its flow', async () => {
  const transaction = await incoming(head('MESSAGE', 'Subject: a\r\nsubject: b\r\nX-Odd:  c \r\n') + 'hello');
  expect([...transaction.request.headers.entries()].slice(-3).map(([name, value]) => `${name}=${value}`)).toEqual([
    'Subject=a',
    'Subject=b',
    'X-Odd=c',
  ]);
  expect(transaction.request.body).toBe('hello');
  expect(transaction.flow).toEqual({ transport: 'udp', address: '127.0.20.9', port: 5070, engine: 'engine-1' });
  expect(transaction.receivedOn).toBe('127.0.20.1:5060');
});

test('UTF-8 in the head is text, a body stays octets', async () => {
  const octets = Buffer.from(Uint8Array.from({ length: 256 }, (_, n) => n)).toString('latin1');
  const utf8 = Buffer.from('Subject: Grüße ☎\r\n').toString('latin1');
  const transaction = await incoming(head('MESSAGE', utf8) + octets);
  expect(transaction.request.headers.get('subject')).toBe('Grüße ☎');
  expect(transaction.request.body).toBe(octets);
  const done = transaction.respond({
    status: 200,
    headers: Headers.of([
      ['Subject', 'Grüße ☎'],
      ['Content-Type', 'a/b'],
    ]),
    body: octets,
  });
  const sent = await control.next();
  expect(sent.text).toContain(utf8);
  expect(sent.text.endsWith(`Content-Length: 256\r\n\r\n${octets}`)).toBe(true);
  control.sentResponse(sent);
  expect(await done).toBe('sent');
});

test('answers any status, once', async () => {
  const transaction = await incoming(head('OPTIONS'));
  const done = transaction.respond({
    status: 555,
    headers: Headers.of([
      ['Feature-Caps', 'a'],
      ['Feature-Caps', 'b'],
    ]),
  });
  const sent = await control.next();
  expect(sent.fields).toEqual(['sip', 't1', '']);
  expect(sent.text).toBe(
    'SIP/2.0 555 Push Notification Service Not Supported\r\nFeature-Caps: a\r\nFeature-Caps: b\r\nContent-Length: 0\r\n\r\n',
  );
  expect(await transaction.respond({ status: 200 })).toBe('gone');
  control.reply(sent.id, 'NOK|Response not sent due to unknown transaction');
  expect(await done).toBe('gone');
  expect(control.waiting).toEqual([]);
});

test('an answer too long for drachtio becomes 513 instead of making it deaf', async () => {
  const transaction = await incoming(head('OPTIONS'));
  void transaction.respond({ status: 200, body: 'x'.repeat(12_200) });
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 513 /);
  const invite = await invited('', 't2');
  const accepted = invite.accept({ status: 200, body: 'v=0'.repeat(5000) });
  const refusal = await control.next();
  expect(refusal.text).toMatch(/^SIP\/2\.0 513 /);
  control.sentResponse(refusal);
  expect(await accepted).toBeUndefined();
  expect(await edge.client.send({ ...aRequest, body: 'x'.repeat(12_200) })).toMatchObject({
    local: true,
    response: { status: 513 },
  });
});

test('a Call-ID or tag that would name another dialog is refused', async () => {
  for (const [n, text] of [
    head('INVITE').replace('Call-ID: c1', 'Call-ID: victim;from-tag=v|'),
    head('INVITE').replace('tag=a1', 'tag=a|1'),
    head('INVITE').replace('Call-ID: c1', 'Call-ID: c\n1'),
    head('INVITE').replace('Call-ID: c1\r\n', ''),
  ].entries()) {
    control.request(`evil${n}`, text);
    expect(await control.next()).toMatchObject({
      fields: ['sip', `evil${n}`, ''],
      text: expect.stringMatching(/^SIP\/2\.0 400 /),
    });
  }
  expect(requests).toEqual([]);
});

// ---- INVITE ----

async function aDialog(more = ''): Promise<Dialog> {
  const invite = await invited(more, 'inv');
  const accepted = invite.accept({ status: 200, body: 'v=0\r\n' });
  const sent = await control.next();
  control.sentResponse(sent, 'c1;from-tag=a1', sent.text.replace('\r\n', '\r\nTo: <sip:bob@edge.test>;tag=b1\r\n'));
  return (await accepted) as Dialog;
}

test('accept opens a dialog with its names', async () => {
  expect(await aDialog()).toMatchObject({ callId: 'c1', localTag: 'b1', remoteTag: 'a1' });
  expect(edge.open()).toMatchObject({ invites: 0, dialogs: 1 });
});

test('what comes in the same chunk as the news of the 200 is kept for the listener', async () => {
  const invite = await invited();
  const accepted = invite.accept({ status: 200 });
  const sent = await control.next();
  control.sentResponse(sent, 'd1', sent.text.replace('\r\n', '\r\nTo: <sip:b@c>;tag=b1\r\n'));
  control.inDialog('t1', 'd1', head('ACK') + 'late answer');
  control.inDialog('t9', 'd1', head('BYE'));
  control.unsolicited('d1', head('BYE', 'Reason: SIP;cause=200;text="ACK timeout"\r\n'));
  const dialog = (await accepted) as Dialog;
  await until(() => edge.open().dialogs === 0);
  const heard: string[] = [];
  dialog.onAck((ack) => heard.push(`ack ${ack.body}`));
  dialog.onRequest((transaction) => heard.push(transaction.request.method));
  dialog.onEnd((why) => heard.push(why));
  expect(heard).toEqual(['ack late answer', 'BYE', 'SIP;cause=200;text="ACK timeout"']);
});

test('a CANCEL ends its own INVITE, though two share a Call-ID (a PBX that forks)', async () => {
  const one = await invited('', 'fork-1');
  const two = await invited('', 'fork-2');
  const cancelled: string[] = [];
  one.onCancel(() => cancelled.push('one'));
  two.onCancel((cancel) => cancelled.push(`two ${cancel.headers.get('reason')}`));
  control.request('fork-2', head('CANCEL', 'Reason: SIP;cause=200\r\n'));
  await until(() => cancelled.length > 0);
  control.request('fork-1', head('CANCEL'));
  await until(() => cancelled.length > 1);
  expect(cancelled).toEqual(['two SIP;cause=200', 'one']);
  expect(await one.respond({ status: 200 })).toBe('gone');
  expect(await two.accept({ status: 200 })).toBeUndefined();
  expect(control.waiting).toEqual([]);
  expect(edge.open().invites).toBe(0);
});

test('a CANCEL that came before anybody listened is told at once, and told once', async () => {
  const invite = await invited();
  control.request('t1', head('CANCEL'));
  await until(() => edge.open().invites === 0);
  let told = 0;
  invite.onCancel(() => told++);
  expect(told).toBe(1);
  control.request('t1', head('CANCEL'));
  await incoming(head('OPTIONS'), 't5');
  expect(told).toBe(1);
});

test('a held INVITE is lifted over the limit of the engine by one 100, an answered one is not', async () => {
  await invited('', 'held');
  clock.move(20_000);
  const young = await invited('', 'young');
  const answered = await invited('', 'answered');
  void answered.respond({ status: 180 });
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 180 /);
  expect(control.waiting).toEqual([]);
  clock.move(20_000); // 40 s after the first
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'held', ''],
    text: expect.stringMatching(/^SIP\/2\.0 100 Trying/),
  });
  clock.move(20_000);
  expect(await control.next()).toMatchObject({ fields: ['sip', 'young', ''] });
  clock.move(120_000);
  void young.respond({ status: 480 });
  expect(await control.next()).toMatchObject({ text: expect.stringMatching(/^SIP\/2\.0 480 /) });
});

test('no timer is left when no INVITE is', async () => {
  const invite = await invited();
  expect(clock.waiting).toBe(1);
  void invite.respond({ status: 486 });
  expect(clock.waiting).toBe(0);
});

test('provisionals go reliably only to a caller who requires it, and a 2xx waits for the PRACK', async () => {
  const plain = await invited('Supported: 100rel\r\n', 'plain');
  void plain.respond({ status: 183, headers: Headers.of([['Require', '100rel']]), body: 'v=0' });
  expect((await control.next()).text).not.toMatch(/Require/i);

  const invite = await invited('Require: timer, 100rel\r\n', 'rel');
  void invite.respond({ status: 183, body: 'v=0' });
  const first = await control.next();
  expect(first.text).toContain('\r\nRequire: 100rel\r\n');
  control.sentResponse(first, 'early-1', first.text);
  const second = invite.respond({ status: 180 });
  const accepted = invite.accept({ status: 200 });
  await incoming(head('OPTIONS'), 'o1');
  expect(control.waiting).toEqual([]);

  control.inDialog('p1', 'early-1', head('PRACK', 'RAck: 1 1 INVITE\r\n'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 200 /);
  const ringing = await control.next();
  expect(ringing.text).toMatch(/^SIP\/2\.0 180 /);
  control.sentResponse(ringing, 'early-1');
  expect(await second).toBe('sent');
  control.inDialog('p2', 'early-1', head('PRACK', 'RAck: 2 1 INVITE\r\n'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 200 /);
  const ok = await control.next();
  expect(ok.text).toMatch(/^SIP\/2\.0 200 /);
  control.sentResponse(ok, 'early-1', ok.text.replace('\r\n', '\r\nTo: <sip:b@c>;tag=b1\r\n'));
  expect(await accepted).toMatchObject({ localTag: 'b1' });
});

test('a reliable provisional nobody acknowledges ends the INVITE', async () => {
  const invite = await invited('Require: 100rel\r\n');
  void invite.respond({ status: 183 });
  control.sentResponse(await control.next(), 'early-1');
  const accepted = invite.accept({ status: 200 });
  clock.move(32_000);
  expect((await nextBut100()).text).toMatch(/^SIP\/2\.0 504 /);
  expect(await accepted).toBeUndefined();
});

async function nextBut100() {
  for (;;) {
    const found = await control.next();
    if (!found.text.startsWith('SIP/2.0 100')) return found;
  }
}

test('inside an early dialog: BYE is a cancel, an UPDATE with an offer may come again, the rest of the world gets 481', async () => {
  const invite = await invited();
  void invite.respond({ status: 183 });
  control.sentResponse(await control.next(), 'early-1');
  let cancelled = '';
  invite.onCancel((request) => (cancelled = request.method));
  control.inDialog('u1', 'early-1', `${head('UPDATE', 'Content-Type: application/sdp\r\n')}v=0`);
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 500 .*\r\nRetry-After: 5/);
  control.inDialog('u2', 'early-1', head('UPDATE'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 200 /);
  control.inDialog('u3', 'unknown', head('INFO'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 481 /);
  control.inDialog('u4', 'unknown', head('PRACK'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 481 /);
  control.inDialog('b1', 'early-1', head('BYE'));
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'b1', ''],
    text: expect.stringMatching(/^SIP\/2\.0 200 /),
  });
  expect(await control.next()).toMatchObject({
    fields: ['sip', 't1', ''],
    text: expect.stringMatching(/^SIP\/2\.0 487 /),
  });
  expect(cancelled).toBe('BYE');
  control.inDialog('u5', 'early-1', head('INFO'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 481 /);
});

test('a re-INVITE is an INVITE transaction of its dialog', async () => {
  const dialog = await aDialog();
  const got: ServerTransaction[] = [];
  dialog.onRequest((transaction) => got.push(transaction));
  control.inDialog('re1', 'c1;from-tag=a1', `${head('INVITE')}v=0`);
  await until(() => got.length === 1);
  const accepted = (got[0] as InviteTransaction).accept({ status: 200, body: 'v=0' });
  control.sentResponse(await control.next(), 'c1;from-tag=a1');
  expect(await accepted).toBe(dialog);
  clock.move(100_000);
  expect(control.waiting).toEqual([]);
});

test('after close a dialog is nobody', async () => {
  const dialog = await aDialog();
  dialog.close();
  control.inDialog('x', 'c1;from-tag=a1', head('INFO'));
  expect((await control.next()).text).toMatch(/^SIP\/2\.0 481 /);
  expect(await dialog.request({ method: 'INFO', headers: Headers.empty(), body: '' })).toMatchObject({
    local: true,
    response: { status: 481 },
  });
});

// ---- requests of ours ----

test('inside a dialog: the engine fills in the target; its refusal is a local answer', async () => {
  const dialog = await aDialog();
  const info = dialog.request({ method: 'INFO', headers: Headers.of([['X-A', '1']]), body: 'dtmf' });
  const sent = await control.next();
  expect(sent.fields).toEqual(['sip', '', 'c1;from-tag=a1']);
  expect(sent.text).toBe(
    'INFO sip:placeholder SIP/2.0\r\nX-A: 1\r\nContent-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\ndtmf',
  );
  control.sentRequest(sent, 'i1');
  control.response('i1', answer(200, '', 'INFO'), { dialogId: 'c1;from-tag=a1' });
  expect(await info).toMatchObject({ local: false, response: { status: 200 } });

  const late = dialog.request({ method: 'BYE', headers: Headers.empty(), body: '' });
  control.reply((await control.next()).id, 'NOK|Server error: unable to find dialog for dialog id provided');
  expect(await late).toMatchObject({ local: true, response: { status: 481 } });
  expect(edge.counts.refused).toBe(1);
  expect(await dialog.request({ method: 'NOT OK', headers: Headers.empty(), body: '' })).toMatchObject({
    local: true,
    response: { status: 400 },
  });
});

test('a re-INVITE of ours: ACK once, with the answer to a late offer; CANCEL when it is taken back', async () => {
  const dialog = await aDialog();
  const abort = new AbortController();
  const change = dialog.request({
    method: 'INVITE',
    headers: Headers.empty(),
    body: '',
    cancel: abort.signal,
    cancelHeaders: () => Headers.of([['Reason', 'SIP;cause=487']]),
  });
  const sent = await control.next();
  abort.abort(); // before the engine has said that it is sent
  control.sentRequest(sent, 're');
  const cancel = await control.next();
  expect(cancel.fields).toEqual(['sip', 're', '']);
  expect(cancel.text).toMatch(/^CANCEL sip:placeholder SIP\/2\.0\r\nReason: SIP;cause=487\r\n/);
  control.response('re', answer(180), { dialogId: 'd' });
  control.response('re', answer(200), { dialogId: 'd' });
  const { ack } = await change;
  ack?.({ headers: Headers.of([['Content-Type', 'application/sdp']]), body: 'v=0\r\n' });
  ack?.();
  expect(await control.next()).toMatchObject({
    fields: ['sip', '', 'c1;from-tag=a1'],
    text: expect.stringMatching(/^ACK [^]*\r\n\r\nv=0\r\n$/),
  });
  await incoming(head('OPTIONS'), 'o');
  expect(control.waiting).toEqual([]);
});

test('a response that overtakes the news of its request is not lost', async () => {
  const sent = edge.client.send(aRequest);
  const out = await control.next();
  expect(out.fields).toEqual(['sip', '', '', 'sip:127.0.20.9:5060;transport=udp']);
  control.response('fast', answer(202, '', 'MESSAGE'));
  control.sentRequest(out, 'fast');
  expect(await sent).toMatchObject({ local: false, response: { status: 202 } });
  expect(edge.open().requests).toBe(0);
});

test('a request without an answer ends by our time limit; the late answer is dropped', async () => {
  const sent = edge.client.send(aRequest);
  control.sentRequest(await control.next(), 'slow');
  await until(() => edge.open().requests === 1);
  clock.move(5000);
  expect(await sent).toMatchObject({ local: true, response: { status: 408 } });
  expect(edge.open().requests).toBe(0);
  control.response('slow', answer(200, '', 'MESSAGE'));
  await until(() => edge.counts.stray === 1);

  const unsent = edge.client.send(aRequest);
  const out = await control.next();
  clock.move(5000);
  expect(await unsent).toMatchObject({ local: true, response: { status: 408 } });
  control.sentRequest(out, 'late');
  await incoming(head('OPTIONS'));
  expect(edge.open().requests).toBe(0);
  expect(clock.waiting).toBe(0);
});

test('answers made up by the engine, refused requests and answers beyond reading are told as such', async () => {
  const local = edge.client.send(aRequest);
  control.sentRequest(await control.next(), 'a');
  control.response('a', answer(408, '', 'MESSAGE'), { local: true });
  expect(await local).toMatchObject({ local: true, response: { status: 408 } });

  const refused = edge.client.send(aRequest);
  control.reply((await control.next()).id, 'NOK|requested protocol/transport not available');
  expect(await refused).toMatchObject({ local: true, response: { status: 500 } });

  const odd = edge.client.send(aRequest);
  control.sentRequest(await control.next(), 'b');
  control.response('b', 'SIP/2.0 999 Beyond\r\nCall-ID: x\r\n\r\n');
  expect(await odd).toMatchObject({ response: { status: 502 } });

  for (const bad of [{ uri: 'sip:a b' }, { nextHop: 'sip:x|y' }, { method: 'A B' }]) {
    expect(await edge.client.send({ ...aRequest, ...bad })).toMatchObject({ local: true, response: { status: 400 } });
  }
});

test('without a next hop the request-URI is the way', async () => {
  void edge.client.send({
    method: 'OPTIONS',
    uri: 'sip:pbx.test',
    headers: Headers.empty(),
    body: '',
    timeoutMs: 1000,
  });
  expect((await control.next()).fields).toEqual(['sip', '', '']);
});

// ---- legs ----

test('a leg: provisionals, answer, dialog, one ACK', async () => {
  const events = recorder();
  const leg = edge.legs.start({ ...aLeg, body: 'v=0' }, events);
  expect(leg.callId).toBeUndefined();
  const sent = await control.next();
  expect(sent.fields).toEqual(['sip', '', '', aLeg.nextHop]);
  control.sentRequest(sent, 'L', sent.text.replace('\r\n', '\r\nCall-ID: leg-1\r\n'));
  control.response('L', answer(180), { dialogId: 'leg-1;from-tag=ours' });
  await until(() => events.log.length > 0);
  expect(leg.callId).toBe('leg-1');
  control.response('L', answer(200), { dialogId: 'leg-1;from-tag=ours' });
  await until(() => events.log.length > 1);
  expect(events.log).toEqual(['180', '200 answered']);
  expect(events.dialog).toMatchObject({ callId: 'leg-1', localTag: 'ours', remoteTag: 'theirs' });
  events.ack?.();
  events.ack?.();
  expect(await control.next()).toMatchObject({
    fields: ['sip', '', 'leg-1;from-tag=ours'],
    text: expect.stringMatching(/^ACK /),
  });
  leg.cancel();
  control.inDialog('x', 'leg-1;from-tag=ours', head('INFO'));
  const heard: string[] = [];
  events.dialog?.onRequest((transaction) => heard.push(transaction.request.method));
  await until(() => heard.length > 0);
  expect(control.waiting).toEqual([]);
  expect(edge.open()).toMatchObject({ requests: 0, dialogs: 1 });
});

test('a failed leg is not acknowledged by us', async () => {
  const events = recorder();
  edge.legs.start(aLeg, events);
  control.sentRequest(await control.next(), 'L');
  control.response('L', answer(486), { dialogId: 'd' });
  await until(() => events.log.length > 0);
  expect(events.log).toEqual(['486 failed']);
  await incoming(head('OPTIONS'));
  expect(control.waiting).toEqual([]);
});

test('CANCEL waits for the engine, goes once, and a 2xx that crosses it is told', async () => {
  const events = recorder();
  const leg = edge.legs.start(aLeg, events);
  leg.cancel('SIP;cause=200;text="Call completed elsewhere"');
  leg.cancel();
  const sent = await control.next();
  expect(sent.text).toMatch(/^INVITE /);
  control.sentRequest(sent, 'L');
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'L', ''],
    text: expect.stringMatching(
      /^CANCEL sip:\S+ SIP\/2\.0\r\nReason: SIP;cause=200;text="Call completed elsewhere"\r\n/,
    ),
  });
  control.response('L', answer(200), { dialogId: 'd' });
  await until(() => events.log.length > 0);
  expect(events.log).toEqual(['200 answered']);
  expect(clock.waiting).toBe(0);
  leg.cancel();
  await incoming(head('OPTIONS'));
  expect(control.waiting).toEqual([]);
});

test('a cancelled leg nobody ends is ended by us, once', async () => {
  const events = recorder();
  const leg = edge.legs.start(aLeg, events);
  control.sentRequest(await control.next(), 'L');
  await until(() => edge.open().requests === 1);
  leg.cancel();
  await control.next();
  clock.move(40_000);
  expect(events.log).toEqual(['487 failed locally']);
  control.response('L', answer(487));
  await until(() => edge.counts.stray === 1);
  expect(events.log).toEqual(['487 failed locally']);
});

test('reliable provisionals of a leg are acknowledged once each and in order', async () => {
  const events = recorder();
  edge.legs.start(aLeg, events);
  control.sentRequest(await control.next(), 'L');
  const reliable = (rseq: number, tag = 'theirs'): void =>
    control.response('L', answer(183, `RSeq: ${rseq}\r\nRequire: 100rel\r\n`).replace('tag=theirs', `tag=${tag}`), {
      dialogId: 'early',
    });
  reliable(5);
  const prack = await control.next();
  expect(prack.fields).toEqual(['sip', '', 'early']);
  expect(prack.text).toMatch(/^PRACK sip:placeholder SIP\/2\.0\r\nRAck: 5 7 INVITE\r\n/);
  control.sentRequest(prack, 'P');
  control.response('P', answer(200, '', 'PRACK'), { dialogId: 'early' });
  reliable(5);
  reliable(7);
  reliable(6);
  reliable(9, 'another-branch');
  expect((await control.next()).text).toContain('RAck: 6 7 INVITE');
  expect((await control.next()).text).toContain('RAck: 9 7 INVITE');
  await until(() => events.log.length === 3);
  expect(events.log).toEqual(['183 reliable', '183 reliable', '183 reliable']);
  expect(control.waiting).toEqual([]);
});

test('a leg that cannot be sent fails, never before start has returned', async () => {
  for (const [bad, status] of [
    [{ uri: 'sip:a b' }, 400],
    [{ nextHop: 'sip:x|y' }, 400],
    [{ body: 'x'.repeat(20_000) }, 513],
  ] as const) {
    const events = recorder();
    edge.legs.start({ ...aLeg, ...bad }, events);
    expect(events.log).toEqual([]);
    await until(() => events.log.length > 0);
    expect(events.log).toEqual([`${status} failed locally`]);
  }
  const events = recorder();
  edge.legs.start(aLeg, events);
  control.reply((await control.next()).id, 'NOK|can not send request to myself');
  await until(() => events.log.length > 0);
  expect(events.log).toEqual(['500 failed locally']);
});
