/** Subscriptions on the adapter, against an engine played by hand: frames that come together, early NOTIFYs, another way for a dialog. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectSrf, type SrfEdge } from '../../../../lib/adapters/srf/connect.ts';
import type { Dialog } from '../../../../lib/ports/dialog.ts';
import type { DialogTransaction, ServerTransaction } from '../../../../lib/ports/server-transaction.ts';
import { Headers } from '../../../../lib/sip/headers.ts';
import { FakeControl } from '../../../support/fake-control.ts';
import { MovedClock } from '../../../support/moved-clock.ts';

let control: FakeControl;
let clock: MovedClock;
let edge: SrfEdge;
let requests: ServerTransaction[];

beforeEach(async () => {
  requests = [];
  clock = new MovedClock();
  control = await FakeControl.open();
  edge = await connectSrf({
    host: '127.0.20.1',
    port: control.port,
    secret: 'x',
    engineId: 'e',
    clock,
    onRequest: (transaction) => requests.push(transaction),
  });
});
afterEach(async () => {
  await edge.close();
  await control.close();
});

const until = (true_: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(true_()).toBe(true), { interval: 1, timeout: 5000 });
const say = (start: string, from: string, to: string, cseq: string, callId = 'c1'): string =>
  `${start}\r\nVia: SIP/2.0/UDP 127.0.20.9:5070;branch=z9hG4bKa\r\nFrom: ${from}\r\nTo: ${to}\r\nCall-ID: ${callId}\r\n` +
  `CSeq: ${cseq}\r\nContact: <sip:phone@127.0.20.9:5070>\r\n\r\n`;
const phone = '<sip:alice@edge.test>;tag=a1';
const ours = '<sip:bob@edge.test>;tag=ours';

async function accepted(behind: string[] = []): Promise<Dialog | undefined> {
  control.request('t1', say('SUBSCRIBE sip:bob@edge.test SIP/2.0', phone, '<sip:bob@edge.test>', '1 SUBSCRIBE'));
  await until(() => requests.length === 1);
  const dialog = (requests[0] as DialogTransaction).accept({ status: 200 });
  const frame = await control.next();
  control.together(() => {
    control.sentResponse(frame, 'c1;from-tag=a1', say('SIP/2.0 200 OK', phone, ours, '1 SUBSCRIBE'));
    for (const text of behind) control.inDialog('t2', 'c1;from-tag=a1', text);
  });
  return dialog;
}

test('a refresh that comes in the same moment as the news of our 200 finds the dialog', async () => {
  const dialog = await accepted([say('SUBSCRIBE sip:edge SIP/2.0', phone, ours, '2 SUBSCRIBE')]);
  const seen: string[] = [];
  dialog?.onRequest((transaction) => seen.push(transaction.request.headers.get('CSeq') ?? ''));
  await until(() => seen.length === 1);
  expect(seen).toEqual(['2 SUBSCRIBE']);
  expect(control.waiting).toEqual([]);
});

test('[PN-PURR-15] a request with another next hop goes there under the names of the dialog, with a CSeq of its own count', async () => {
  const dialog = (await accepted()) as Dialog;
  const notify = { method: 'NOTIFY', headers: Headers.of([['Event', 'x']]), body: '' };
  const answered = dialog.request(notify);
  const first = await control.next();
  expect(first.fields).toEqual(['sip', '', 'c1;from-tag=a1']);
  control.sentRequest(first, 'n1', say('NOTIFY sip:phone@127.0.20.9:5070 SIP/2.0', ours, phone, '41 NOTIFY'));
  control.response('n1', say('SIP/2.0 200 OK', ours, phone, '41 NOTIFY'));
  await answered;
  for (const [nextHop, cseq] of [
    ['sip:127.0.20.9:6000;transport=tcp', 42],
    [undefined, 43],
    ['sip:127.0.20.9:7000;transport=tcp', 44],
  ] as const) {
    void dialog.request(nextHop === undefined ? notify : { ...notify, nextHop });
    const sent = await control.next();
    expect(sent.fields).toEqual(['sip', '', '', nextHop ?? 'sip:127.0.20.9:6000;transport=tcp']);
    expect(sent.text).toMatch(/^NOTIFY sip:phone@127\.0\.20\.9:5070 SIP\/2\.0\r\n/);
    for (const line of [`From: ${ours}`, `To: ${phone}`, 'Call-ID: c1', `CSeq: ${cseq} NOTIFY`, 'Event: x'])
      expect(sent.text).toContain(`${line}\r\n`);
  }
  // nobody but the engine knows its way for these
  void dialog.request({ method: 'INVITE', headers: Headers.empty(), body: '', nextHop: 'sip:127.0.20.9:6000' });
  expect((await control.next()).fields).toEqual(['sip', '', 'c1;from-tag=a1']);
});

test('NOTIFYs before the 200 wait for the dialog they belong to; those of another fork, or after a refusal, get 481', async () => {
  const headers = Headers.of([
    ['From', '<sip:edge@edge.test>;tag=ours'],
    ['To', '<sip:bob@edge.test>'],
    ['Call-ID', 'leg'],
    ['CSeq', '1 SUBSCRIBE'],
  ]);
  const send = () =>
    edge.client.send({ method: 'SUBSCRIBE', uri: 'sip:bob@edge.test', headers, body: '', timeoutMs: 5000 });
  const edgeName = '<sip:edge@edge.test>;tag=ours';
  const answered = send();
  control.sentRequest(await control.next(), 's1');
  for (const tag of ['theirs', 'other'])
    control.request(
      `n-${tag}`,
      say('NOTIFY sip:edge SIP/2.0', `<sip:bob@edge.test>;tag=${tag}`, edgeName, '1 NOTIFY', 'leg'),
    );
  control.response('s1', say('SIP/2.0 200 OK', edgeName, '<sip:bob@edge.test>;tag=theirs', '1 SUBSCRIBE', 'leg'), {
    dialogId: 'leg;from-tag=ours',
  });
  const seen: string[] = [];
  (await answered).dialog?.onRequest((transaction) => seen.push(transaction.request.headers.get('From') ?? ''));
  await until(() => seen.length === 1);
  expect(seen).toEqual(['<sip:bob@edge.test>;tag=theirs']);
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'n-other', ''],
    text: expect.stringMatching(/^SIP\/2\.0 481 /),
  });

  const refused = send();
  control.sentRequest(await control.next(), 's2');
  control.request('n3', say('NOTIFY sip:edge SIP/2.0', '<sip:bob@edge.test>;tag=x', edgeName, '1 NOTIFY', 'leg'));
  control.response('s2', say('SIP/2.0 489 Bad Event', edgeName, '<sip:bob@edge.test>;tag=x', '1 SUBSCRIBE', 'leg'));
  expect((await refused).dialog).toBeUndefined();
  expect(await control.next()).toMatchObject({
    fields: ['sip', 'n3', ''],
    text: expect.stringMatching(/^SIP\/2\.0 481 /),
  });
  expect(requests).toEqual([]);
});
