/** Dialogs that requests of ours begin: route sets, targets, ACKs, subscriptions (RFC 3261 12, 13.2.2.4; RFC 6665). */
import { describe, expect, test } from 'vitest';
import { EngineSides } from '../../support/engine-sides.ts';
import { headerOf } from '../../support/text-peer.ts';

const id = 'c1;from-tag=ours';

function begin(method: string, lines = '', nextHop = ''): { readonly engine: EngineSides; readonly request: string } {
  const engine = new EngineSides();
  engine.uac.onRequest(
    engine.app,
    'm',
    nextHop,
    `${method} sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@x>;tag=ours\r\nTo: <sip:bob@x>\r\nCall-ID: c1\r\n${lines}\r\n`,
  );
  return { engine, request: engine.sent[0] as string };
}

/** The app sends this in the dialog; gives what went out. */
function say(engine: EngineSides, method: string, lines = '', body = ''): string {
  engine.uac.onInDialog(engine.app, 'm', id, `${method} sip:placeholder SIP/2.0\r\n${lines}\r\n${body}`);
  return engine.sent.at(-1) as string;
}

const line = (text: string): string => text.slice(0, text.indexOf(' SIP/2.0'));
const routesOf = (text: string): string[] => [...text.matchAll(/^Route: (.*)\r$/gm)].map((found) => found[1] as string);

describe('the way of a request in a dialog', () => {
  test('loose routers: reversed Record-Route, target in the request line, first route is the hop', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '200 OK', 'b', 'Record-Route: <sip:198.51.100.9;lr>, <sip:198.51.100.8:5070;lr>\r\n');
    engine.hops.length = 0;
    const ack = say(engine, 'ACK');
    const info = say(engine, 'INFO');
    expect([line(ack), line(info)]).toEqual(['ACK sip:b@192.0.2.1', 'INFO sip:b@192.0.2.1']);
    for (const text of [ack, info])
      expect(routesOf(text)).toEqual(['<sip:198.51.100.8:5070;lr>', '<sip:198.51.100.9;lr>']);
    expect(engine.hops).toEqual(['198.51.100.8:5070', '198.51.100.8:5070']);
  });

  test('a strict router gets its own URI in the request line and the target as the last Route (RFC 3261 12.2.1.1)', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '200 OK', 'b', 'Record-Route: <sip:198.51.100.9;lr>, <sip:198.51.100.8:5070>\r\n');
    engine.hops.length = 0;
    const ack = say(engine, 'ACK');
    expect(line(ack)).toBe('ACK sip:198.51.100.8:5070');
    expect(routesOf(ack)).toEqual(['<sip:198.51.100.9;lr>', '<sip:b@192.0.2.1>']);
    expect(engine.hops).toEqual(['198.51.100.8:5070']);
  });

  test('the route set stays, the target moves: by the 2xx to a re-INVITE, not by its refusal', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '200 OK', 'b', 'Record-Route: <sip:198.51.100.9;lr>\r\n');
    say(engine, 'ACK');
    engine.answer(say(engine, 'INVITE'), '488 No', 'elsewhere');
    expect(line(say(engine, 'INFO'))).toBe('INFO sip:b@192.0.2.1');
    const again = say(engine, 'INVITE');
    engine.answer(again, '180 Ringing', 'elsewhere');
    expect(line(say(engine, 'INFO'))).toBe('INFO sip:b@192.0.2.1');
    engine.answer(again, '200 OK', 'elsewhere', 'Record-Route: <sip:203.0.113.1;lr>\r\n');
    const ack = say(engine, 'ACK');
    expect([line(ack), routesOf(ack)]).toEqual(['ACK sip:elsewhere@192.0.2.1', ['<sip:198.51.100.9;lr>']]);
  });

  test('a peer whose Contact is not where it answered from is reached where it answered from', () => {
    const { engine, request } = begin('INVITE');
    engine.receive(
      `SIP/2.0 200 OK\r\nVia: ${headerOf(request, 'Via')}\r\nFrom: ${headerOf(request, 'From')}\r\nTo: <sip:bob@x>;tag=b\r\n` +
        `Call-ID: c1\r\nCSeq: ${headerOf(request, 'CSeq')}\r\nContact: <sip:b@10.0.0.5:5062>\r\nContent-Length: 0\r\n\r\n`,
    );
    engine.hops.length = 0;
    expect(line(say(engine, 'ACK'))).toBe('ACK sip:b@10.0.0.5:5062');
    expect(engine.hops).toEqual([]);
  });
});

describe('ACK', () => {
  test('carries the late answer, once; a copy of the 2xx gets the same ACK', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '200 OK', 'b');
    engine.answer(request, '200 OK', 'b');
    expect(engine.told.filter(({ text }) => text.startsWith('SIP/2.0 200'))).toHaveLength(1);
    const ack = say(engine, 'ACK', '', 'v=0\r\nlate\r\n');
    expect(ack.endsWith('v=0\r\nlate\r\n')).toBe(true);
    expect(headerOf(ack, 'Content-Type')).toBe('application/sdp');
    engine.answer(request, '200 OK', 'b');
    expect(engine.sent.slice(-2)).toEqual([ack, ack]);
    say(engine, 'ACK');
    expect(engine.told.at(-1)?.is).toBe('no');
  });

  test('a 200 after our BYE in the early dialog is acknowledged and hung up', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '180 Ringing', 'b');
    engine.answer(say(engine, 'BYE'), '200 OK', 'b');
    engine.answer(request, '200 OK', 'b');
    expect(engine.sent.slice(-2).map((text) => text.slice(0, 3))).toEqual(['ACK', 'BYE']);
    expect(engine.counters.dialogs).toBe(0);
  });

  test('a peer without a To tag has a dialog all the same (RFC 3261 12.1.2)', () => {
    const { engine, request } = begin('INVITE');
    engine.answer(request, '200 OK', '');
    expect(headerOf(say(engine, 'ACK'), 'To')).toBe('<sip:bob@x>');
    expect(engine.told.at(-1)?.is).toBe('ok');
  });
});

describe('a subscription', () => {
  const notify = (seq: number, state: string): string =>
    'NOTIFY sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKn' +
    `${seq}\r\nFrom: <sip:bob@x>;tag=b\r\nTo: <sip:a@x>;tag=ours\r\nCall-ID: c1\r\nCSeq: ${seq} NOTIFY\r\n` +
    `Event: presence\r\nSubscription-State: ${state}\r\nContact: <sip:b@192.0.2.1>\r\nContent-Length: 0\r\n\r\n`;

  test('lives from the 2xx to the NOTIFY that ends it, which the app answers itself', () => {
    const { engine, request } = begin('SUBSCRIBE', 'Event: presence\r\nExpires: 600\r\n');
    engine.answer(request, '200 OK', 'b', 'Expires: 600\r\n');
    engine.receive(notify(1, 'active;expires=600'));
    expect([engine.told.at(-1)?.dialogId, engine.counters.dialogs]).toEqual([id, 1]);
    engine.answer(say(engine, 'SUBSCRIBE', 'Event: presence\r\n'), '200 OK', 'b', 'Expires: 600\r\n');
    engine.receive(notify(2, 'terminated;reason=timeout'));
    const last = engine.told.at(-1);
    engine.uas.onResponse(engine.app, 'm', last?.txn ?? '', 'SIP/2.0 200 OK\r\n\r\n');
    expect(engine.sent.at(-1)).toMatch(/^SIP\/2\.0 200 /);
    expect(engine.counters.dialogs).toBe(0);
  });

  test('is forgotten a minute after it has run out', () => {
    const { engine, request } = begin('SUBSCRIBE', 'Event: presence\r\nExpires: 60\r\n');
    engine.answer(request, '200 OK', 'b', 'Expires: 60\r\n');
    engine.advance(115_000);
    expect(engine.counters.dialogs).toBe(1);
    engine.advance(10_000);
    expect([engine.counters.dialogs, engine.timers]).toEqual([0, 0]);
  });
});

test('a session of ours whose refresher we are is refreshed with the same offer, and its ACK is the engine\u2019s', () => {
  const { engine } = ((): { engine: EngineSides } => {
    const made = new EngineSides();
    made.uac.onRequest(
      made.app,
      'm',
      'sip:192.0.2.1',
      'INVITE sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@x>;tag=ours\r\nTo: <sip:bob@x>\r\nCall-ID: c1\r\n' +
        'Session-Expires: 90\r\n\r\nv=0\r\nours\r\n',
    );
    return { engine: made };
  })();
  engine.answer(engine.sent[0] as string, '200 OK', 'b', 'Session-Expires: 90;refresher=uac\r\n');
  say(engine, 'ACK');
  const told = engine.told.length;
  engine.advance(520);
  const refresh = engine.sent.at(-1) as string;
  expect([line(refresh), refresh.endsWith('v=0\r\nours\r\n')]).toEqual(['INVITE sip:b@192.0.2.1', true]);
  engine.answer(refresh, '200 OK', 'b', 'Session-Expires: 90;refresher=uac\r\n');
  engine.answer(refresh, '200 OK', 'b', 'Session-Expires: 90;refresher=uac\r\n');
  expect(engine.sent.slice(-2).map(line)).toEqual(['ACK sip:b@192.0.2.1', 'ACK sip:b@192.0.2.1']);
  expect(headerOf(engine.sent.at(-1) as string, 'CSeq')).toBe(headerOf(refresh, 'CSeq').replace('INVITE', 'ACK'));
  expect(engine.told).toHaveLength(told);
  // nobody answers the next one: the session ends in time, and the app is told
  engine.advance(1000);
  expect(engine.told.at(-1)?.is).toBe('unsolicited');
});

test('a dialog that is taken over from another engine: a CANCEL of its INVITE that comes too late does not end the call', () => {
  for (const [to, then] of [
    ['<sip:bob@x>;tag=b', 'ACK'],
    ['<sip:bob@x>', 'BYE'],
  ] as const) {
    const engine = new EngineSides();
    engine.uac.onRequest(
      engine.app,
      'm',
      '',
      `INVITE sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@x>;tag=ours\r\nTo: ${to}\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n\r\n`,
    );
    const request = engine.sent[0] as string;
    engine.answer(request, '180 Ringing', 'b');
    const { txn } = engine.told.find(({ text }) => text.startsWith('INVITE')) as { readonly txn: string };
    engine.uac.onCancel(engine.app, 'c', txn, 'CANCEL sip:placeholder SIP/2.0\r\n\r\n');
    engine.answer(request, '200 OK', 'b');
    say(engine, 'ACK');
    expect(line(engine.sent.at(-1) as string).split(' ')[0]).toBe(then);
  }
});
