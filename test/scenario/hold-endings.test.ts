/** How a held call ends when it does not ring: bucket timer, CANCEL at every stage, refused push, refused or removed binding. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

/** When the final answer came, ms after the INVITE left. */
function tookMs(call: ReturnType<Bed['pbx']['call']>): number {
  const callId = call.transaction.request.headers.get('Call-ID');
  const own = bed.pbx.ua.crossings.filter(({ message }) => message.headers.get('Call-ID') === callId);
  const sent = own.find(({ message }) => message.kind === 'request' && message.method === 'INVITE');
  const final = own.find(({ message }) => message.kind === 'response' && message.status >= 200);
  return (final?.atMs ?? 0) - (sent?.atMs ?? 0);
}

describe('the bucket timer', () => {
  it('[PN-PROXY-12] answers 480 when it ends, and a later REGISTER rings nothing', async () => {
    const phone = await bed.sleeper('alice');
    const call = bed.pbx.call('alice', { body: anOffer() });
    expect((await call.answer()).status).toBe(480);
    expect(tookMs(call)).toBeGreaterThan(4900);
    expect(tookMs(call)).toBeLessThan(6000);
    await phone.wake();
    await phone.register();
    expect(phone.invites).toHaveLength(0);
  });

  it('[PN-PROXY-08] [PN-PROXY-09] does not ring on a REGISTER the PBX has not accepted, and answers 480 when it refuses it for good', async () => {
    const phone = await bed.sleeper('berta');
    const call = bed.pbx.call('berta', { body: anOffer() });
    await bed.nextPush(phone);
    bed.pbx.onRegister = () => [403];
    const answers = await phone.wake();
    bed.pbx.onRegister = () => undefined;
    expect(answers[0]?.status).toBe(403);
    expect((await call.answer(2000)).status).toBe(480);
    expect(phone.invites).toHaveLength(0);
  });

  it('[PN-PROXY-10] [PN-SEC-07] keeps the call while a REGISTER is challenged, and a wrong password does not get it', async () => {
    const phone = await bed.sleeper('cora');
    const thief = bed.phone('cora', {
      password: 'not hers',
      ...(phone.push === undefined ? {} : { push: phone.push }),
      instanceId: phone.options.instanceId ?? '',
    });
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone);
    expect((await thief.register()).status).toBe(401);
    await phone.wake();
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(thief.invites).toHaveLength(0);
  });

  it('[PN-DEREG-07] answers 480 at once when the binding is removed while the call waits', async () => {
    const phone = await bed.sleeper('dina');
    const call = bed.pbx.call('dina', { body: anOffer() });
    await bed.nextPush(phone);
    await phone.register({ expires: 0 });
    expect((await call.answer(2000)).status).toBe(480);
  });

  it('[PN-PROXY-28] answers 487 when the Expires of the INVITE ends first', async () => {
    await bed.sleeper('edda');
    const call = bed.pbx.call('edda', { body: anOffer(), headers: Headers.of([['Expires', '2']]) });
    expect((await call.answer()).status).toBe(487);
    expect(tookMs(call)).toBeLessThan(3500);
  });
});

describe('CANCEL', () => {
  it('[PN-PROXY-20] while the push is under way: 487, and the woken phone hears nothing', async () => {
    bed.lab.rules.add({ fault: { do: 'slow', ms: 1000 }, times: 1 });
    const phone = await bed.sleeper('alice');
    const call = bed.pbx.call('alice', { body: anOffer() });
    await call.provisional(100);
    expect((await call.cancel().answer()).status).toBe(200);
    expect((await call.answer(2000)).status).toBe(487);
    await phone.wake();
    expect(phone.invites).toHaveLength(0);
    bed.lab.rules.clear();
  });

  it('[PN-PROXY-20] after the push: 487, and the woken phone hears nothing', async () => {
    const phone = await bed.sleeper('berta');
    const call = bed.pbx.call('berta', { body: anOffer() });
    await bed.nextPush(phone);
    expect((await call.cancel().answer()).status).toBe(200);
    expect((await call.answer(2000)).status).toBe(487);
    await phone.wake();
    await phone.register();
    expect(phone.invites).toHaveLength(0);
  });

  it('[PN-PROXY-20] while the REGISTER is at the PBX: 487, and the phone hears nothing', async () => {
    const phone = await bed.sleeper('cora');
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone);
    let arrived: () => void = () => undefined;
    const atPbx = new Promise<void>((done) => {
      arrived = done;
    });
    let release: () => void = () => undefined;
    bed.pbx.onRegister = (incoming) => {
      arrived();
      release = () =>
        incoming.respond(200, { headers: Headers.of([['Contact', incoming.request.headers.get('Contact') ?? '']]) });
      return 'silent';
    };
    const woken = phone.wake();
    await atPbx;
    bed.pbx.onRegister = () => undefined;
    expect((await call.cancel().answer()).status).toBe(200);
    expect((await call.answer(2000)).status).toBe(487);
    release();
    expect((await woken)[0]?.status).toBe(200);
    expect(phone.invites).toHaveLength(0);
  });

  it('[EDGE-PRX-13] while it rings: 487 to the caller, CANCEL to the phone', async () => {
    const phone = await bed.sleeper('dina');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('dina', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    call.cancel();
    await incoming.transaction.cancel();
    expect((await call.answer(2000)).status).toBe(487);
    await incoming.transaction.ack();
  });

  it('[EDGE-RSN-02] passes on the Reason of the CANCEL, so that the phone knows whether the call is a missed one', async () => {
    const phone = await bed.sleeper('dora');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('dora', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    call.cancel(Headers.of([['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]));
    expect((await incoming.transaction.cancel()).headers.get('Reason')).toBe(
      'SIP;cause=200;text="Call completed elsewhere"',
    );
    expect((await call.answer(2000)).status).toBe(487);
  });

  it('[EDGE-TXN-11] before the phone has said anything: the phone is left with nothing that rings', async () => {
    const phone = bed.phone('edda', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('edda', { body: anOffer() });
    const incoming = await phone.nextCall();
    call.cancel();
    expect((await call.answer(2000)).status).toBe(487);
    incoming.ring();
    await incoming.transaction.cancel();
    expect(incoming.transaction.final?.status).toBe(487);
  });

  it('crossing the 200 of the phone: the call is either up or hung up, never half', async () => {
    const phone = await bed.sleeper('fanny');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('fanny', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp);
    call.cancel();
    const { status } = await answered;
    expect([200, 487]).toContain(status);
    await incoming.transaction.ack();
    if (status === 200) await call.dialog?.bye();
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });
});

describe('a push that is refused', () => {
  it('[PN-PROXY-11] [PN-DEREG-06] 410: 480 at once, and the token is not pushed again until the phone registers anew', async () => {
    const phone = await bed.sleeper('alice');
    const token = phone.push?.prid ?? '';
    bed.lab.rules.add({
      token,
      fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: Date.now() + 60_000 },
    });
    const before = bed.lab.stats().faults;
    const call = bed.pbx.call('alice', { body: anOffer() });
    expect((await call.answer(2000)).status).toBe(480);
    expect(tookMs(call)).toBeLessThan(1000);
    expect((await bed.pbx.call('alice', { body: anOffer() }).answer(2000)).status).toBe(480);
    expect(bed.lab.stats().faults - before).toBe(1);
    // nothing could wake it now, and the PBX is told so (PN-PROXY-33)
    expect((await bed.pbx.qualify('alice')).status).toBe(480);
    bed.lab.rules.clear();
  });

  it.each([
    [400, 'BadDeviceToken'],
    [400, 'DeviceTokenNotForTopic'],
    [413, 'PayloadTooLarge'],
  ])('[PN-PROXY-11] %i %s: 480 at once', async (status, reason) => {
    const phone = await bed.sleeper('berta');
    bed.lab.rules.add({ token: phone.push?.prid ?? '', fault: { do: 'answer', status, reason } });
    const call = bed.pbx.call('berta', { body: anOffer() });
    expect((await call.answer(2000)).status).toBe(480);
    expect(tookMs(call)).toBeLessThan(1000);
    bed.lab.rules.clear();
  });

  it('[PN-PROXY-11] 503 once: pushes again while the hold lasts, and the phone rings', async () => {
    const phone = await bed.sleeper('cora');
    bed.lab.rules.add({
      token: phone.push?.prid ?? '',
      times: 1,
      fault: { do: 'answer', status: 503, reason: 'ServiceUnavailable' },
    });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('cora', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it.each(['graceful', 'immediate', 'low'] as const)(
    'a %s GOAWAY during the push does not lose the call',
    async (mode) => {
      const phone = await bed.sleeper('dina');
      bed.lab.rules.add({ token: phone.push?.prid ?? '', times: 1, fault: { do: 'goaway', mode } });
      bed.wakesOnPush(phone);
      const call = bed.pbx.call('dina', { body: anOffer() });
      const incoming = await phone.nextCall();
      incoming.reject(486);
      expect((await call.answer()).status).toBe(486);
      expect(phone.invites).toHaveLength(1);
      bed.lab.rules.clear();
    },
  );
});
