/** Requests inside a call for a phone whose flow is dead or that sleeps, the re-INVITE first of all (RFC 8599 6.2.3, RFC 3261 14). */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dialog } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import type { ServerTransaction } from '../../apps/demo/transactions.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { wake: { request_hold_seconds: 5, silent_flow_ms: 500 } } });
});
afterAll(() => bed.close());

/** A drachtio-server chooses the way of an INVITE in a dialog itself, and keeps to the flow that is gone. */
const embedded = test.skipIf(onDrachtio);
const sdp = Headers.of([['Content-Type', 'application/sdp']]);
const offer = sessionDescription(places.pbx, 42_000, 2);
const answerSdp = sessionDescription(places.phones, 43_000, 2);

/** A call between the PBX and a phone, whoever began it. */
async function talking(user: string, transport: 'udp' | 'tcp', begunBy: 'pbx' | 'phone') {
  const phone = bed.phone(user, { alerts: true, transport });
  await phone.register();
  if (begunBy === 'phone') {
    const call = phone.call('bob', { body: anOffer() });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    incoming.answer(anOffer(7));
    await answered;
    await incoming.transaction.ack();
    return { phone, atPbx: incoming.dialog };
  }
  if (transport === 'udp') bed.wakesOnPush(phone, { samePort: true });
  const call = bed.pbx.call(user, { body: anOffer() });
  const answered = call.answer();
  const incoming = await phone.nextCall();
  incoming.answer(anOffer(7));
  await answered;
  await incoming.transaction.ack();
  if (transport === 'udp') await bed.nextPush(phone);
  return { phone, atPbx: call.dialog as Dialog };
}

function accept(phone: Phone, incoming: ServerTransaction): void {
  const headers = Headers.of([
    ['Contact', `<${phone.ua.uri(phone.options.user)}>`],
    ['Content-Type', 'application/sdp'],
  ]);
  incoming.respond(200, { headers, body: answerSdp });
}

describe.each([
  ['pbx', 'tcp'],
  ['phone', 'tcp'],
  ['phone', 'udp'],
] as const)('a call begun by the %s, its phone on %s', (begunBy, transport) => {
  embedded(
    `[PN-PURR-09] [PN-PURR-15] a re-INVITE wakes the phone and goes once, over its new flow (${begunBy}, ${transport})`,
    async () => {
      const { phone, atPbx } = await talking(`re-${begunBy}-${transport}`, transport, begunBy);
      await phone.sleep();
      const asked = atPbx.request('INVITE', sdp, offer);
      const push = await bed.nextPush(phone);
      expect(push.pushType).not.toBe('voip');
      expect(asked.responses.map(({ status }) => status).filter((status) => status > 100)).toEqual([]);
      await phone.wake();
      const arrived = await phone.ua.next('INVITE');
      expect(arrived.request.body).toBe(offer);
      accept(phone, arrived);
      const answer = await asked.answer();
      expect([answer.status, answer.body]).toEqual([200, answerSdp]);
      atPbx.ack(asked);
      await arrived.ack();
      await pause(300);
      expect(phone.seen('in', 'INVITE').filter(({ message }) => message.body === offer)).toHaveLength(1);
      // what follows goes the same way, and so does the end
      const info = atPbx.request('INFO');
      (await phone.ua.next('INFO')).respond(200);
      expect((await info.answer()).status).toBe(200);
      const bye = atPbx.bye();
      (await phone.ua.next('BYE')).respond(200);
      expect((await bye).status).toBe(200);
    },
  );
});

test.each(['UPDATE', 'INFO', 'MESSAGE', 'BYE'])(
  '[PN-PURR-09] %s wakes the phone in the middle of a call',
  async (method) => {
    const { phone, atPbx } = await talking(`mid-${method.toLowerCase()}`, 'tcp', 'pbx');
    await phone.sleep();
    const text = Headers.of([['Content-Type', 'text/plain']]);
    const asked = method === 'BYE' ? undefined : atPbx.request(method, text, 'hello');
    const bye = method === 'BYE' ? atPbx.bye() : undefined;
    await bed.nextPush(phone);
    await phone.wake();
    const arrived = await phone.ua.next(method);
    arrived.respond(200, method === 'UPDATE' ? { headers: Headers.of([['Contact', `<${phone.ua.uri('x')}>`]]) } : {});
    expect((await (asked?.answer() ?? bye))?.status).toBe(200);
    if (bye !== undefined) return;
    const end = atPbx.bye();
    (await phone.ua.next('BYE')).respond(200);
    expect((await end).status).toBe(200);
  },
);

describe('what may cross a re-INVITE that is held', () => {
  embedded('[PN-PURR-14] its CANCEL ends it at once: 487, and the phone hears of neither', async () => {
    const { phone, atPbx } = await talking('re-cancelled', 'tcp', 'pbx');
    await phone.sleep();
    const asked = atPbx.request('INVITE', sdp, offer);
    await bed.nextPush(phone);
    asked.cancel();
    expect((await asked.answer()).status).toBe(487);
    await phone.wake();
    // behind the INFO the INVITE would have come
    const info = atPbx.request('INFO');
    (await phone.ua.next('INFO')).respond(200);
    expect((await info.answer()).status).toBe(200);
    expect(phone.seen('in', 'INVITE').filter(({ message }) => message.body === offer)).toEqual([]);
  });

  embedded('[PN-PURR-13] a phone that does not come costs 480, and not the call', async () => {
    const { phone, atPbx } = await talking('re-vain', 'tcp', 'pbx');
    await phone.sleep();
    expect((await atPbx.request('INVITE', sdp, offer).answer()).status).toBe(480);
    bed.wakesOnPush(phone);
    const again = atPbx.request('INVITE', sdp, offer);
    await expect.poll(() => phone.awake, { timeout: 5000 }).toBe(true);
    const arrived = await phone.ua.next('INVITE');
    accept(phone, arrived);
    expect((await again.answer()).status).toBe(200);
    atPbx.ack(again);
    await arrived.ack();
  });

  embedded('[EDGE-PRX-08] the phone’s own re-INVITE meanwhile is 491, and the held one arrives', async () => {
    const { phone, atPbx } = await talking('re-glare', 'tcp', 'phone');
    const [own] = phone.seen('out', 'INVITE');
    const ok = phone.seen('in', '200').find(({ message }) => message.headers.get('CSeq')?.endsWith('INVITE') === true);
    await phone.sleep();
    const asked = atPbx.request('INVITE', sdp, offer);
    await bed.nextPush(phone);
    await phone.open();
    const from = own?.message.headers;
    const theirs = phone.ua.request(
      'INVITE',
      phone.options.edge === undefined ? '' : `sip:${phone.options.edge.address}:${phone.options.edge.port}`,
      {
        headers: Headers.of([
          ['From', from?.get('From') ?? ''],
          ['To', ok?.message.headers.get('To') ?? ''],
          ['Call-ID', from?.get('Call-ID') ?? ''],
          ['CSeq', '9 INVITE'],
          ['Contact', `<${phone.ua.uri('re-glare')}>`],
          ['Content-Type', 'application/sdp'],
        ]),
        body: offer,
      },
    );
    expect((await theirs.answer()).status).toBe(491);
    await phone.register();
    const arrived = await phone.ua.next('INVITE');
    accept(phone, arrived);
    expect((await asked.answer()).status).toBe(200);
    atPbx.ack(asked);
    await arrived.ack();
  });
});
