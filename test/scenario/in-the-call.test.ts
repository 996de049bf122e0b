/** What a bridged call owes both sides: bodies and headers unchanged, every request of the dialog through, early media, and no push parameter anywhere. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Dialog, IncomingCall, OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
/** octets beyond ASCII, odd line ends, a NUL (which drachtio-server refuses with 400): nothing of a body is ours to touch */
const strangeBody = Buffer.from(
  `caf\u00e9 \u{1f514}\r\n\r\n--x\nlast line without end${onDrachtio ? '' : '\u0000'}`,
  'utf8',
).toString('latin1');

describe.each(['udp', 'tcp'] as const)('a call on %s', (transport) => {
  let bed: Bed;
  let phone: Phone;
  let call: OutgoingCall;
  let incoming: IncomingCall;
  let atPbx: Dialog;
  let atPhone: Dialog;
  let count = 0;

  beforeAll(async () => {
    bed = await Bed.open({ transport });
  });
  afterAll(() => bed.close());

  beforeEach(async () => {
    count += 1;
    phone = bed.phone(`user${count}`, { transport });
    await phone.register();
    if (transport === 'udp') bed.wakesOnPush(phone, { samePort: true });
    call = bed.pbx.call(`user${count}`, { body: anOffer() });
    const answered = call.answer();
    incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    await answered;
    await incoming.transaction.ack();
    atPhone = incoming.dialog;
    atPbx = call.dialog as Dialog;
    return async () => {
      if (!atPbx.over) await atPbx.bye();
      await phone.sleep();
    };
  });

  const ways = (): readonly (readonly [string, Dialog, Dialog])[] => [
    ['from the PBX', atPbx, atPhone],
    ['from the phone', atPhone, atPbx],
  ];

  it('carries a re-INVITE both ways, offer and answer unchanged, ACK to the end', async () => {
    for (const [way, from, to] of ways()) {
      const offer = sessionDescription(places.pbx, 42_000, 2);
      const transaction = from.request('INVITE', Headers.of([['Content-Type', 'application/sdp']]), offer);
      const arrived = await to.next('INVITE');
      expect(arrived.request.body, way).toBe(offer);
      const answer = sessionDescription(places.phones, 43_000, 2);
      to.accept(arrived, answer);
      expect((await transaction.answer()).body, way).toBe(answer);
      from.ack(transaction);
      await arrived.ack();
      // once this is through the ACK is too, and a re-INVITE from the other side cannot meet this one (491)
      const after = from.request('INFO');
      (await to.next('INFO')).respond(200);
      await after.answer();
    }
  });

  const tooLong = onDrachtio ? 'drachtio-server answers 400 to messages above 8.4 kB' : undefined;
  it.skipIf(onDrachtio)(titled('carries a body as large as a datagram takes', tooLong), async () => {
    const body = 'x'.repeat(30_000);
    const transaction = atPbx.request('MESSAGE', Headers.of([['Content-Type', 'text/plain']]), body);
    const arrived = await atPhone.next('MESSAGE', 3000);
    expect(arrived.request.body).toBe(body);
    arrived.respond(200);
    expect((await transaction.answer(3000)).status).toBe(200);
  });

  it('carries INFO, MESSAGE, UPDATE, NOTIFY and REFER both ways with bodies and headers it does not know', async () => {
    for (const [way, from, to] of ways()) {
      for (const method of ['INFO', 'MESSAGE', 'UPDATE', 'NOTIFY', 'REFER']) {
        const headers = Headers.of([
          ['X-Mark', `${method}; "quoted, comma" <x>`],
          ...(method === 'NOTIFY'
            ? ([
                ['Event', 'conference'],
                ['Subscription-State', 'active;expires=60'],
              ] as const)
            : []),
          ...(method === 'REFER' ? ([['Refer-To', '<sip:carol@pbx.example.com>']] as const) : []),
        ]);
        if (method !== 'REFER') headers.add('Content-Type', 'application/x-mark;charset=utf-8');
        const transaction = from.request(method, headers, method === 'REFER' ? '' : strangeBody);
        const arrived = await to.next(method, 3000);
        expect(arrived.request.headers.get('X-Mark'), `${method} ${way}`).toBe(`${method}; "quoted, comma" <x>`);
        if (method !== 'REFER') {
          expect(arrived.request.body, `${method} ${way}`).toBe(strangeBody);
          expect(arrived.request.headers.get('Content-Type')).toBe('application/x-mark;charset=utf-8');
        }
        arrived.respond(method === 'REFER' ? 202 : 200, { headers: Headers.of([['X-Answer', 'yes, it is']]) });
        const answer = await transaction.answer(3000);
        expect(answer.status, `${method} ${way}`).toBe(method === 'REFER' ? 202 : 200);
        expect(answer.headers.get('X-Answer'), `${method} ${way}`).toBe('yes, it is');
      }
    }
  });

  it('passes a refusal inside the dialog back as it is, and the call goes on', async () => {
    for (const [way, from, to] of ways()) {
      const transaction = from.request('INVITE', Headers.of([['Content-Type', 'application/sdp']]), anOffer(7));
      (await to.next('INVITE')).respond(488, { headers: Headers.of([['Warning', '304 x "no"']]) });
      const answer = await transaction.answer();
      expect([answer.status, answer.headers.get('Warning')], way).toEqual([488, '304 x "no"']);
    }
    expect(atPbx.over || atPhone.over).toBe(false);
  });

  it('carries headers of BYE both ways', async () => {
    expect((await atPhone.bye(Headers.of([['Reason', 'Q.850;cause=16;text="Normal"']]))).status).toBe(200);
    expect((await atPbx.ended)?.headers.get('Reason')).toBe('Q.850;cause=16;text="Normal"');
  });

  it("[PN-SEC-02] [PN-PROXY-19] lets pn-* parameters through to nobody, in no message but the phone's own REGISTER", async () => {
    const leaky = `<${phone.ua.uri(phone.options.user)};pn-provider=apns;pn-param=${bed.pushParam};pn-prid=${phone.push?.prid}>`;
    const second = bed.pbx.call(phone.options.user, { body: anOffer() });
    const answered = second.answer();
    const ringing = await phone.nextCall();
    ringing.ring({ headers: Headers.of([['Contact', leaky]]) });
    ringing.answer(answerSdp, Headers.of([['Contact', leaky]]));
    expect((await answered).status).toBe(200);
    await ringing.transaction.ack();
    const transaction = ringing.dialog.request('UPDATE', Headers.of([['Refer-To', leaky]]));
    (await (second.dialog as Dialog).next('UPDATE')).respond(200);
    await transaction.answer();
    await ringing.dialog.bye();
    for (const { message, direction } of bed.pbx.ua.crossings) {
      if (direction !== 'in') continue;
      const text = `${message.kind === 'request' ? message.uri : ''} ${message.headers.print()}`;
      expect(text).not.toMatch(/pn-(prid|param|provider)/i);
      expect(text).not.toContain(phone.push?.prid);
    }
    for (const { message, direction } of phone.crossings) {
      // what is sent to a Contact of its own making inside a dialog comes back to nobody but this phone
      if (direction !== 'in' || message.kind !== 'request' || message.method !== 'INVITE') continue;
      expect(`${message.uri} ${message.headers.print()}`).not.toMatch(/pn-(prid|param|provider)/i);
    }
  });

  it('answers 481 to a request of a dialog nobody knows', async () => {
    const headers = Headers.of([
      ['From', `<sip:bob@${pbxDomain}>;tag=a`],
      ['To', `<sip:alice@${pbxDomain}>;tag=b`],
      ['Call-ID', `unknown-${count}`],
      ['CSeq', '7 BYE'],
    ]);
    expect((await bed.pbx.ua.request('BYE', 'sip:x@y', { headers, to: bed.edge.at(transport) }).answer()).status).toBe(
      481,
    );
  });
});

describe('before the answer', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  it("passes early media: 183 with its body and the phone's headers, then another SDP in the 200", async () => {
    const phone = await bed.sleeper('alice');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    const early = sessionDescription(places.phones, 44_000);
    incoming.progress(183, { body: early, headers: Headers.of([['Alert-Info', '<http://ring.example/x.wav>']]) });
    const progress = await call.provisional(183);
    expect(progress.body).toBe(early);
    expect(progress.headers.get('Alert-Info')).toBe('<http://ring.example/x.wav>');
    incoming.answer(answerSdp);
    const answer = await call.answer();
    expect(answer.body).toBe(answerSdp);
    await call.dialog?.bye();
  });

  it('carries a call without an offer: the offer in the 200, the answer in the ACK', async () => {
    const phone = await bed.sleeper('berta');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('berta');
    const answered = call.transaction.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.body).toBe('');
    incoming.answer(answerSdp);
    const answer = await answered;
    expect(answer.body).toBe(answerSdp);
    const dialog = call.early(answer);
    dialog.ack(call.transaction, anOffer(3));
    expect((await incoming.transaction.ack()).body).toBe(anOffer(3));
    await dialog.bye();
  });

  it.each([
    [486, 'Busy Here'],
    [404, 'Not Found'],
    [415, 'Unsupported Media Type'],
    [500, 'Server Internal Error'],
    [600, 'Busy Everywhere'],
    [603, 'Decline'],
  ])('passes %i %s of the phone to the caller', async (status, reason) => {
    const phone = await bed.sleeper(`cora${status}`);
    bed.wakesOnPush(phone);
    const call = bed.pbx.call(`cora${status}`, { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.reject(status, { reason, headers: Headers.of([['X-Why', 'because']]) });
    const answer = await call.answer();
    expect([answer.status, answer.reason, answer.headers.get('X-Why')]).toEqual([status, reason, 'because']);
  });
});
