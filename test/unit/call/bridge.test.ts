import { beforeEach, expect, test } from 'vitest';
import { BridgedDialogs } from '../../../lib/call/bridged-dialogs.ts';
import { bridge, type BridgedCall, type BridgeOptions } from '../../../lib/call/bridge.ts';
import { FakeDialog } from '../../support/fake-dialog.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';

let caller: FakeDialog;
let callee: FakeDialog;
let log: QuietLog;
let overs: number;
let call: BridgedCall;

function tie(options: Partial<BridgeOptions> = {}): BridgedCall {
  return bridge(caller, callee, { log, callId: 'c1', onOver: () => overs++, ...options });
}

beforeEach(() => {
  caller = new FakeDialog('caller');
  callee = new FakeDialog('callee');
  log = new QuietLog();
  overs = 0;
  call = tie();
});

const sdp = { headers: [['Content-Type', 'application/sdp']] as const, body: 'v=0 offer' };

test.each(['INFO', 'UPDATE', 'REFER', 'NOTIFY', 'MESSAGE', 'OPTIONS', 'SUBSCRIBE', 'FOO'])(
  '%s passes both ways with headers and body, and so does its answer',
  async (method) => {
    for (const [from, to] of [
      [caller, callee],
      [callee, caller],
    ] as const) {
      const transaction = await from.sends(method, {
        headers: [
          ['Via', 'x'],
          ['X-A', '1'],
          ['Content-Type', 'a/b'],
        ],
        body: 'hello',
      });
      const asked = to.last(method);
      expect(asked.request.body).toBe('hello');
      expect([...asked.request.headers.entries()].map(([name, value]) => `${name}: ${value}`)).toEqual([
        'Max-Forwards: 70',
        'X-A: 1',
        'Content-Type: a/b',
      ]);
      expect(transaction.answers).toEqual([]);
      await asked.answer(202, {
        reason: 'Okay',
        headers: [
          ['X-B', '2'],
          ['Contact', '<sip:x>'],
        ],
        body: 'back',
      });
      expect(transaction.final).toMatchObject({ status: 202, reason: 'Okay', body: 'back' });
      expect(transaction.final?.headers?.get('x-b')).toBe('2');
      expect(transaction.final?.headers?.has('contact')).toBe(false);
    }
    expect(overs).toBe(0);
  },
);

test('[PN-PURR-13] a failure passes, of the engine as 500, and the call goes on', async () => {
  const transaction = await caller.sends('INFO');
  await callee.last('INFO').answer(415, { headers: [['Accept', 'a/b']] });
  expect(transaction.final).toMatchObject({ status: 415 });
  const local = await caller.sends('INFO');
  await callee.last('INFO').answer(410, { local: true });
  expect(local.final).toMatchObject({ status: 500 });
  expect(local.final?.headers?.get('Retry-After')).toBe('30');
  expect(overs).toBe(0);
});

test('a BYE is answered at once and passed on with what it says', async () => {
  const bye = await caller.sends('BYE', {
    headers: [
      ['Reason', 'Q.850;cause=16'],
      ['X-A', '1'],
      ['Via', 'v'],
    ],
  });
  expect(bye.final).toMatchObject({ status: 200 });
  expect(caller.closed).toBe(1);
  const passed = callee.last('BYE');
  expect(passed.request.headers.get('reason')).toBe('Q.850;cause=16');
  expect(passed.request.headers.get('x-a')).toBe('1');
  expect(overs).toBe(0);
  await passed.answer(200);
  expect([callee.closed, overs]).toEqual([1, 1]);
  expect(log.lines.at(-1)).toMatchObject({ level: 'info', fields: { callId: 'c1', ending: 'caller-hung-up' } });
});

test.each([481, 408, 410, 503, 407])('a BYE answered %i ends the call as well', async (status) => {
  await callee.sends('BYE');
  await caller.last('BYE').answer(status, { local: status === 410 || status === 503 });
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
});

test('BYEs from both sides at once', async () => {
  await caller.sends('BYE');
  const crossing = await callee.sends('BYE');
  expect(crossing.final).toMatchObject({ status: 200 });
  await callee.last('BYE').answer(481);
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
  expect(caller.methods).toEqual([]);
  // and a copy that comes after all is over
  expect((await callee.sends('BYE')).final).toMatchObject({ status: 200 });
  expect((await callee.sends('INFO')).final).toMatchObject({ status: 481 });
  expect((await callee.sends('INVITE')).final).toMatchObject({ status: 481 });
  expect(overs).toBe(1);
});

test('a re-INVITE passes, its 2xx passes, and each side gets one ACK', async () => {
  const change = await caller.sends('INVITE', sdp);
  const asked = callee.last('INVITE');
  expect(asked.request.body).toBe('v=0 offer');
  await asked.answer(200, {
    headers: [
      ['Content-Type', 'application/sdp'],
      ['Session-Expires', '90;refresher=uac'],
    ],
    body: 'v=0 answer',
  });
  expect(change.final).toMatchObject({ status: 200, body: 'v=0 answer' });
  expect(change.final?.headers?.get('session-expires')).toBe('90;refresher=uac');
  expect(asked.acks).toEqual([undefined]);
  await caller.acknowledges();
  expect(asked.acks).toHaveLength(1);
  const next = await callee.sends('INVITE', sdp);
  await caller.last('INVITE').answer(488);
  expect(next.final).toMatchObject({ status: 488 });
});

test('a late offer: the ACK of the one who asked carries the answer to the other', async () => {
  const change = await caller.sends('INVITE');
  const asked = callee.last('INVITE');
  await asked.answer(200, { headers: [['Content-Type', 'application/sdp']], body: 'v=0 offer' });
  expect(change.final).toMatchObject({ status: 200, body: 'v=0 offer' });
  expect(asked.acks).toEqual([]);
  await caller.acknowledges('v=0 answer', [
    ['Content-Type', 'application/sdp'],
    ['Via', 'x'],
  ]);
  expect(asked.acks).toHaveLength(1);
  expect(asked.acks[0]?.body).toBe('v=0 answer');
  expect([...(asked.acks[0]?.headers.entries() ?? [])].map(([name]) => name)).toEqual(['Content-Type']);
});

test('glare: 491 to the other side, 500 to the same side', async () => {
  await caller.sends('INVITE', sdp);
  expect((await callee.sends('INVITE', sdp)).final).toMatchObject({ status: 491 });
  const second = await caller.sends('INVITE', sdp);
  expect(second.final).toMatchObject({ status: 500 });
  expect(second.final?.headers?.get('retry-after')).toBe('3');
  expect(callee.methods).toEqual(['INVITE']);
});

test('a cancelled re-INVITE is cancelled on the other side, with its Reason', async () => {
  const change = await caller.sends('INVITE', sdp);
  const asked = callee.last('INVITE');
  await change.cancels([
    ['Reason', 'SIP;cause=487'],
    ['X-Not', 'this'],
  ]);
  expect(asked.request.cancel?.aborted).toBe(true);
  expect([...(asked.request.cancelHeaders?.().entries() ?? [])].map(([name, value]) => `${name}: ${value}`)).toEqual([
    'Reason: SIP;cause=487',
  ]);
  await asked.answer(487);
  expect(change.answers).toEqual([]);
  expect((await callee.sends('INVITE', sdp)).answers).toEqual([]);
  expect(caller.methods).toEqual(['INVITE']);
});

test('a cancelled re-INVITE that was answered all the same is acknowledged', async () => {
  for (const body of ['v=0', '']) {
    const change = await caller.sends('INVITE', { headers: [], body });
    const asked = callee.last('INVITE');
    await change.cancels();
    await asked.answer(200);
    expect(asked.acks).toHaveLength(1);
  }
  expect(overs).toBe(0);
});

test('BYE during a re-INVITE: the re-INVITE gets 487, is cancelled beyond, and nothing waits', async () => {
  const change = await caller.sends('INVITE', sdp);
  const asked = callee.last('INVITE');
  const bye = await callee.sends('BYE');
  expect(bye.final).toMatchObject({ status: 200 });
  expect(change.final).toMatchObject({ status: 487 });
  expect(asked.request.cancel?.aborted).toBe(true);
  await asked.answer(200);
  expect(asked.acks).toHaveLength(1);
  await caller.last('BYE').answer(200);
  expect(overs).toBe(1);
  expect([...caller.asked, ...callee.asked]).toEqual([]);
});

test('BYE while the ACK of a late offer is out: the ACK is sent before the BYE', async () => {
  await caller.sends('INVITE');
  const asked = callee.last('INVITE');
  await asked.answer(200, { body: 'v=0' });
  expect(asked.acks).toEqual([]);
  await caller.sends('BYE');
  expect(asked.acks).toEqual([undefined]);
  await caller.acknowledges('v=0');
  expect(asked.acks).toHaveLength(1);
});

test.each([408, 481])('a side that answers %i is gone: the other is told, and no 408 goes back', async (status) => {
  const info = await caller.sends('INFO');
  await callee.last('INFO').answer(status);
  expect(info.final).toMatchObject({ status: 481 });
  expect(caller.last('BYE').request.headers.get('reason')).toBe('SIP;cause=480;text="Other side lost"');
  await callee.last('BYE').answer(481);
  await caller.last('BYE').answer(200);
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
});

test.each([
  [481, 481],
  [408, 500],
])('[PN-PURR-13] a NOTIFY answered %i does not end the call', async (status, passed) => {
  const notify = await callee.sends('NOTIFY', {
    headers: [
      ['Event', 'refer'],
      ['Subscription-State', 'terminated'],
    ],
  });
  await caller.last('NOTIFY').answer(status, { local: status === 408 });
  expect(notify.final).toMatchObject({ status: passed });
  const info = await callee.sends('INFO');
  await caller.last('INFO').answer(200);
  expect(info.final).toMatchObject({ status: 200 });
  expect(overs).toBe(0);
});

test('a re-INVITE answered 481 ends the call', async () => {
  const change = await callee.sends('INVITE', sdp);
  await caller.last('INVITE').answer(481);
  expect(change.final).toMatchObject({ status: 481 });
  expect(callee.last('BYE')).toBeDefined();
});

test('the engine ends one side: the other hears why', async () => {
  await callee.ends('SIP;cause=200;text="Session timer expired"');
  expect(callee.methods).toEqual([]);
  const bye = caller.last('BYE');
  expect(bye.request.headers.get('reason')).toBe('SIP;cause=200;text="Session timer expired"');
  await bye.answer(200);
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
});

test('both sides are ended by the engine', async () => {
  await callee.ends('control connection lost');
  await caller.ends('control connection lost');
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
  await caller.last('BYE').answer(503, { local: true });
  expect([caller.closed, callee.closed, overs]).toEqual([1, 1, 1]);
});

test('we hang up on both, once', async () => {
  call.end('the "edge" is stopping');
  call.end('again');
  for (const side of [caller, callee]) {
    expect(side.methods).toEqual(['BYE']);
    expect(side.last('BYE').request.headers.get('reason')).toBe('SIP;cause=503;text="the  edge  is stopping"');
    await side.last('BYE').answer(200);
  }
  expect(overs).toBe(1);
});

test('identities stop at the border, dialogs are named as the other side knows them', async () => {
  const dialogs = new BridgedDialogs();
  caller = new FakeDialog('phone');
  callee = new FakeDialog('pbx');
  tie({ caller: 'phone', callee: 'upstream', dialogs });
  const second = [new FakeDialog('phone2'), new FakeDialog('pbx2')] as const;
  bridge(second[0], second[1], { log, callId: 'c2', onOver: () => undefined, dialogs });
  await caller.sends('REFER', {
    headers: [
      ['P-Asserted-Identity', '<sip:president@x>'],
      ['Refer-To', '<sip:carol@x?Replaces=phone2-call%3Bto-tag%3Dphone2-ours%3Bfrom-tag%3Dphone2-theirs>'],
    ],
  });
  await new Promise((resolve) => setImmediate(resolve));
  const { headers } = callee.last('REFER').request;
  expect(headers.has('p-asserted-identity')).toBe(false);
  expect(headers.get('refer-to')).toBe(
    '<sip:carol@x?Replaces=pbx2-call%3Bto-tag%3Dpbx2-theirs%3Bfrom-tag%3Dpbx2-ours>',
  );
  expect(dialogs.size).toBe(4);
  await caller.sends('BYE');
  await callee.last('BYE').answer(200);
  expect(dialogs.size).toBe(2);
});

test('a side that gives no sign of life twice in a row is lost, and the other side is told', async () => {
  const clock = new MovedClock();
  call = tie({ heartbeat: { clock, everyMs: 60_000 } });
  clock.move(60_000);
  await callee.last('OPTIONS').answer(200);
  await caller.last('OPTIONS').answer(405);
  clock.move(60_000);
  await callee.last('OPTIONS').answer(408, { local: true });
  await caller.last('OPTIONS').answer(200);
  expect(caller.methods.filter((method) => method === 'BYE')).toHaveLength(0);
  clock.move(60_000);
  await callee.last('OPTIONS').answer(503, { local: true });
  expect(caller.methods.filter((method) => method === 'BYE')).toHaveLength(1);
  await caller.last('BYE').answer(200);
  await callee.last('BYE').answer(408, { local: true });
  expect(overs).toBe(1);
  expect(clock.waiting).toBe(0);
});

test('the ACK of the first INVITE, told late, is not taken for that of a re-INVITE', async () => {
  const change = await caller.sends('INVITE', sdp);
  const asked = callee.last('INVITE');
  await asked.answer(200, { body: 'v=0 answer' });
  expect(change.final).toMatchObject({ status: 200 });
  await caller.acknowledges('', [['CSeq', '1 ACK']]);
  // the change is not finished: the other side may not begin one
  expect((await callee.sends('INVITE', sdp)).final).toMatchObject({ status: 491 });
  await caller.acknowledges();
  const next = await callee.sends('INVITE', sdp);
  expect(next.final).toBeUndefined();
});

test('a dialog that was over before the bridge is: the other side is hung up, and nobody is watched', () => {
  class Over extends FakeDialog {
    override onEnd(listener: (why: string) => void): void {
      super.onEnd(listener);
      listener('gone already');
    }
  }
  const clock = new MovedClock();
  caller = new Over('gone');
  callee = new FakeDialog('left');
  tie({ heartbeat: { clock, everyMs: 1000 } });
  expect(callee.methods).toEqual(['BYE']);
  expect(clock.waiting).toBe(0);
});

test('a REFER that was read together with the answer that began the call it names finds its names', async () => {
  const dialogs = new BridgedDialogs();
  call = tie({ dialogs });
  const [other, twin] = [new FakeDialog('other'), new FakeDialog('twin')];
  const names = `${other.callId};to-tag=${other.localTag};from-tag=${other.remoteTag}`;
  const sent = caller.sends('REFER', { headers: [['Refer-To', `<sip:x@y?Replaces=${encodeURIComponent(names)}>`]] });
  bridge(other, twin, { log, callId: 'c2', onOver: () => undefined, dialogs });
  await sent;
  await new Promise((resolve) => setImmediate(resolve));
  const wanted = `${twin.callId};to-tag=${twin.remoteTag};from-tag=${twin.localTag}`;
  expect(callee.last('REFER').request.headers.get('Refer-To')).toContain(encodeURIComponent(wanted));
});
