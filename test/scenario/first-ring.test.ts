/** The slice everything stands on: a call to a sleeping phone rings it, once, and both sides can end it. Real processes, real sockets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';
import { places } from '../support/edge.ts';
import { sessionDescription } from '../../apps/demo/media.ts';

const answerSdp = sessionDescription(places.phones, 41_000);

describe.each(['udp', 'tcp'] as const)('a phone and a PBX on %s', (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ transport });
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-02] [PN-PROXY-06] [PN-PROXY-18] pushes, holds, and rings the phone where it registered anew; BYE comes from the caller', async () => {
    const phone = await bed.sleeper('alice', { transport });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', {
      body: anOffer(),
      headers: Headers.of([['X-Branch-Office', 'Graz; floor=2']]),
    });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(parseUri(incoming.request.uri)).toMatchObject({
      user: 'alice',
      host: phone.options.address,
      port: phone.ua.local.port,
    });
    expect(incoming.request.body).toBe(anOffer());
    expect(incoming.request.headers.get('Content-Type')).toBe('application/sdp');
    expect(incoming.request.headers.get('X-Branch-Office')).toBe('Graz; floor=2');
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp, Headers.of([['X-Handset', 'kitchen']]));
    const answer = await answered;
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(answerSdp);
    expect(answer.headers.get('X-Handset')).toBe('kitchen');
    await incoming.transaction.ack();

    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  it('[PN-PROXY-06] lets the phone hang up too', async () => {
    const phone = await bed.sleeper('berta', { transport });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('berta', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('[PN-PROXY-17] sends the 200 to the REGISTER before the INVITE, on one connection', async () => {
    const phone = await bed.sleeper('cora', { transport });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('cora', { body: anOffer() });
    const incoming = await phone.nextCall();
    const arrived = phone.crossings
      .filter(({ direction }) => direction === 'in')
      .map(({ message }) => (message.kind === 'request' ? message.method : String(message.status)));
    // of the waking: a challenge, the 200, then the call
    expect(arrived.slice(-3)).toEqual(['401', '200', 'INVITE']);
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[PN-PROXY-14] [PN-PROXY-15] answers 100 at once and nothing else while it holds', async () => {
    const phone = await bed.sleeper('dina', { transport });
    const call = bed.pbx.call('dina', { body: anOffer() });
    await call.provisional(100, 1000);
    await bed.nextPush(phone);
    expect(call.transaction.responses.map(({ status }) => status)).toEqual([100]);
    bed.wakesOnPush(phone);
    await phone.wake();
    const incoming = await phone.nextCall();
    incoming.reject(603);
    await call.answer();
    expect(call.transaction.responses.map(({ status }) => status)).toEqual([100, 603]);
    const [invite] = bed.pbx.ua.seen('out', 'INVITE').slice(-1);
    const trying = bed.pbx.ua.crossings.find(
      ({ message, direction }) =>
        direction === 'in' &&
        message.kind === 'response' &&
        message.status === 100 &&
        message.headers.get('Call-ID') === call.transaction.request.headers.get('Call-ID'),
    );
    expect((trying?.atMs ?? Number.POSITIVE_INFINITY) - (invite?.atMs ?? 0)).toBeLessThan(200);
  });

  it('[PN-REG-02] rings a phone without push parameters at once and pushes nobody', async () => {
    const phone = bed.phone('edda', { transport, plain: true });
    const registered = await phone.register();
    expect(registered.headers.has('Feature-Caps')).toBe(false);
    const before = bed.lab.pushes().length;
    const call = bed.pbx.call('edda', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.lab.pushes()).toHaveLength(before);
  });
});

describe('a phone that may or may not be awake', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-30] rings a phone on its live TCP connection without a push', async () => {
    const phone = bed.phone('alice', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-INT-04] pushes a phone whose TCP connection is gone instead of giving up', async () => {
    const phone = await bed.sleeper('berta', { transport: 'tcp' });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('berta', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.dialog.bye();
    expect(phone.invites).toHaveLength(1);
  });

  it('[PN-PROXY-30] pushes a phone that keeps silent on a connection that still stands', async () => {
    const phone = bed.phone('cora', { transport: 'tcp' });
    await phone.register();
    const mute = phone.ua;
    // the connection lives, the app does not: nothing it gets is answered
    mute.receive = () => undefined;
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone);
    const ready = phone.wake();
    const incoming = await phone.nextCall();
    await ready;
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.dialog.bye();
  });

  it('[PN-PROXY-05] wakes a phone that comes back on the port it had', async () => {
    const phone = await bed.sleeper('dina');
    bed.wakesOnPush(phone, { samePort: true });
    const call = bed.pbx.call('dina', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.dialog.bye();
    expect(phone.invites).toHaveLength(1);
  });

  it('[PN-PROXY-32] releases the call when the phone registers by chance, without any push', async () => {
    bed.lab.rules.add({ fault: { do: 'slow', ms: 3000 }, times: 1 });
    const phone = await bed.sleeper('edda');
    const call = bed.pbx.call('edda', { body: anOffer() });
    await call.provisional(100);
    await phone.wake({ restarted: true });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.dialog.bye();
  });

  it('[PN-APNS-02] [PN-APNS-03] [PN-APNS-06] asks for a VoIP push that is useless after the hold', async () => {
    const phone = await bed.sleeper('fanny');
    const call = bed.pbx.call('fanny', { body: anOffer() });
    const push = await bed.nextPush(phone);
    expect(push).toMatchObject({ topic: 'com.example.phone.voip', pushType: 'voip', priority: 10 });
    expect(push.expiration * 1000).toBeLessThanOrEqual(push.at + 6000);
    call.cancel();
    expect((await call.answer()).status).toBe(487);
  });

  it('[EDGE-PRX-06] shows the phone To as the PBX wrote it, and the caller by name in the push', async () => {
    const phone = await bed.sleeper('gerda');
    bed.wakesOnPush(phone);
    const contact = bed.pbx.bindings('gerda')[0]?.contact ?? '';
    const ring = async (to: string) => {
      const call = bed.pbx.dial(contact, { body: anOffer(), to, from: '"Bob \\"B\\" Bee" <sip:bob@example.com>' });
      const incoming = await phone.nextCall();
      const push = await bed.nextPush(phone);
      incoming.reject(486);
      await call.answer();
      return { to: incoming.request.headers.get('To'), name: push.payload['display-name'] };
    };
    const to = `"Gerda G" <sip:gerda@${pbxDomain};user=phone>`;
    expect(await ring(to)).toEqual({ to, name: 'Bob "B" Bee' });
    // some PBX copy the Contact they call into To: that is nobody's name
    expect((await ring(`<${contact}>`)).to).toBe(`<sip:gerda@${pbxDomain}>`);
  });
});
