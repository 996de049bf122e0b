/** An INVITE of the network with CANCEL, BYE, PRACK, copies and the app's answers, in every order (RFC 3261 9.2, 14.2, 15.1.2). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EngineSides } from '../../support/engine-sides.ts';
import { headerOf } from '../../support/text-peer.ts';

const dialogId = 'c1;from-tag=a1';

class Caller {
  readonly engine: EngineSides;
  #serial = 0;

  constructor(reliable = false) {
    this.engine = new EngineSides(reliable);
  }

  /** `branch` makes it one transaction with others of that branch. */
  send(method: string, seq: number, options: { branch?: string; extra?: string; contact?: string } = {}): void {
    const { branch = `n${++this.#serial}`, extra = '', contact = 'sip:alice@192.0.2.1' } = options;
    const to = this.tag === '' || branch === 'first' ? '' : `;tag=${this.tag}`;
    this.engine.receive(
      `${method} sip:bob@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK${branch};rport\r\nMax-Forwards: 70\r\n` +
        `From: <sip:alice@x>;tag=a1\r\nTo: <sip:bob@x>${to}\r\nCall-ID: c1\r\nCSeq: ${seq} ${method}\r\n` +
        `Contact: <${contact}>\r\nSupported: 100rel, timer\r\nAllow: INVITE, UPDATE\r\n${extra}Content-Length: 0\r\n\r\n`,
    );
  }

  /** The app answers the last request with this method. */
  answers(method: string, status: number, lines = '', body = ''): void {
    const asked = this.engine.told.findLast(({ is, text }) => is === 'told' && text.startsWith(`${method} `));
    const type = body === '' ? '' : 'Content-Type: application/sdp\r\n';
    this.engine.uas.onResponse(
      this.engine.app,
      'm',
      asked?.txn ?? 'none',
      `SIP/2.0 ${status} Words\r\n${type}${lines}\r\n${body}`,
    );
  }

  /** Answers to requests with this CSeq, in order, without copies. */
  heard(cseq: string): number[] {
    const texts = new Set(
      this.engine.sent.filter((text) => headerOf(text, 'CSeq') === cseq && text.startsWith('SIP/')),
    );
    return [...texts].map((text) => Number(text.slice(8, 11)));
  }

  last(cseq: string): string {
    return this.engine.sent.findLast((text) => headerOf(text, 'CSeq') === cseq) ?? '';
  }

  get tag(): string {
    const tagged = this.engine.sent.find((text) => text.startsWith('SIP/') && /^To: .*;tag=/m.test(text));
    return tagged === undefined ? '' : (/;tag=(\S+)/.exec(headerOf(tagged, 'To'))?.[1] ?? '');
  }

  /** A call that stands. */
  talk(lines = ''): this {
    this.send('INVITE', 1, { branch: 'first' });
    this.answers('INVITE', 200, lines, 'v=0\r\n');
    this.send('ACK', 1);
    return this;
  }
}

describe('inside a dialog', () => {
  test('a second INVITE before the first is answered gets 500 with Retry-After, and the first goes on', () => {
    const caller = new Caller().talk();
    caller.send('INVITE', 2);
    caller.send('INVITE', 3);
    expect(caller.heard('3 INVITE')).toEqual([100, 500]);
    expect(Number(headerOf(caller.last('3 INVITE'), 'Retry-After'))).toBeLessThanOrEqual(10);
    caller.answers('INVITE', 200);
    expect(caller.heard('2 INVITE')).toEqual([100, 200]);
  });

  test('an INVITE that meets one of ours gets 491, and one after it does not', () => {
    const caller = new Caller().talk();
    const { engine } = caller;
    engine.uac.onInDialog(engine.app, 'm', dialogId, 'INVITE sip:placeholder SIP/2.0\r\n\r\n');
    const ours = engine.sent.at(-1) as string;
    caller.send('INVITE', 2);
    expect(caller.heard('2 INVITE')).toEqual([100, 491]);
    engine.answer(ours, '491 Request Pending', '');
    caller.send('INVITE', 3);
    caller.answers('INVITE', 200);
    expect(caller.heard('3 INVITE')).toEqual([100, 200]);
    expect(engine.counters.inDialogRefused).toBe(1);
  });

  test('a second UPDATE before the first is answered gets 500 with Retry-After', () => {
    const caller = new Caller().talk();
    caller.send('UPDATE', 2);
    caller.send('UPDATE', 3);
    expect(headerOf(caller.last('3 UPDATE'), 'Retry-After')).toMatch(/^\d+$/);
    caller.answers('UPDATE', 200);
    expect([caller.heard('2 UPDATE'), caller.heard('3 UPDATE')]).toEqual([[200], [500]]);
  });

  test('a lower CSeq gets 500, an unknown method passes', () => {
    const caller = new Caller().talk();
    caller.send('FOO', 9);
    caller.answers('FOO', 299);
    caller.send('INFO', 8);
    expect([caller.heard('9 FOO'), caller.heard('8 INFO')]).toEqual([[299], [500]]);
  });

  test('a session shorter than 90 s gets 422 with Min-SE, and the timer that runs goes on', () => {
    const caller = new Caller().talk('Session-Expires: 100;refresher=uac\r\n');
    caller.send('UPDATE', 2, { extra: 'Session-Expires: 60\r\n' });
    expect(caller.heard('2 UPDATE')).toEqual([422]);
    expect(headerOf(caller.last('2 UPDATE'), 'Min-SE')).toBe('90');
    caller.engine.advance(1100);
    expect(caller.engine.told.at(-1)).toMatchObject({ is: 'unsolicited' });
  });

  test('a target refresh counts when it is accepted (RFC 6141), by INVITE and by UPDATE', () => {
    const caller = new Caller().talk();
    const { engine } = caller;
    const target = (): string | undefined => {
      engine.uac.onInDialog(engine.app, 'm', dialogId, 'INFO sip:placeholder SIP/2.0\r\n\r\n');
      return engine.sent.at(-1)?.split(' ')[1];
    };
    caller.send('INVITE', 2, { contact: 'sip:new@192.0.2.2' });
    caller.answers('INVITE', 488);
    expect(target()).toBe('sip:alice@192.0.2.1');
    caller.send('UPDATE', 3, { contact: 'sip:new@192.0.2.3' });
    caller.answers('UPDATE', 200);
    expect(target()).toBe('sip:new@192.0.2.3');
    // ours: the 2xx to UPDATE says it too (erratum 3173)
    engine.uac.onInDialog(engine.app, 'm', dialogId, 'UPDATE sip:placeholder SIP/2.0\r\n\r\n');
    engine.answer(engine.sent.at(-1) as string, '200 OK', 'moved');
    expect(target()).toBe('sip:moved@192.0.2.1');
  });

  test('a BYE ends the INVITE that waits with 487, from either side; after it there is nothing', () => {
    for (const from of ['peer', 'app']) {
      const caller = new Caller().talk();
      const { engine } = caller;
      caller.send('INVITE', 2);
      if (from === 'peer') {
        caller.send('BYE', 3);
        caller.answers('BYE', 200);
      } else {
        engine.uac.onInDialog(engine.app, 'm', dialogId, 'BYE sip:placeholder SIP/2.0\r\n\r\n');
        engine.answer(engine.sent.at(-1) as string, '200 OK', '');
      }
      expect(caller.heard('2 INVITE'), from).toEqual([100, 487]);
      expect(engine.counters.dialogs).toBe(0);
      caller.send('UPDATE', 4);
      caller.send('INVITE', 5);
      expect([caller.heard('4 UPDATE'), caller.heard('5 INVITE')]).toEqual([[481], [100, 481]]);
    }
  });

  test('a re-INVITE waits for its answer as long as it takes, and is not forgotten after 64 s', () => {
    const caller = new Caller().talk();
    caller.send('INVITE', 2);
    caller.engine.advance(5 * 60_000);
    caller.answers('INVITE', 200);
    expect(caller.heard('2 INVITE')).toEqual([100, 200]);
    expect(caller.engine.told.at(-1)?.is).toBe('ok');
    caller.send('INVITE', 3);
    caller.send('ACK', 2);
    caller.engine.advance(16 * 60_000);
    expect(caller.heard('3 INVITE')).toEqual([100, 480]);
  });

  test('a 2xx is repeated until its ACK, over a connection too; without one the call ends', () => {
    for (const reliable of [false, true]) {
      const caller = new Caller(reliable);
      caller.send('INVITE', 1, { branch: 'first' });
      caller.answers('INVITE', 200);
      caller.engine.advance(3100);
      expect(caller.engine.sent.filter((text) => text.startsWith('SIP/2.0 200')).length).toBeGreaterThan(8);
      caller.engine.advance(200);
      expect(caller.engine.told.at(-1)).toMatchObject({ is: 'unsolicited' });
      expect(headerOf(caller.engine.sent.at(-1) as string, 'Reason')).toContain('ACK timeout');
    }
  });

  test('what a subscription inside a call says does not end the call', () => {
    const caller = new Caller().talk();
    caller.send('SUBSCRIBE', 2, { extra: 'Event: refer\r\nExpires: 60\r\n' });
    caller.answers('SUBSCRIBE', 200, 'Expires: 60\r\n');
    caller.send('NOTIFY', 3, { extra: 'Event: refer\r\nSubscription-State: terminated\r\n' });
    caller.answers('NOTIFY', 200);
    caller.engine.advance(200_000);
    expect(caller.engine.counters.dialogs).toBe(1);
  });
});

describe('refreshes of the engine (RFC 4028)', () => {
  const ours = 'Session-Expires: 100;refresher=uas\r\n';

  test('by UPDATE, which the peer takes, each time a little after half', () => {
    const { engine } = new Caller().talk(ours);
    for (let time = 0; time < 3; time++) {
      const before = engine.sent.length;
      engine.advance(540);
      expect(engine.sent).toHaveLength(before);
      engine.advance(30);
      const refresh = engine.sent.at(-1) as string;
      expect([refresh.slice(0, 7), headerOf(refresh, 'Session-Expires')]).toEqual(['UPDATE ', '100;refresher=uac']);
      engine.answer(refresh, '200 OK', '', 'Session-Expires: 100;refresher=uac\r\n');
    }
    expect(engine.told.filter(({ is }) => is === 'unsolicited')).toEqual([]);
  });

  test('by INVITE with our last offer where UPDATE is not taken; the app waits its turn', () => {
    const caller = new Caller();
    const { engine } = caller;
    caller.send('INVITE', 1, { branch: 'first', extra: 'Allow: INVITE\r\n' });
    caller.answers('INVITE', 200, ours, 'v=0\r\no=ours\r\n');
    caller.send('ACK', 1);
    const dialog = engine.dialogs.get(dialogId);
    if (dialog !== undefined) dialog.takesUpdate = false;
    engine.advance(570);
    const refresh = engine.sent.at(-1) as string;
    expect([refresh.slice(0, 7), refresh.endsWith('o=ours\r\n')]).toEqual(['INVITE ', true]);
    const before = engine.sent.length;
    engine.uac.onInDialog(engine.app, 'm', dialogId, 'INVITE sip:placeholder SIP/2.0\r\n\r\n');
    expect(engine.sent).toHaveLength(before);
    caller.send('INVITE', 2);
    expect(caller.heard('2 INVITE')).toEqual([100, 491]);
    engine.answer(refresh, '200 OK', '', 'Session-Expires: 100;refresher=uac\r\n');
    expect(engine.sent.slice(-2).map((text) => text.slice(0, 6))).toEqual(['ACK si', 'INVITE']);
  });

  test('422 is met with more, 481 ends the call', () => {
    const { engine } = new Caller().talk(ours);
    engine.advance(570);
    engine.answer(engine.sent.at(-1) as string, '422 Too Small', '', 'Min-SE: 300\r\n');
    const again = engine.sent.at(-1) as string;
    expect([headerOf(again, 'Session-Expires'), headerOf(again, 'Min-SE')]).toEqual(['300;refresher=uac', '300']);
    engine.answer(again, '481 Gone', '');
    expect(engine.sent.at(-1)).toMatch(/^BYE /);
    expect(engine.told.at(-1)?.is).toBe('unsolicited');
  });
});

type Event = 'copy' | 'cancel' | 'bye' | 'prack' | 'time' | '180' | '183' | '200' | '486' | 'ack';
const event = fc.constantFrom<Event>('copy', 'cancel', 'bye', 'prack', 'time', '180', '183', '200', '486', 'ack');

test('[EDGE-TXN-04] in every order: one final answer, CANCEL always 200, no timer and no dialog left', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 16 }), fc.boolean(), (events, reliable) => {
      const caller = new Caller(reliable);
      const { engine } = caller;
      caller.send('INVITE', 1, { branch: 'first' });
      let seq = 1;
      let times = 0;
      let cancels = 0;
      let acked = false;
      let rseq = '';
      const state = (): number | undefined => caller.heard('1 INVITE').find((status) => status >= 200);
      for (const one of events) {
        const before = state();
        // a refusal that is acknowledged is forgotten: a copy would be a new call, a CANCEL one of nothing
        const gone = acked && before !== undefined && before >= 300;
        switch (one) {
          case 'copy':
            if (!gone) caller.send('INVITE', 1, { branch: 'first' });
            break;
          case 'cancel':
            if (gone || cancels++ > 0) break;
            caller.send('CANCEL', 1, { branch: 'first' });
            expect(caller.heard('1 CANCEL')).toEqual([200]);
            expect(state()).toBe(before ?? 487);
            break;
          case 'bye':
            if (caller.tag === '') break;
            caller.send('BYE', ++seq);
            caller.answers('BYE', 200);
            if (before === undefined) expect(state()).toBe(487);
            expect(engine.counters.dialogs).toBe(0);
            break;
          case 'prack':
            if (rseq !== '') caller.send('PRACK', ++seq, { extra: `RAck: ${rseq} 1 INVITE\r\n` });
            caller.answers('PRACK', 200);
            break;
          case 'time':
            if (times++ < 4) engine.advance(400);
            break;
          case 'ack':
            acked ||= before !== undefined;
            if (before !== undefined) caller.send('ACK', 1, before < 300 ? {} : { branch: 'first' });
            break;
          case '183': {
            caller.answers('INVITE', 183, 'Require: 100rel\r\n', 'v=0\r\n');
            break;
          }
          default:
            caller.answers('INVITE', Number(one));
        }
        rseq = headerOf(engine.sent.findLast((text) => text.startsWith('SIP/2.0 183')) ?? '', 'RSeq');
      }
      // no PRACK, no ACK, no answer: time ends it all, but for a call that stands
      const finalOfApp = state() === undefined;
      if (finalOfApp) caller.answers('INVITE', 603);
      engine.advance(4000);
      const finals = caller.heard('1 INVITE').filter((status) => status >= 200);
      expect(finals).toHaveLength(1);
      const standing = engine.dialogs.get(dialogId);
      if (standing !== undefined) {
        expect(finals).toEqual([200]);
        caller.send('BYE', seq + 1);
        caller.answers('BYE', 200);
      }
      for (const text of engine.sent.filter((each) => each.startsWith('BYE '))) engine.answer(text, '200 OK', '');
      engine.advance(10_000);
      expect([engine.counters.dialogs, engine.counters.serverTransactions, engine.timers]).toEqual([0, 0, 0]);
    }),
    { numRuns: 800 },
  );
});
