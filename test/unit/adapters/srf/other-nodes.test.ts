/** What the adapter does for engines of other nodes, which a network may part from us: against an engine played by hand. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectSrf, type SrfEdge } from '../../../../lib/adapters/srf/connect.ts';
import type { ClientAnswer, ClientRequest } from '../../../../lib/ports/client.ts';
import type { Dialog, DialogAnswer, DialogRequest } from '../../../../lib/ports/dialog.ts';
import type { LegEvents, LegRequest } from '../../../../lib/ports/leg.ts';
import { Headers } from '../../../../lib/sip/headers.ts';
import { response } from '../../../../lib/sip/message.ts';
import { type AppFrame, FakeControl } from '../../../support/fake-control.ts';
import { MovedClock } from '../../../support/moved-clock.ts';

let control: FakeControl;
let clock: MovedClock;
let edge: SrfEdge;
let told: string[];
let dialog: Dialog | undefined;
let elsewhere: ClientRequest[];
let legs: { readonly request: LegRequest; readonly events: LegEvents }[];
let cancelled: (string | undefined)[];

beforeEach(async () => {
  told = [];
  dialog = undefined;
  elsewhere = [];
  legs = [];
  cancelled = [];
  clock = new MovedClock();
  control = await FakeControl.open();
  edge = await connectSrf({
    ...{ host: '127.0.20.1', port: control.port, secret: 'x', engineId: 'engine-1', clock },
    sendsWithinMs: 4000,
    movesFlows: true,
    elsewhere: () => ({
      client: {
        send: (request): Promise<ClientAnswer> => {
          elsewhere.push(request);
          return Promise.resolve({ response: response(200, 'OK', Headers.empty()), local: false });
        },
      },
      legs: {
        start: (request, events) => {
          legs.push({ request, events });
          return { callId: undefined, cancel: (reason) => void cancelled.push(reason), move: () => undefined };
        },
      },
    }),
    onRequest: () => undefined,
  });
});
afterEach(async () => {
  await edge.close();
  await control.close();
});

const nextHop = 'sip:127.0.20.9:5060;transport=udp';
const dialogId = 'leg-1;from-tag=ours';

const ok =
  'SIP/2.0 200 OK\r\nFrom: <sip:edge@edge.test>;tag=ours\r\nTo: <sip:bob@edge.test>;tag=theirs\r\nCall-ID: leg-1\r\n' +
  'CSeq: 7 INVITE\r\nContact: <sip:bob@127.0.20.9:5060>\r\n\r\n';

function start(to = '<sip:bob@edge.test>'): void {
  const headers = Headers.of([
    ['From', '<sip:a@b>'],
    ['To', to],
  ]);
  edge.legs.start(
    { uri: 'sip:bob@127.0.20.9:5060', nextHop, headers, body: '' },
    {
      progress: ({ status }) => told.push(String(status)),
      answered: ({ status }, its, ack) => {
        told.push(`${status} answered`);
        dialog = its;
        ack();
      },
      failed: ({ status }, local) => told.push(`${status} failed${local ? ' locally' : ''}`),
    },
  );
}

const methodOf = ({ text }: AppFrame): string => text.slice(0, text.indexOf(' '));

test('an INVITE the engine has not sent in time has failed, and is taken back when it is sent after all', async () => {
  start();
  const invite = await control.next();
  clock.move(3999);
  expect(told).toEqual([]);
  clock.move(1);
  expect(told).toEqual(['503 failed locally']);
  control.sentRequest(invite, 'L');
  const cancel = await control.next();
  expect([cancel.fields, methodOf(cancel)]).toEqual([['sip', 'L', ''], 'CANCEL']);
  // the phone was quicker: its call is acknowledged and ended
  control.response('L', ok, { dialogId });
  expect([methodOf(await control.next()), methodOf(await control.next())]).toEqual(['ACK', 'BYE']);
  expect(told).toEqual(['503 failed locally']);
});

test('one of a call that stands is taken back, too, and the call goes on', async () => {
  start('<sip:bob@edge.test>;tag=theirs');
  const invite = await control.next();
  clock.move(4000);
  control.sentRequest(invite, 'L');
  expect(methodOf(await control.next())).toBe('CANCEL');
  control.response('L', ok, { dialogId });
  expect(methodOf(await control.next())).toBe('ACK');
  start();
  expect(methodOf(await control.next())).toBe('INVITE');
});

test('an INVITE that was sent in time waits for its answer as long as it takes', async () => {
  start();
  control.sentRequest(await control.next(), 'L');
  control.response('L', ok.replace('200 OK', '180 Ringing'), { dialogId });
  await vi.waitFor(() => expect(told).toEqual(['180']), 5000);
  clock.move(60_000);
  expect(told).toEqual(['180']);
});

test('an engine that does not answer a ping in time does not answer', async () => {
  expect(await edge.answers(1000)).toBe(true);
  await control.cut();
  await vi.waitFor(() => expect(edge.up).toBe(false), 5000);
  expect(await edge.answers(1000)).toBe(false);
});

test('a dialog whose peer has moved to another engine goes on over that one, by its own count', async () => {
  start();
  control.sentRequest(await control.next(), 'L');
  control.response('L', ok, { dialogId });
  await vi.waitFor(() => expect(dialog).toBeDefined(), 5000);
  await control.next(); // the ACK
  const say = (method: string, engine?: string) =>
    dialog?.request({
      ...{ method, headers: Headers.of([['Reason', 'SIP;cause=200']]), body: '', nextHop },
      ...(engine === undefined ? {} : { engine }),
    });
  expect((await say('INFO', 'engine-2'))?.response.status).toBe(200);
  expect(elsewhere[0]).toMatchObject({ method: 'INFO', engine: 'engine-2', nextHop, uri: 'sip:bob@127.0.20.9:5060' });
  const names = (request?: ClientRequest) =>
    ['From', 'To', 'Call-ID', 'CSeq'].map((name) => request?.headers.get(name));
  expect(names(elsewhere[0])).toEqual([
    '<sip:edge@edge.test>;tag=ours',
    '<sip:bob@edge.test>;tag=theirs',
    'leg-1',
    '8 INFO',
  ]);
  // back at the first engine: it has not counted along, so neither has the dialog there
  const back = say('INFO', 'engine-1');
  const info = await control.next();
  expect(info.fields).toEqual(['sip', '', '', nextHop]);
  expect(info.text).toContain('CSeq: 9 INFO\r\n');
  control.sentRequest(info, 'I');
  control.response('I', ok.replace('7 INVITE', '9 INFO'));
  expect((await back)?.response.status).toBe(200);
  // the BYE, too; and the engine of the dialog forgets it
  expect((await say('BYE', 'engine-2'))?.response.status).toBe(200);
  expect(names(elsewhere[1]).at(-1)).toBe('10 BYE');
  const bye = await control.next();
  expect([bye.fields, methodOf(bye)]).toEqual([['sip', '', dialogId], 'BYE']);
});

/** The same dialog as the other engine has it. */
function successor(said: DialogRequest[]): Dialog {
  return {
    ...{ callId: 'leg-1', localTag: 'ours', remoteTag: 'theirs' },
    request: (request): Promise<DialogAnswer> => {
      said.push(request);
      return Promise.resolve({ response: response(200, 'OK', Headers.empty()), local: false });
    },
    ...{ onRequest: () => undefined, onAck: () => undefined, onEnd: () => undefined, close: () => undefined },
  };
}

test('a re-INVITE for a peer that has moved leaves from its engine, and what follows stays in the dialog there', async () => {
  start();
  control.sentRequest(await control.next(), 'L');
  control.response('L', ok, { dialogId });
  await vi.waitFor(() => expect(dialog).toBeDefined(), 5000);
  await control.next(); // the ACK
  const ended: string[] = [];
  dialog?.onEnd((why) => ended.push(why));
  const moved = { headers: Headers.empty(), nextHop, engine: 'engine-2' };
  const changed = dialog?.request({ ...moved, method: 'INVITE', body: 'v=0' });
  expect(legs).toHaveLength(1);
  const { request, events } = legs[0] as (typeof legs)[number];
  expect(request).toMatchObject({ engine: 'engine-2', nextHop, uri: 'sip:bob@127.0.20.9:5060', body: 'v=0' });
  expect(['From', 'To', 'Call-ID', 'CSeq'].map((name) => request.headers.get(name))).toEqual([
    '<sip:edge@edge.test>;tag=ours',
    '<sip:bob@edge.test>;tag=theirs',
    'leg-1',
    '8 INVITE',
  ]);
  const said: DialogRequest[] = [];
  const ack = (): void => undefined;
  events.answered(response(200, 'OK', Headers.empty()), successor(said), ack);
  expect((await changed)?.ack).toBe(ack);
  await dialog?.request({ ...moved, method: 'INFO', body: '' });
  expect([said.map(({ method }) => method), elsewhere]).toEqual([['INFO'], []]);
  // the engine of the dialog has not heard that it goes on, and the end there is not its end
  await control.cut();
  await vi.waitFor(() => expect(edge.up).toBe(false), 5000);
  expect(ended).toEqual([]);
  expect((await dialog?.request({ ...moved, method: 'BYE', body: '' }))?.response.status).toBe(200);
  dialog?.close();
});

test('such a re-INVITE is cancelled there, and a refusal leaves the dialog as it was', async () => {
  start();
  control.sentRequest(await control.next(), 'L');
  control.response('L', ok, { dialogId });
  await vi.waitFor(() => expect(dialog).toBeDefined(), 5000);
  const cancel = new AbortController();
  const moved = { headers: Headers.empty(), nextHop, engine: 'engine-2' };
  const changed = dialog?.request({
    ...{ ...moved, method: 'INVITE', body: '', cancel: cancel.signal },
    cancelHeaders: () => Headers.of([['Reason', 'SIP;cause=487']]),
  });
  cancel.abort();
  expect(cancelled).toEqual(['SIP;cause=487']);
  legs[0]?.events.failed(response(487, 'Request Terminated', Headers.empty()), false);
  expect((await changed)?.response.status).toBe(487);
  await dialog?.request({ ...moved, method: 'INFO', body: '' });
  expect(elsewhere.map(({ headers }) => headers.get('CSeq'))).toEqual(['9 INFO']);
});
