/** Transfers inside calls (RFC 3515, 3891, 5589): each side sees the names of its own dialogs and users, whoever asks for one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dialog, IncomingCall, OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { fromPhone } from '../support/requests.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

const why = onDrachtio ? 'a drachtio-server has listeners of its own' : undefined;
const atPhone = (port: number): string => sessionDescription(places.phones, port, 2);

interface Talk {
  readonly phone: Dialog;
  readonly pbx: Dialog;
}

describe.skipIf(why !== undefined).each(['udp', 'tcp', 'tls'] as const)(titled('transfers on %s', why), (transport) => {
  let bed: Bed;
  let count = 0;
  beforeAll(async () => {
    bed = await Bed.open({ everywhere: true });
  });
  afterAll(() => bed.close());

  async function aPhone(): Promise<Phone> {
    const phone = bed.phone(`talker${(count += 1)}`, { transport });
    expect((await phone.register()).status).toBe(200);
    return phone;
  }

  async function taken(call: OutgoingCall, next: Promise<IncomingCall>, body: string): Promise<[Dialog, Dialog]> {
    const answered = call.answer();
    const incoming = await next;
    incoming.answer(body);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    return [call.dialog as Dialog, incoming.dialog];
  }

  /** Once this is through, both its dialogs are known to be one call. */
  async function settled(talk: Talk): Promise<Talk> {
    const info = talk.pbx.request('INFO');
    (await talk.phone.next('INFO', 5000)).respond(200);
    expect((await info.answer()).status).toBe(200);
    return talk;
  }

  /** The PBX calls the phone. */
  async function callIn(phone: Phone, headers?: Headers): Promise<Talk> {
    const call = bed.pbx.call(phone.options.user, { body: anOffer(), ...(headers === undefined ? {} : { headers }) });
    if (transport === 'udp') {
      await bed.nextPush(phone);
      await phone.register();
    }
    const [pbx, ours] = await taken(call, phone.nextCall(), atPhone(41_000));
    return settled({ phone: ours, pbx });
  }

  /** The phone calls out. */
  async function callOut(phone: Phone, user: string): Promise<Talk> {
    const [ours, pbx] = await taken(phone.call(user, { body: anOffer() }), bed.pbx.nextCall(), atPhone(42_000));
    return settled({ phone: ours, pbx });
  }

  const replaces = (dialog: Dialog): string =>
    `${dialog.callId};to-tag=${dialog.remoteTag};from-tag=${dialog.localTag}`;
  /** What the other end of this dialog is told to replace: itself is the receiver. */
  const asReceiver = (dialog: Dialog): string =>
    `${dialog.callId};to-tag=${dialog.localTag};from-tag=${dialog.remoteTag}`;

  async function notifies(from: Dialog, to: Dialog, state: string, frag: string): Promise<void> {
    const asked = from.request(
      'NOTIFY',
      Headers.of([
        ['Event', 'refer'],
        ['Subscription-State', state],
        ['Content-Type', 'message/sipfrag;version=2.0'],
      ]),
      frag,
    );
    const heard = await to.next('NOTIFY', 3000);
    expect(heard.request.headers.get('Event')).toBe('refer');
    expect(heard.request.headers.get('Subscription-State')).toBe(state);
    expect(heard.request.headers.get('Content-Type')).toBe('message/sipfrag;version=2.0');
    expect(heard.request.body).toBe(frag);
    heard.respond(200);
    expect((await asked.answer()).status).toBe(200);
  }

  describe.each(['phone', 'pbx'] as const)('blind, asked for by the %s', (asks) => {
    it('is told how it goes until it stands', async () => {
      const phone = await aPhone();
      const talk = await callIn(phone);
      const [from, to] = asks === 'phone' ? [talk.phone, talk.pbx] : [talk.pbx, talk.phone];
      const refer = from.request(
        'REFER',
        Headers.of([
          ['Refer-To', `<sip:carol@${pbxDomain}>`],
          ['Referred-By', `<sip:alice@${pbxDomain}>`],
        ]),
      );
      const heard = await to.next('REFER', 3000);
      expect(heard.request.headers.get('Refer-To')).toBe(`<sip:carol@${pbxDomain}>`);
      expect(heard.request.headers.get('Referred-By')).toBe(`<sip:alice@${pbxDomain}>`);
      heard.respond(202);
      expect((await refer.answer()).status).toBe(202);
      await notifies(to, from, 'active;expires=60', 'SIP/2.0 100 Trying\r\n');
      await notifies(to, from, 'terminated;reason=noresource', 'SIP/2.0 200 OK\r\n');
      expect((await from.bye()).status).toBe(200);
      expect((await to.ended)?.method).toBe('BYE');
    });

    it('fails, and the call goes on', async () => {
      const phone = await aPhone();
      const talk = await callIn(phone);
      const [from, to] = asks === 'phone' ? [talk.phone, talk.pbx] : [talk.pbx, talk.phone];
      const declined = from.request('REFER', Headers.of([['Refer-To', `<sip:carol@${pbxDomain}>`]]));
      (await to.next('REFER', 3000)).respond(603);
      expect((await declined.answer()).status).toBe(603);
      const busy = from.request('REFER', Headers.of([['Refer-To', `<sip:carol@${pbxDomain}>`]]));
      (await to.next('REFER', 3000)).respond(202);
      expect((await busy.answer()).status).toBe(202);
      await notifies(to, from, 'terminated;reason=noresource', 'SIP/2.0 486 Busy Here\r\n');
      const info = from.request('INFO');
      (await to.next('INFO', 3000)).respond(200);
      expect((await info.answer()).status).toBe(200);
      await from.bye();
    });

    it('asks for no news (norefersub)', async () => {
      const phone = await aPhone();
      const talk = await callIn(phone);
      const [from, to] = asks === 'phone' ? [talk.phone, talk.pbx] : [talk.pbx, talk.phone];
      const refer = from.request(
        'REFER',
        Headers.of([
          ['Refer-To', `<sip:carol@${pbxDomain}>`],
          ['Require', 'norefersub'],
          ['Refer-Sub', 'false'],
        ]),
      );
      const heard = await to.next('REFER', 3000);
      expect(heard.request.headers.get('Require')).toBe('norefersub');
      expect(heard.request.headers.get('Refer-Sub')).toBe('false');
      heard.respond(200, { headers: Headers.of([['Refer-Sub', 'false']]) });
      expect((await refer.answer()).headers.get('Refer-Sub')).toBe('false');
      await from.bye();
    });
  });

  it('attended, asked for by the phone: one call came in, the other it made; the PBX finds its own names and its own Contact', async () => {
    const phone = await aPhone();
    const one = await callIn(phone);
    const two = await callOut(phone, 'carol');
    // as RFC 5589 7.1 has it: the Contact of the one it speaks with, which is that of the edge
    const contact = two.phone.target;
    const refer = one.phone.request(
      'REFER',
      Headers.of([
        ['Refer-To', `<${contact}?Replaces=${encodeURIComponent(replaces(two.phone))}>`],
        ['Referred-By', `<${phone.ua.uri(phone.options.user)}>`],
      ]),
    );
    const heard = await one.pbx.next('REFER', 3000);
    expect(heard.request.headers.get('Refer-To')).toBe(
      `<${bed.pbx.ua.uri('pbx')}?Replaces=${encodeURIComponent(asReceiver(two.pbx))}>`,
    );
    expect(heard.request.headers.get('Referred-By')).toBe(`<sip:${phone.options.user}@${pbxDomain}>`);
    heard.respond(202);
    expect((await refer.answer()).status).toBe(202);
    await notifies(one.pbx, one.phone, 'terminated;reason=noresource', 'SIP/2.0 200 OK\r\n');
    await two.pbx.bye();
    await one.phone.bye();
  });

  it('attended, asked for by the PBX: the phone finds its own names, and the user instead of a Contact of ours', async () => {
    const [phone, other] = [await aPhone(), await aPhone()];
    const one = await callIn(phone);
    const two = await callIn(other);
    const [sealed] = bed.pbx.bindings(other.options.user);
    const refer = one.pbx.request(
      'REFER',
      Headers.of([['Refer-To', `<${sealed?.contact}?Replaces=${encodeURIComponent(replaces(two.pbx))}>`]]),
    );
    const heard = await one.phone.next('REFER', 3000);
    const user = `sip:${other.options.user}@${pbxDomain}`;
    expect(heard.request.headers.get('Refer-To')).toBe(
      `<${user}?Replaces=${encodeURIComponent(asReceiver(two.phone))}>`,
    );
    heard.respond(202);
    expect((await refer.answer()).status).toBe(202);
    // the phone does as it is told; the PBX gets back the names it had given
    const call = phone.call(other.options.user, {
      body: anOffer(),
      headers: Headers.of([['Replaces', asReceiver(two.phone)]]),
    });
    const refused = call.answer();
    const incoming = await bed.pbx.nextCall();
    expect(incoming.request.headers.get('Replaces')).toBe(replaces(two.pbx));
    incoming.reject(486);
    expect((await refused).status).toBe(486);
    await one.pbx.bye();
    await two.pbx.bye();
  });

  it('a REFER outside the call that says in Target-Dialog which call it is about (RFC 4538) names it as its receiver knows it', async () => {
    const phone = await aPhone();
    const talk = await callIn(phone);
    const { callId, localTag, remoteTag } = talk.phone;
    const refer = fromPhone(phone, 'REFER', 'boss', {
      headers: [
        ['Refer-To', `<sip:carol@${pbxDomain}>`],
        ['Target-Dialog', `${callId};local-tag=${localTag};remote-tag=${remoteTag}`],
        ['Require', 'tdialog'],
      ],
    });
    const heard = await bed.pbx.ua.next('REFER');
    expect(heard.request.headers.get('Target-Dialog')).toBe(
      `${talk.pbx.callId};local-tag=${talk.pbx.remoteTag};remote-tag=${talk.pbx.localTag}`,
    );
    expect(heard.request.headers.get('Require')).toBe('tdialog');
    heard.respond(202);
    expect((await refer.answer()).status).toBe(202);
    await talk.pbx.bye();
  });

  it('an INVITE of the PBX with Replaces names the call as the phone knows it, also when the phone must be woken for it', async () => {
    const phone = await aPhone();
    const one = await callIn(phone);
    const two = await callIn(phone, Headers.of([['Replaces', replaces(one.pbx)]]));
    expect(phone.invites.at(-1)?.request.headers.get('Replaces')).toBe(asReceiver(one.phone));
    expect((await one.phone.bye()).status).toBe(200);
    expect((await one.pbx.ended)?.method).toBe('BYE');
    const info = two.pbx.request('INFO');
    (await two.phone.next('INFO', 3000)).respond(200);
    expect((await info.answer()).status).toBe(200);
    await two.pbx.bye();
  });
});
