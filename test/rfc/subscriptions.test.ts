/** Subscriptions through the running edge (RFC 6665), and what is said inside them to phones that sleep (RFC 8599 6.2.3). */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { ServerTransaction } from '../../apps/demo/transactions.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { MovedDay } from '../support/moved-day.ts';
import { fromPbx, fromPhone, PeerDialog } from '../support/requests.ts';
import type { Bed } from '../support/test-bed.ts';

const day = new MovedDay();
let bed: Bed;
beforeAll(async () => {
  bed = await day.open({ config: { wake: { request_hold_seconds: 4, silent_flow_ms: 500 } } });
});
afterAll(() => day.end());

const subscribe = [
  ['Event', 'dialog;id=7'],
  ['Accept', 'application/dialog-info+xml'],
  ['Expires', '600'],
] as const;
const active = [
  ['Event', 'dialog;id=7'],
  ['Subscription-State', 'active;expires=599'],
  ['Content-Type', 'application/dialog-info+xml'],
] as const;
const terminated = [
  ['Event', 'dialog;id=7'],
  ['Subscription-State', 'terminated;reason=noresource'],
] as const;

/** A phone that watches somebody at the PBX, with both ends of its subscription. */
async function watching(phone: Phone): Promise<{ atPhone: PeerDialog; atPbx: PeerDialog }> {
  const asked = fromPhone(phone, 'SUBSCRIBE', 'boss', { headers: subscribe });
  const incoming = await bed.pbx.ua.next('SUBSCRIBE');
  const granted = accept(incoming);
  const answer = await asked.answer();
  expect([answer.status, answer.headers.get('Expires')]).toEqual([200, '500']);
  return {
    atPhone: PeerDialog.subscriber(phone.ua, asked.request, answer, phone.options.edge),
    atPbx: PeerDialog.notifier(bed.pbx.ua, incoming, granted),
  };
}

function accept(incoming: ServerTransaction, expires = '500') {
  return incoming.respond(200, {
    headers: Headers.of([
      ['Contact', `<${bed.pbx.ua.uri('blf')}>`],
      ['Expires', expires],
    ]),
  });
}

const subscriptions = (): Promise<number> => bed.metric('reveille_subscriptions');
async function none(): Promise<void> {
  await expect.poll(subscriptions, { timeout: 3000 }).toBe(0);
}

describe('from a phone to the PBX', () => {
  test.each(['udp', 'tcp'] as const)(
    '[PN-INT-20] SUBSCRIBE, NOTIFYs and refreshes pass with all they say; the last NOTIFY ends it (%s)',
    async (transport) => {
      const phone = bed.phone(`blf-${transport}`, { transport });
      await phone.register();
      const { atPhone, atPbx } = await watching(phone);
      const first = atPbx.request('NOTIFY', { headers: active, body: '<dialog-info/>' });
      const seen = await phone.ua.next('NOTIFY');
      expect([
        seen.request.body,
        seen.request.headers.get('Event'),
        seen.request.headers.get('Subscription-State'),
      ]).toEqual(['<dialog-info/>', 'dialog;id=7', 'active;expires=599']);
      seen.respond(200);
      expect((await first.answer()).status).toBe(200);
      const refresh = atPhone.request('SUBSCRIBE', { headers: [...subscribe, ['X-App', 'again']] });
      const refreshed = await bed.pbx.ua.next('SUBSCRIBE');
      expect(refreshed.request.headers.get('X-App')).toBe('again');
      accept(refreshed, '400');
      expect((await refresh.answer()).headers.get('Expires')).toBe('400');
      const last = atPbx.request('NOTIFY', { headers: terminated });
      (await phone.ua.next('NOTIFY')).respond(200);
      expect((await last.answer()).status).toBe(200);
      await none();
      expect((await atPbx.request('NOTIFY', { headers: active }).answer()).status).toBe(481);
      expect((await atPhone.request('SUBSCRIBE', { headers: subscribe }).answer()).status).toBe(481);
    },
  );

  test('a NOTIFY that overtakes the 200 reaches the phone after its 200', async () => {
    const phone = bed.phone('early');
    await phone.register();
    const asked = fromPhone(phone, 'SUBSCRIBE', 'boss', { headers: subscribe });
    const incoming = await bed.pbx.ua.next('SUBSCRIBE');
    const tag = incoming.localTag;
    const early = bed.pbx.ua.request('NOTIFY', `sip:${bed.edge.at('udp').address}:${bed.edge.at('udp').port}`, {
      headers: Headers.of([
        ['From', `${incoming.request.headers.get('To') ?? ''};tag=${tag}`],
        ['To', incoming.request.headers.get('From') ?? ''],
        ['Call-ID', incoming.request.headers.get('Call-ID') ?? ''],
        ['CSeq', '1 NOTIFY'],
        ['Contact', `<${bed.pbx.ua.uri('blf')}>`],
        ...active,
      ]),
    });
    await pause(100);
    accept(incoming);
    expect((await asked.answer()).status).toBe(200);
    (await phone.ua.next('NOTIFY')).respond(200);
    expect((await early.answer()).status).toBe(200);
    const end = PeerDialog.notifier(bed.pbx.ua, incoming, incoming.final ?? accept(incoming), { sent: 1 });
    const last = end.request('NOTIFY', { headers: terminated });
    (await phone.ua.next('NOTIFY')).respond(200);
    await last.answer();
    await none();
  });

  test('[EDGE-AUTH-09] a refusal of the PBX passes as it is, and no dialog is left', async () => {
    const phone = bed.phone('refused');
    await phone.register();
    const asked = fromPhone(phone, 'SUBSCRIBE', 'boss', { headers: subscribe });
    (await bed.pbx.ua.next('SUBSCRIBE')).respond(489, { headers: Headers.of([['Allow-Events', 'presence']]) });
    const answer = await asked.answer();
    expect([answer.status, answer.headers.get('Allow-Events')]).toEqual([489, 'presence']);
    await none();
  });

  test('Expires: 0 ends it with the last NOTIFY', async () => {
    const phone = bed.phone('leaving');
    await phone.register();
    const { atPhone, atPbx } = await watching(phone);
    const asked = atPhone.request('SUBSCRIBE', {
      headers: [
        ['Event', 'dialog;id=7'],
        ['Expires', '0'],
      ],
    });
    accept(await bed.pbx.ua.next('SUBSCRIBE'), '0');
    expect((await asked.answer()).status).toBe(200);
    const last = atPbx.request('NOTIFY', { headers: terminated });
    (await phone.ua.next('NOTIFY')).respond(200);
    expect((await last.answer()).status).toBe(200);
    await none();
  });

  test.each(['udp', 'tcp'] as const)(
    '[PN-PURR-09] [PN-PURR-11] [PN-PURR-15] a NOTIFY for a phone that sleeps pushes it and goes to its new port; the subscription lives on (%s)',
    async (transport) => {
      const phone = bed.phone(`asleep-${transport}`, { alerts: true, transport });
      await phone.register();
      const { atPbx } = await watching(phone);
      await phone.sleep();
      if (transport === 'udp') await day.pass(11); // it was heard a moment ago
      for (let round = 0; round < 2; round++) {
        const asked = atPbx.request('NOTIFY', { headers: active, body: `state ${round}` });
        const push = await bed.nextPush(phone);
        expect(push.pushType).toBe('background');
        await phone.wake();
        const seen = await phone.ua.next('NOTIFY');
        expect(seen.request.body).toBe(`state ${round}`);
        seen.respond(200);
        expect((await asked.answer()).status).toBe(200);
        const cseqs = phone
          .seen('in', 'NOTIFY')
          .map(({ message }) => Number.parseInt(message.headers.get('CSeq') ?? '', 10));
        expect(cseqs).toEqual(cseqs.toSorted((a, b) => a - b));
        expect(new Set(cseqs).size).toBe(cseqs.length);
        if (round === 0) {
          await phone.sleep();
          if (transport === 'udp') await day.pass(11);
        }
      }
      const last = atPbx.request('NOTIFY', { headers: terminated });
      (await phone.ua.next('NOTIFY')).respond(200);
      await last.answer();
      await none();
    },
  );

  test('[PN-PURR-13] [PN-PURR-16] a NOTIFY that cannot be delivered in time is 500 with Retry-After, and the subscription survives', async () => {
    const phone = bed.phone('deaf', { alerts: true, transport: 'tcp' });
    await phone.register();
    const { atPbx } = await watching(phone);
    await phone.sleep();
    const asked = atPbx.request('NOTIFY', { headers: active });
    const sentAt = performance.now();
    const answer = await asked.answer();
    expect([answer.status, Number(answer.headers.get('Retry-After'))]).toEqual([500, 30]);
    expect(performance.now() - sentAt).toBeLessThan(12_000);
    expect(await subscriptions()).toBe(1);
    bed.wakesOnPush(phone);
    const last = atPbx.request('NOTIFY', { headers: terminated });
    await expect.poll(() => phone.awake, { timeout: 5000 }).toBe(true);
    (await phone.ua.next('NOTIFY')).respond(200);
    expect((await last.answer()).status).toBe(200);
    await none();
  });
});

describe('from the PBX to a phone', () => {
  test('[PN-PROXY-02] a SUBSCRIBE wakes the phone; its NOTIFYs and its end pass', async () => {
    const phone = await bed.sleeper('watched', { alerts: true });
    const asked = fromPbx(bed, 'SUBSCRIBE', 'watched', { headers: subscribe });
    await bed.nextPush(phone);
    await phone.wake();
    const incoming = await phone.ua.next('SUBSCRIBE');
    expect(incoming.request.headers.get('Event')).toBe('dialog;id=7');
    const granted = incoming.respond(200, {
      headers: Headers.of([
        ['Contact', `<${phone.ua.uri('watched')}>`],
        ['Expires', '300'],
      ]),
    });
    const answer = await asked.answer();
    expect([answer.status, answer.headers.get('Expires')]).toEqual([200, '300']);
    const notifier = PeerDialog.notifier(phone.ua, incoming, granted, { way: phone.options.edge });
    const first = notifier.request('NOTIFY', { headers: active, body: 'state' });
    const seen = await bed.pbx.ua.next('NOTIFY');
    expect(seen.request.body).toBe('state');
    seen.respond(200);
    expect((await first.answer()).status).toBe(200);
    const refresh = PeerDialog.subscriber(bed.pbx.ua, asked.request, answer).request('SUBSCRIBE', {
      headers: subscribe,
    });
    const refreshed = await phone.ua.next('SUBSCRIBE');
    refreshed.respond(200, {
      headers: Headers.of([
        ['Contact', `<${phone.ua.uri('watched')}>`],
        ['Expires', '200'],
      ]),
    });
    expect((await refresh.answer()).headers.get('Expires')).toBe('200');
    const last = notifier.request('NOTIFY', { headers: terminated });
    (await bed.pbx.ua.next('NOTIFY')).respond(200);
    expect((await last.answer()).status).toBe(200);
    await none();
  });

  test('a NOTIFY that nobody asked for (message waiting) reaches the phone', async () => {
    const phone = await bed.sleeper('mail', { alerts: true });
    const asked = fromPbx(bed, 'NOTIFY', 'mail', {
      headers: [
        ['Event', 'message-summary'],
        ['Subscription-State', 'active'],
        ['Content-Type', 'application/simple-message-summary'],
      ],
      body: 'Messages-Waiting: yes\r\n',
    });
    await bed.nextPush(phone);
    await phone.wake();
    const seen = await phone.ua.next('NOTIFY');
    expect([seen.request.body, seen.request.headers.get('Event')]).toEqual([
      'Messages-Waiting: yes\r\n',
      'message-summary',
    ]);
    seen.respond(200);
    expect((await asked.answer()).status).toBe(200);
  });
});

test('a NOTIFY and a SUBSCRIBE of a dialog nobody knows are 481, so that both sides begin anew', async () => {
  const { address, port } = bed.edge.at('udp');
  for (const method of ['NOTIFY', 'SUBSCRIBE']) {
    const headers = Headers.of([
      ['From', '<sip:pbx@example.com>;tag=1'],
      ['To', '<sip:phone@example.com>;tag=2'],
      ['Call-ID', `unknown-${method}`],
      ['CSeq', `5 ${method}`],
      ...active,
    ]);
    expect((await bed.pbx.ua.request(method, `sip:${address}:${port}`, { headers }).answer()).status).toBe(481);
  }
});
