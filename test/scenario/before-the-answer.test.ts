/** What caller and phone say to each other while it still rings (RFC 3262, RFC 3311), and during a long re-INVITE, through the whole edge. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Dialog, IncomingCall, OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const sdp = Headers.of([['Content-Type', 'application/sdp']]);
const atPhone = (port: number): string => sessionDescription(places.phones, port, 2);
const atPbx = (port: number): string => sessionDescription(places.pbx, port, 2);

/** drachtio-server 0.9.10: 481, 500 or nothing for requests of a dialog that has no final answer; after some it ends (SIGSEGV). */
const why = onDrachtio ? 'a drachtio-server keeps no early dialogs' : undefined;
/** It answers the re-INVITE with 500 by itself. */
const noBye = onDrachtio ? 'a drachtio-server ends a re-INVITE by itself' : undefined;

let bed: Bed;
let count = 0;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

describe.skipIf(why !== undefined)(titled('while the phone rings', why), () => {
  let phone: Phone;
  let user: string;

  beforeEach(async () => {
    user = `early${++count}`;
    phone = await bed.sleeper(user);
    bed.wakesOnPush(phone);
  });

  /** The phone's 183 with a description, reliable, and its PRACK from the edge. */
  async function describes(incoming: IncomingCall, body: string): Promise<void> {
    const headers = Headers.of([
      ['Require', '100rel'],
      ['RSeq', '5'],
    ]);
    incoming.progress(183, { headers, body });
    (await incoming.dialog.next('PRACK')).respond(200);
  }

  it('a reliable description stays reliable, and both sides may then change it by UPDATE', async () => {
    const call = bed.pbx.call(user, { body: anOffer(), headers: Headers.of([['Supported', '100rel']]) });
    const incoming = await phone.nextCall();
    await describes(incoming, atPhone(41_000));
    const progress = await call.provisional(183);
    expect(progress.headers.get('Require')).toBe('100rel');
    expect(progress.body).toBe(atPhone(41_000));
    const early = call.early(progress);
    const rack = `${progress.headers.get('RSeq')} ${call.transaction.request.headers.get('CSeq')}`;
    expect((await early.request('PRACK', Headers.of([['RAck', rack]])).answer()).status).toBe(200);
    // named twice it is refused
    expect((await early.request('PRACK', Headers.of([['RAck', rack]])).answer()).status).toBe(481);

    const fromPbx = early.request('UPDATE', sdp, atPbx(42_000));
    const atThePhone = await incoming.dialog.next('UPDATE');
    expect(atThePhone.request.body).toBe(atPbx(42_000));
    incoming.dialog.accept(atThePhone, atPhone(43_000));
    expect((await fromPbx.answer()).body).toBe(atPhone(43_000));

    const fromPhone = incoming.dialog.request('UPDATE', sdp, atPhone(44_000));
    const atThePbx = await early.next('UPDATE');
    expect(atThePbx.request.body).toBe(atPhone(44_000));
    early.accept(atThePbx, atPbx(45_000));
    expect((await fromPhone.answer()).body).toBe(atPbx(45_000));

    const mark = early.request('INFO', Headers.of([['X-Mark', 'early']]));
    const info = await incoming.dialog.next('INFO');
    expect(info.request.headers.get('X-Mark')).toBe('early');
    info.respond(202);
    expect((await mark.answer()).status).toBe(202);

    incoming.answer('');
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    await call.dialog?.bye();
  });

  it('an offer of the phone waits (491) while the caller has not got an answer for sure', async () => {
    const call = bed.pbx.call(user, { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.progress(183, { body: atPhone(41_000) });
    const early = call.early(await call.provisional(183));
    expect((await incoming.dialog.request('UPDATE', sdp, atPhone(44_000)).answer()).status).toBe(491);
    // without an offer it is news for the caller like any other
    const plain = incoming.dialog.request('UPDATE');
    (await early.next('UPDATE')).respond(200);
    expect((await plain.answer()).status).toBe(200);
    // what the caller refuses is refused, and it rings on
    const refused = incoming.dialog.request('INFO');
    (await early.next('INFO')).respond(415);
    expect((await refused.answer()).status).toBe(415);
    call.cancel();
    expect((await call.answer()).status).toBe(487);
  });

  it('BYE of the caller in the early dialog cancels at the phone', async () => {
    const call = bed.pbx.call(user, { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    const early = call.early(await call.provisional(180));
    expect((await early.bye()).status).toBe(200);
    expect((await call.transaction.answer()).status).toBe(487);
    await expect.poll(() => incoming.transaction.cancelled).toBe(true);
  });
});

it.skipIf(why !== undefined)(titled('of two phones that ring nobody speaks with the caller', why), async () => {
  const phones = [1, 2].map(() => bed.phone('gero', { domain: homeDomain, plain: true }));
  for (const phone of phones) expect((await phone.register()).status).toBe(200);
  const call = bed.pbx.dial(`sip:gero@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
  const incoming = await Promise.all(phones.map((phone) => phone.nextCall()));
  incoming.forEach((one) => one.ring());
  // both have been heard: from now on the caller has no counterpart
  const early = call.early(await call.provisional(180));
  await call.provisional(180);
  const later = await Promise.all([
    ...incoming.map((one) => one.dialog.request('INFO').answer()),
    early.request('INFO').answer(),
  ]);
  expect(later.map(({ status, headers }) => [status, headers.get('Retry-After')])).toEqual(
    Array.from({ length: 3 }, () => [500, '5']),
  );
  incoming[0]?.answer(atPhone(41_000));
  expect((await call.answer()).status).toBe(200);
  await call.dialog?.bye();
});

describe('in the call', () => {
  let phone: Phone;
  let call: OutgoingCall;
  let pbx: Dialog;
  let ours: Dialog;

  beforeEach(async () => {
    const user = `talking${++count}`;
    // never pushed, so that it stays where it is for its second call
    phone = bed.phone(user, { plain: true });
    await phone.register();
    call = bed.pbx.call(user, { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(atPhone(41_000));
    await answered;
    await incoming.transaction.ack();
    pbx = call.dialog as Dialog;
    ours = incoming.dialog;
    return async () => {
      if (!pbx.over) await pbx.bye();
    };
  });

  it.skipIf(noBye !== undefined)(
    titled('a re-INVITE that rings says so, and a BYE meanwhile ends it with 487', noBye),
    async () => {
      const asked = ours.request('INVITE', sdp, atPhone(46_000));
      const arrived = await pbx.next('INVITE');
      arrived.respond(180, { headers: Headers.of([['X-Mark', 'asking']]) });
      expect((await asked.provisional(180, 5000)).headers.get('X-Mark')).toBe('asking');
      await ours.bye();
      expect((await asked.answer()).status).toBe(487);
    },
  );

  it('re-INVITEs that cross: 491 for the second, and it may try again', async () => {
    const first = ours.request('INVITE', sdp, atPhone(46_000));
    const arrived = await pbx.next('INVITE');
    const second = pbx.request('INVITE', sdp, atPbx(47_000));
    expect((await second.answer()).status).toBe(491);
    pbx.accept(arrived, atPbx(48_000));
    expect((await first.answer()).status).toBe(200);
    ours.ack(first);
    await arrived.ack();
    // behind the INFO the ACK has surely been heard
    const after = ours.request('INFO');
    (await pbx.next('INFO')).respond(200);
    await after.answer();
    const again = pbx.request('INVITE', sdp, atPbx(49_000));
    ours.accept(await ours.next('INVITE'), atPhone(49_000));
    expect((await again.answer()).status).toBe(200);
    pbx.ack(again);
  });

  it('REFER reaches the other side with its Refer-To as written, only pn-* taken out and our own call named as the PBX knows it', async () => {
    const other = bed.pbx.call(phone.options.user, { body: anOffer() });
    const answered = other.answer();
    const incoming = await phone.nextCall();
    incoming.answer(atPhone(51_000));
    await answered;
    await incoming.transaction.ack();
    const second = incoming.dialog;
    const refer = async (referTo: string): Promise<string | undefined> => {
      const transaction = ours.request('REFER', Headers.of([['Refer-To', referTo]]));
      const arrived = await pbx.next('REFER');
      arrived.respond(202);
      expect((await transaction.answer()).status).toBe(202);
      return arrived.request.headers.get('Refer-To');
    };
    const plain = '"Carol, C." <sip:carol@pbx.example.com;x-odd=1?Subject=a%20b>;method=INVITE;y';
    expect(await refer(plain)).toBe(plain);
    expect(await refer('<sip:carol@x;pn-provider=apns;pn-prid=SECRET;pn-param=P>;z')).toBe('<sip:carol@x>;z');
    const replaces = (callId: string, toTag: string, fromTag: string): string =>
      `<sip:carol@pbx.example.com?Replaces=${encodeURIComponent(`${callId};to-tag=${toTag};from-tag=${fromTag}`)}>`;
    // the phone names its second call by the tags it knows; the PBX finds its own names in it
    const theirs = other.dialog as Dialog;
    expect(await refer(replaces(second.callId, second.remoteTag ?? '', second.localTag ?? ''))).toBe(
      replaces(theirs.callId, theirs.localTag ?? '', theirs.remoteTag ?? ''),
    );
    const notify = pbx.request(
      'NOTIFY',
      Headers.of([
        ['Event', 'refer'],
        ['Subscription-State', 'terminated;reason=noresource'],
        ['Content-Type', 'message/sipfrag'],
      ]),
      'SIP/2.0 200 OK\r\n',
    );
    (await ours.next('NOTIFY')).respond(200);
    expect((await notify.answer()).status).toBe(200);
    expect(pbx.over).toBe(false);
    await theirs.bye();
  });
});
