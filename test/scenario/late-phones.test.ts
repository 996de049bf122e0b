/** A phone that was pushed for a call and comes when the call is over: what it learns under each option, and what 486 and 603 end. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { callUuid } from '../../lib/core/call-uuid.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);

describe('late_phone: cancelled_invite', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({
      config: { wake: { hold_seconds: 5, silent_flow_ms: 500, late_phone: 'cancelled_invite' } },
    });
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-20] a phone that comes after the CANCEL gets INVITE and CANCEL with the Reason of the caller, once', async () => {
    const phone = await bed.sleeper('alice');
    const call = bed.pbx.call('alice', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel(Headers.of([['Reason', 'Q.850;cause=16;text="Normal call clearing"']]));
    expect((await call.answer(2000)).status).toBe(487);
    await phone.wake({ callIds: 2 });
    const incoming = await phone.nextCall();
    incoming.ring();
    expect((await incoming.transaction.cancel()).headers.get('Reason')).toBe(
      'Q.850;cause=16;text="Normal call clearing"',
    );
    expect((await incoming.transaction.ack()).method).toBe('ACK');
    expect(incoming.transaction.final?.status).toBe(487);
    await phone.register();
    expect(phone.invites).toHaveLength(1);
    expect(incoming.request.headers.get('From')).toContain('sip:');
  });

  it('[PN-PROXY-20] a phone that comes after the bucket timer is told too, without a Reason', async () => {
    const phone = await bed.sleeper('berta');
    const call = bed.pbx.call('berta', { body: anOffer() });
    expect((await call.answer()).status).toBe(480);
    await phone.wake();
    const incoming = await phone.nextCall();
    incoming.ring();
    expect((await incoming.transaction.cancel()).headers.get('Reason')).toBeUndefined();
  });

  it('[PN-PROXY-20] a phone that answers faster than the CANCEL is hung up', async () => {
    const phone = await bed.sleeper('cora');
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    expect((await call.answer(2000)).status).toBe(487);
    await phone.wake();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    await incoming.transaction.ack();
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });

  it('[PN-PROXY-20] [EDGE-RSN-01] a phone that comes after another one has answered hears that there is no missed call', async () => {
    const desk = bed.phone('anna', { domain: homeDomain, plain: true });
    await desk.register();
    const mobile = await bed.sleeper('anna', { domain: homeDomain });
    const call = bed.pbx.dial(`sip:anna@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    await bed.nextPush(mobile);
    (await desk.nextCall()).answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await mobile.wake();
    const incoming = await mobile.nextCall();
    incoming.ring();
    expect((await incoming.transaction.cancel()).headers.get('Reason')).toBe(
      'SIP;cause=200;text="Call completed elsewhere"',
    );
    await call.dialog?.bye();
    expect([desk.invites.length, mobile.invites.length]).toEqual([1, 1]);
  });

  it('a phone that has had the call is not told again', async () => {
    const phone = await bed.sleeper('dina');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('dina', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    call.cancel();
    await incoming.transaction.cancel();
    expect((await call.answer(2000)).status).toBe(487);
    await phone.register();
    expect(phone.invites).toHaveLength(1);
  });

  it('[PN-APNS-06] a call is named alike in its push and in X-Call-UUID of the INVITE, and the PBX does not hear of it', async () => {
    const phone = await bed.sleeper('edda');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('edda', { body: anOffer() });
    const push = await bed.nextPush(phone);
    const incoming = await phone.nextCall();
    const uuid = callUuid(call.transaction.request.headers.get('Call-ID') ?? '');
    expect(incoming.request.headers.get('X-Call-UUID')).toBe(uuid);
    expect((push.payload as Readonly<Record<string, unknown>>)['call-uuid']).toBe(uuid);
    incoming.answer(answerSdp);
    expect((await call.answer()).headers.has('X-Call-UUID')).toBe(false);
    await call.dialog?.bye();
  });
});

describe('late_phone: end_push', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({
      config: { wake: { hold_seconds: 5, silent_flow_ms: 500, late_phone: 'end_push', call_uuid: false } },
    });
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-20] a phone with a token for alerts gets one when its call ends, and no INVITE', async () => {
    const phone = await bed.sleeper('alice', { alerts: true });
    const call = bed.pbx.call('alice', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    const end = await bed.nextPush(phone);
    expect(end.pushType).toBe('alert');
    expect(end.payload).toMatchObject({
      type: 'cancel',
      reason: 'caller-cancelled',
      'call-uuid': callUuid(call.transaction.request.headers.get('Call-ID') ?? ''),
    });
    await phone.wake();
    await phone.register();
    expect(phone.invites).toHaveLength(0);
  });

  it('[PN-APNS-06] a phone with a VoIP token only gets no second push', async () => {
    const phone = await bed.sleeper('berta');
    const call = bed.pbx.call('berta', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    expect((await call.answer(2000)).status).toBe(487);
    // the push of a later call comes after whatever the first one has caused
    const again = bed.pbx.call('berta', { body: anOffer() });
    await bed.nextPush(phone);
    expect(bed.pushesFor(phone)).toHaveLength(2);
    bed.wakesOnPush(phone);
    await phone.wake();
    const incoming = await phone.nextCall();
    expect(incoming.request.headers.has('X-Call-UUID')).toBe(false);
    incoming.reject(486);
    expect((await again.answer()).status).toBe(486);
  });
});

describe('a phone that sends no REGISTER on a push', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-30] is awake when it sends any request over the flow it is bound to', async () => {
    const phone = bed.phone('alice');
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    await bed.nextPush(phone);
    expect(phone.invites).toHaveLength(0);
    phone.ua.request('OPTIONS', 'sip:edge.example.com', {
      headers: Headers.of([
        ['From', `<${phone.aor}>;tag=ping`],
        ['To', '<sip:edge.example.com>'],
        ['Call-ID', 'ping@phone'],
        ['CSeq', '1 OPTIONS'],
        ['Max-Forwards', '70'],
      ]),
    });
    (await phone.nextCall()).answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    expect(phone.seen('out', 'REGISTER').length).toBeLessThanOrEqual(2);
    await call.dialog?.bye();
  });
});

describe('what one phone says', () => {
  const both = async (bed: Bed, user: string) => {
    const [first, second] = [1, 2].map(() => bed.phone(user, { domain: homeDomain, plain: true }));
    if (first === undefined || second === undefined) throw new Error('no phones');
    await first.register();
    await second.register();
    const call = bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    const [one, other] = [await first.nextCall(), await second.nextCall()];
    one.ring();
    other.ring();
    return { call, one, other };
  };

  it('calls.busy: all ends the call for all phones, calls.decline: device for one', async () => {
    const bed = await Bed.open({ config: { calls: { busy: 'all', decline: 'device' } } });
    try {
      const busy = await both(bed, 'anna');
      busy.one.reject(486);
      expect((await busy.other.transaction.cancel()).headers.get('Reason')).toBe('SIP;cause=486;text="Busy Here"');
      expect((await busy.call.answer()).status).toBe(486);
      const declined = await both(bed, 'dora');
      declined.one.reject(603);
      await declined.one.transaction.ack();
      declined.other.answer(answerSdp);
      expect((await declined.call.answer()).status).toBe(200);
      await declined.call.dialog?.bye();
    } finally {
      await bed.close();
    }
  });

  it('as RFC 3261 says when nothing is configured: 486 is for one phone, 603 for all', async () => {
    const bed = await Bed.open();
    try {
      const busy = await both(bed, 'anna');
      busy.one.reject(486);
      await busy.one.transaction.ack();
      busy.other.answer(answerSdp);
      expect((await busy.call.answer()).status).toBe(200);
      await busy.call.dialog?.bye();
      const declined = await both(bed, 'dora');
      declined.one.reject(603);
      await declined.other.transaction.cancel();
      expect((await declined.call.answer()).status).toBe(603);
    } finally {
      await bed.close();
    }
  });
});
