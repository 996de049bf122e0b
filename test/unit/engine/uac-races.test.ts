/** An INVITE of ours that forks, is cancelled and is answered, in every order (RFC 3261 9.1, 12.1.2, 13.2.2). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EngineSides } from '../../support/engine-sides.ts';
import { headerOf } from '../../support/text-peer.ts';

type Event =
  | { readonly is: '180' | '183' | '200'; readonly tag: string }
  | { readonly is: '486' | 'cancel' | 'ack' | 'time' };

const usualId = 'c1;from-tag=ours';

function begin(): { readonly engine: EngineSides; readonly invite: string } {
  const engine = new EngineSides();
  engine.uac.onRequest(
    engine.app,
    'm1',
    'sip:192.0.2.1',
    'INVITE sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@x>;tag=ours\r\nTo: <sip:bob@x>\r\nCall-ID: c1\r\n\r\n',
  );
  return { engine, invite: engine.sent[0] as string };
}

const ackOf = 'ACK sip:placeholder SIP/2.0\r\n\r\n';
const toTag = (text: string): string => /;tag=([^;\s]+)/.exec(headerOf(text, 'To'))?.[1] ?? '';
const finals = (engine: EngineSides): string[] =>
  engine.told.filter(({ is, text }) => is === 'told' && /^SIP\/2\.0 [2-6]/.test(text)).map(({ text }) => text);

test('early dialogs of one INVITE are told apart, and the answered one gets the usual name', () => {
  const { engine, invite } = begin();
  engine.answer(invite, '183 Progress', 'a', 'Require: 100rel\r\nRSeq: 7\r\n');
  engine.answer(invite, '183 Progress', 'b', 'Require: 100rel\r\nRSeq: 3\r\n');
  engine.answer(invite, '183 Progress', 'a', 'Require: 100rel\r\nRSeq: 7\r\n');
  engine.answer(invite, '183 Progress', 'a', 'Require: 100rel\r\nRSeq: 9\r\n');
  engine.answer(invite, '183 Progress', 'a', 'Require: 100rel\r\nRSeq: 8\r\n');
  const told = engine.told.filter(({ text }) => text.startsWith('SIP/2.0 183'));
  expect(told.map(({ text }) => `${toTag(text)} ${headerOf(text, 'RSeq')}`)).toEqual(['a 7', 'b 3', 'a 8']);
  const [a, b] = told;
  expect(a?.dialogId).toBe(usualId);
  expect(b?.dialogId).not.toBe(usualId);
  for (const { dialogId, tag } of [
    { dialogId: a?.dialogId ?? '', tag: 'a' },
    { dialogId: b?.dialogId ?? '', tag: 'b' },
  ]) {
    engine.uac.onInDialog(engine.app, 'p', dialogId, 'PRACK sip:placeholder SIP/2.0\r\nRAck: 1 1 INVITE\r\n\r\n');
    const prack = engine.sent.at(-1) as string;
    expect([prack.split(' ', 2)[1], toTag(prack)]).toEqual([`sip:${tag}@192.0.2.1`, tag]);
  }
  // the other side speaks in its own dialog
  engine.receive(
    'UPDATE sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKu\r\nFrom: <sip:bob@x>;tag=b\r\n' +
      'To: <sip:a@x>;tag=ours\r\nCall-ID: c1\r\nCSeq: 1 UPDATE\r\nContent-Length: 0\r\n\r\n',
  );
  expect(engine.told.at(-1)?.dialogId).toBe(b?.dialogId);
  engine.answer(invite, '200 OK', 'b');
  expect(engine.told.at(-1)?.dialogId).toBe(usualId);
  engine.uac.onInDialog(engine.app, 'a', usualId, ackOf);
  expect(toTag(engine.sent.at(-1) as string)).toBe('b');
  engine.advance(10_000);
  expect(engine.counters.dialogs).toBe(1);
});

const tag = fc.constantFrom('a', 'b', 'c');
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ is: fc.constantFrom('180' as const, '183' as const, '200' as const), tag }) },
  { weight: 1, arbitrary: fc.constant<Event>({ is: '486' }) },
  { weight: 2, arbitrary: fc.constantFrom<Event>({ is: 'cancel' }, { is: 'ack' }) },
  { weight: 1, arbitrary: fc.constant<Event>({ is: 'time' }) },
);

test('[EDGE-TXN-07] [EDGE-TXN-11] one answer for the app, one ACK at least for each 2xx, one BYE for each that lost', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 14 }), (events) => {
      const { engine, invite } = begin();
      const txn = engine.told[0]?.txn as string;
      const answered = new Set<string>();
      let refused = false;
      let cancelled = false;
      let rung = false;
      let acked = false;
      let waited = 0;
      const byesAnswered = new Set<string>();
      const answerOwn = (): void => {
        for (const text of engine.sent) {
          if (!/^(?:BYE|CANCEL)/.test(text) || byesAnswered.has(headerOf(text, 'Via'))) continue;
          byesAnswered.add(headerOf(text, 'Via'));
          engine.answer(text, '200 OK', 'x');
        }
      };
      const ack = (): void => {
        if (answered.size === 0 || acked) return;
        acked = true;
        engine.uac.onInDialog(engine.app, 'a', usualId, ackOf);
      };
      for (const one of events) {
        if (one.is === 'time') {
          waited++;
          if (waited < 4) engine.advance(500);
        } else if (one.is === 'cancel') {
          const before = engine.told.length;
          engine.uac.onCancel(engine.app, 'c', txn, 'CANCEL sip:placeholder SIP/2.0\r\n\r\n');
          if (engine.told[before]?.is === 'ok') {
            expect(cancelled || refused || answered.size > 0).toBe(false);
            cancelled = true;
          }
        } else if (one.is === 'ack') ack();
        else if (one.is === '486') {
          rung = true;
          refused ||= answered.size === 0;
          engine.answer(invite, '486 Busy Here', 'z');
        } else if ('tag' in one) {
          rung = true;
          if (one.is === '200' && !refused) answered.add(one.tag);
          engine.answer(invite, `${one.is} Words`, one.tag);
        }
        answerOwn();
      }
      // the app acknowledges what it was told, copies of the answers come once more
      ack();
      for (const each of answered) engine.answer(invite, '200 OK', each);
      answerOwn();
      // nobody rings for ever; a CANCEL has its answer too
      engine.answer(invite, '487 Request Terminated', 'z');
      answerOwn();
      engine.advance(10_000);

      const heard = finals(engine);
      expect(heard).toHaveLength(1);
      const first = [...answered][0];
      if (first !== undefined) expect([heard[0]?.slice(8, 11), toTag(heard[0] as string)]).toEqual(['200', first]);
      const count = (method: string, each: string): number =>
        engine.sent.filter((text) => text.startsWith(`${method} `) && toTag(text) === each).length;
      for (const each of answered) {
        expect(count('ACK', each)).toBeGreaterThanOrEqual(2);
        expect(new Set(engine.sent.filter((text) => text.startsWith('BYE ') && toTag(text) === each)).size).toBe(
          each === first && !cancelled ? 0 : 1,
        );
      }
      const cancels = engine.sent.filter((text) => text.startsWith('CANCEL '));
      expect(new Set(cancels).size).toBeLessThanOrEqual(1);
      if (cancels.length > 0) expect([cancelled, rung]).toEqual([true, true]);
      expect(engine.counters.dialogs).toBe(first !== undefined && !cancelled ? 1 : 0);
      expect(engine.counters.clientTransactions).toBe(0);
      expect(engine.timers).toBe(0);
    }),
    { numRuns: 400 },
  );
});
