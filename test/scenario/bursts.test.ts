/** Exactly one INVITE for each device and call, whatever REGISTERs a waking phone sends. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WakeOptions } from '../../apps/demo/phone.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';
import { sessionDescription } from '../../apps/demo/media.ts';

const answerSdp = sessionDescription(places.phones, 41_000);

const bursts: readonly (readonly [what: string, options: WakeOptions])[] = [
  ['one REGISTER, sent three times', { copies: 3 }],
  ['three REGISTERs with three Call-IDs', { callIds: 3 }],
  ['three Call-IDs, each sent twice', { callIds: 3, copies: 2 }],
  ['two sockets at once', { ports: 2 }],
  ['two sockets, two Call-IDs each, every REGISTER sent twice', { ports: 2, callIds: 2, copies: 2 }],
];

describe.each([
  ['the PBX is the registrar and challenges', pbxDomain, 'alice'],
  ['the edge is the registrar', homeDomain, 'anna'],
] as const)('%s', (_, domain, user) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  it.each(bursts)('[PN-PROXY-03] [PN-INT-03] rings once after %s', async (_what, options) => {
    for (const transport of ['udp', 'tcp'] as const) {
      const phone = await bed.sleeper(user, { domain, transport });
      bed.wakesOnPush(phone, { restarted: true, ...options });
      const call =
        domain === pbxDomain
          ? bed.pbx.call(user, { body: anOffer() })
          : bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
      const incoming = await phone.nextCall();
      await bed.nextPush(phone); // every REGISTER of the burst has its answer
      incoming.ring();
      await call.provisional(180);
      incoming.answer(answerSdp);
      expect((await call.answer()).status).toBe(200);
      // a REGISTER after the answer must not ring either
      await phone.register();
      expect((await incoming.dialog.bye()).status).toBe(200);
      expect(phone.invites, transport).toHaveLength(1);
      expect(bed.pushesFor(phone), transport).toHaveLength(1);
      await phone.register({ contact: '*', expires: 0 });
      await phone.sleep();
    }
  });
});

describe('several calls', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ config: { wake: { max_held_per_device: 4 } } });
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-21] does not push again for a repeated INVITE', async () => {
    const phone = await bed.sleeper('alice');
    const call = bed.pbx.call('alice', { body: anOffer() });
    await bed.nextPush(phone);
    for (let copy = 0; copy < 3; copy++) bed.pbx.ua.repeat(call.transaction);
    await phone.wake();
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  it('[PN-PROXY-22] releases two held calls with one REGISTER, one INVITE each', async () => {
    const phone = await bed.sleeper('berta');
    const calls = [bed.pbx.call('berta', { body: anOffer(1) }), bed.pbx.call('berta', { body: anOffer(2) })];
    await bed.nextPush(phone);
    await phone.wake();
    const incoming = [await phone.nextCall(), await phone.nextCall()];
    for (const one of incoming) one.reject(486);
    expect((await Promise.all(calls.map((call) => call.answer()))).map(({ status }) => status)).toEqual([486, 486]);
    expect(new Set(incoming.map((one) => one.request.body))).toEqual(new Set([anOffer(1), anOffer(2)]));
    expect(phone.invites).toHaveLength(2);
  });

  it('[PN-PROXY-34] refuses the fifth call held for one phone and keeps the other four', async () => {
    const phone = await bed.sleeper('cora');
    const calls = Array.from({ length: 4 }, (_, mark) => bed.pbx.call('cora', { body: anOffer(mark) }));
    await Promise.all(calls.map((call) => call.provisional(100)));
    await bed.nextPush(phone);
    expect((await bed.pbx.call('cora', { body: anOffer(9) }).answer(2000)).status).toBe(480);
    for (const call of calls) call.cancel();
    expect((await Promise.all(calls.map((call) => call.answer()))).map(({ status }) => status)).toEqual([
      487, 487, 487, 487,
    ]);
  });

  it('wakes twenty phones at once, one INVITE each', async () => {
    const phones = await Promise.all(
      Array.from({ length: 20 }, (_, number) =>
        bed.sleeper(`u${number}`, { transport: number % 2 === 0 ? 'udp' : 'tcp' }),
      ),
    );
    phones.forEach((phone, number) => bed.wakesOnPush(phone, { callIds: 1 + (number % 3), copies: 1 + (number % 2) }));
    const statuses = await Promise.all(
      phones.map(async (phone) => {
        const call = bed.pbx.call(phone.options.user, { body: anOffer() });
        const answered = call.answer();
        const incoming = await phone.nextCall(8000);
        incoming.answer(answerSdp);
        const { status } = await answered;
        await incoming.transaction.ack();
        await call.dialog?.bye();
        await incoming.dialog.ended;
        return status;
      }),
    );
    expect(statuses).toEqual(phones.map(() => 200));
    await pause(100); // a second INVITE would be sent by now
    expect(phones.map((phone) => phone.invites.length)).toEqual(phones.map(() => 1));
  });
});
