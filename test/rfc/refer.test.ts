/** REFER and methods nobody has heard of, outside dialogs, in both directions (RFC 3515, RFC 6665; RFC 8599 5.6.2). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { newCallId, newTag, type UserAgent } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { tagOf } from '../../lib/sip/name-addr.ts';
import { onDrachtio } from '../support/edge.ts';
import { fromPbx, fromPhone, fromTrunk, PeerDialog } from '../support/requests.ts';
import { Bed, homeDomain, pathDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { wake: { request_hold_seconds: 6, silent_flow_ms: 500 } } });
});
afterAll(() => bed.close());

const referTo = { headers: [['Refer-To', '<sip:carol@pbx.example.com>']] } as const;
const trying = {
  headers: [
    ['Event', 'refer'],
    ['Subscription-State', 'active;expires=60'],
    ['Content-Type', 'message/sipfrag'],
  ],
  body: 'SIP/2.0 100 Trying',
} as const;
const done = {
  headers: [
    ['Event', 'refer'],
    ['Subscription-State', 'terminated;reason=noresource'],
    ['Content-Type', 'message/sipfrag'],
  ],
  body: 'SIP/2.0 200 OK',
} as const;
const contactOf = (uri: string): Headers => Headers.of([['Contact', `<${uri}>`]]);
/** A drachtio-server drops them without a word before any app sees them (drachtio-protocol B.1). */
const embedded = test.skipIf(onDrachtio);

/** Says one NOTIFY at one end and answers it at the other. */
async function notified(
  from: PeerDialog,
  phone: Phone | undefined,
  said: typeof trying | typeof done,
): Promise<Headers> {
  const asked = from.request('NOTIFY', said);
  if (phone !== undefined) await expect.poll(() => phone.awake, { timeout: 5000 }).toBe(true);
  const arrived = await (phone === undefined ? bed.pbx.ua.next('NOTIFY') : phone.ua.next('NOTIFY'));
  expect([arrived.request.body, arrived.request.headers.get('Event')]).toEqual([said.body, 'refer']);
  arrived.respond(200);
  expect((await asked.answer()).status).toBe(200);
  return arrived.request.headers;
}

const refresh = (expires: string) =>
  ({
    headers: [
      ['Event', 'refer'],
      ['Expires', expires],
    ],
  }) as const;

/** One SUBSCRIBE inside the dialog of a REFER; the NOTIFY it asks for comes before its answer. Gives the fields of the answer. */
async function refreshed(
  from: PeerDialog,
  at: UserAgent,
  expires: string,
  toTag: string,
  contact: string,
  before: () => Promise<unknown>,
): Promise<Headers> {
  const asked = from.request('SUBSCRIBE', refresh(expires));
  const arrived = await at.next('SUBSCRIBE');
  const { headers } = arrived.request;
  expect([headers.get('Event'), headers.get('Expires'), tagOf(headers.get('To') ?? '')]).toEqual([
    'refer',
    expires,
    toTag,
  ]);
  expect(headers.get('Contact')).not.toContain('peer@');
  await before();
  arrived.respond(200, {
    headers: Headers.of([
      ['Contact', `<${contact}>`],
      ['Expires', expires],
    ]),
  });
  const answer = await asked.answer();
  expect([answer.status, answer.headers.get('Expires')]).toEqual([200, expires]);
  expect(answer.headers.get('Contact')).not.toContain(contact);
  return answer.headers;
}

describe.each([
  ['P', pathDomain],
  ['M', undefined],
] as const)('mode %s', (mode, domain) => {
  const inDomain = domain === undefined ? {} : { domain };

  embedded(`[PN-PROXY-02] a REFER from the phone, and its NOTIFYs, for which it is woken (${mode})`, async () => {
    const phone = bed.phone(`refers-${mode}`, { ...inDomain, alerts: true, transport: 'tcp' });
    await phone.register();
    const asked = fromPhone(phone, 'REFER', 'boss', referTo);
    const arrived = await bed.pbx.ua.next('REFER');
    const { headers } = arrived.request;
    expect(headers.get('Refer-To')).toBe('<sip:carol@pbx.example.com>');
    expect(headers.get('Contact')).not.toContain('pn-');
    const accepted = arrived.respond(202, { headers: contactOf(bed.pbx.ua.uri('boss')) });
    const answer = await asked.answer();
    expect([answer.status, tagOf(answer.headers.get('To') ?? '')]).toEqual([202, arrived.localTag]);
    const atPbx = PeerDialog.notifier(bed.pbx.ua, arrived, accepted);
    const first = await notified(atPbx, phone, trying);
    expect([first.get('Call-ID'), tagOf(first.get('To') ?? ''), tagOf(first.get('From') ?? '')]).toEqual([
      asked.request.headers.get('Call-ID'),
      tagOf(asked.request.headers.get('From') ?? ''),
      arrived.localTag,
    ]);
    await phone.sleep();
    bed.wakesOnPush(phone);
    await notified(atPbx, phone, done);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  embedded(`[PN-PROXY-02] the phone prolongs the subscription of its REFER and ends it (${mode})`, async () => {
    const phone = bed.phone(`prolongs-${mode}`, { ...inDomain, alerts: true, transport: 'tcp' });
    await phone.register();
    const asked = fromPhone(phone, 'REFER', 'boss', referTo);
    const arrived = await bed.pbx.ua.next('REFER');
    const accepted = arrived.respond(202, { headers: contactOf(bed.pbx.ua.uri('boss')) });
    const answer = await asked.answer();
    const atPbx = PeerDialog.notifier(bed.pbx.ua, arrived, accepted);
    await notified(atPbx, phone, trying);
    const atPhone = PeerDialog.subscriber(phone.ua, asked.request, answer, phone.options.edge);
    for (const [expires, said] of [
      ['300', trying],
      ['0', done],
    ] as const) {
      await refreshed(atPhone, bed.pbx.ua, expires, arrived.localTag, bed.pbx.ua.uri('boss'), () =>
        notified(atPbx, phone, said),
      );
    }
  });

  embedded(`[PN-PROXY-02] the PBX prolongs the subscription of its REFER at the phone (${mode})`, async () => {
    const phone = bed.phone(`prolonged-${mode}`, { ...inDomain, alerts: true, transport: 'tcp' });
    await phone.register();
    const asked = toPhone('REFER', phone, referTo);
    const arrived = await phone.ua.next('REFER');
    const contact = phone.ua.uri(phone.options.user);
    const accepted = arrived.respond(202, { headers: contactOf(contact) });
    const answer = await asked.answer();
    const atPhone = PeerDialog.notifier(phone.ua, arrived, accepted, { way: phone.options.edge });
    await notified(atPhone, undefined, trying);
    const atPbx = PeerDialog.subscriber(bed.pbx.ua, asked.request, answer, bed.edge.at('udp'));
    const told = await refreshed(atPbx, phone.ua, '300', arrived.localTag, contact, () =>
      notified(atPhone, undefined, trying),
    );
    // the place of the phone is told as the REFER was answered
    expect(told.get('Contact')).toBe(answer.headers.get('Contact'));
    await phone.sleep();
    const refused = atPbx.request('SUBSCRIBE', refresh('0'));
    bed.wakesOnPush(phone);
    await expect.poll(() => phone.awake, { timeout: 5000 }).toBe(true);
    const asleep = await phone.ua.next('SUBSCRIBE');
    asleep.respond(481);
    expect((await refused.answer()).status).toBe(481);
  });

  embedded(
    `[PN-PROXY-13] a REFER for a phone that sleeps is held, and its NOTIFYs find their way back (${mode})`,
    async () => {
      const phone = await bed.sleeper(`referred-${mode}`, { ...inDomain, alerts: true });
      const asked = toPhone('REFER', phone, referTo);
      await bed.nextPush(phone);
      expect(phone.seen('in', 'REFER')).toHaveLength(0);
      await phone.wake();
      const arrived = await phone.ua.next('REFER');
      expect(arrived.request.headers.get('Contact')).not.toContain(String(bed.pbx.ua.local.port));
      const accepted = arrived.respond(202, { headers: contactOf(phone.ua.uri(phone.options.user)) });
      const answer = await asked.answer();
      expect([answer.status, tagOf(answer.headers.get('To') ?? '')]).toEqual([202, arrived.localTag]);
      expect(answer.headers.get('Contact')).not.toContain(phone.ua.local.address);
      const atPhone = PeerDialog.notifier(phone.ua, arrived, accepted, { way: phone.options.edge });
      for (const said of [trying, done]) {
        const seen = await notified(atPhone, undefined, said);
        expect(tagOf(seen.get('To') ?? '')).toBe(tagOf(asked.request.headers.get('From') ?? ''));
      }
    },
  );

  embedded(`[PN-PROXY-16] an unknown method passes both ways, held like any other (${mode})`, async () => {
    const phone = bed.phone(`novel-${mode}`, { ...inDomain, alerts: true, transport: 'tcp' });
    await phone.register();
    const outward = fromPhone(phone, 'BLINK', 'boss', { headers: [['X-App', 'a, b']], body: 'on' });
    const atPbx = await bed.pbx.ua.next('BLINK');
    expect([atPbx.request.body, atPbx.request.headers.get('X-App')]).toEqual(['on', 'a, b']);
    atPbx.respond(299, { reason: 'Blinked' });
    expect(await outward.answer()).toMatchObject({ status: 299, reason: 'Blinked' });
    await phone.sleep();
    const inward = toPhone('BLINK', phone, { body: 'off' });
    await bed.nextPush(phone);
    await phone.wake();
    const atPhone = await phone.ua.next('BLINK');
    expect(atPhone.request.body).toBe('off');
    atPhone.respond(200);
    expect((await inward.answer()).status).toBe(200);
    expect(phone.seen('in', 'BLINK')).toHaveLength(1);
  });
});

/** Along the Path of the phone where the PBX has one. */
function toPhone(method: string, phone: Phone, said: Parameters<typeof fromPbx>[3]) {
  const path = bed.pbx.bindings(phone.options.user).at(-1)?.path ?? [];
  const headers = [...(said?.headers ?? []), ...path.map((value) => ['Route', value] as const)];
  return path.length === 0
    ? fromPbx(bed, method, phone.options.user, said)
    : bed.pbx.ua.request(method, bed.pbx.bindings(phone.options.user).at(-1)?.contact ?? '', {
        headers: Headers.of([
          ['From', `"Bob" <sip:bob@pbx.example.com>;tag=${newTag()}`],
          ['To', `<${phone.aor}>`],
          ['Call-ID', newCallId()],
          ['CSeq', `1 ${method}`],
          ['Contact', `<${bed.pbx.ua.uri('bob')}>`],
          ...headers,
        ]),
        body: said?.body ?? '',
        to: bed.edge.at(bed.pbx.ua.local.transport),
      });
}

describe('mode R', () => {
  embedded('[PN-PROXY-13] a REFER by AOR wakes the user’s phone, and its NOTIFYs reach the sender', async () => {
    const phone = await bed.sleeper('anna', { domain: homeDomain, alerts: true });
    const asked = fromTrunk(bed, 'REFER', 'anna', referTo);
    await bed.nextPush(phone);
    await phone.wake();
    const arrived = await phone.ua.next('REFER');
    const accepted = arrived.respond(202, { headers: contactOf(phone.ua.uri('anna')) });
    expect((await asked.answer()).status).toBe(202);
    const atPhone = PeerDialog.notifier(phone.ua, arrived, accepted, { way: phone.options.edge });
    await notified(atPhone, undefined, done);
  });

  embedded('[PN-PROXY-02] a REFER from one phone to another, the NOTIFY wakes the first', async () => {
    const asker = bed.phone('dora', { domain: homeDomain, alerts: true, transport: 'tcp' });
    const other = bed.phone('emil', { domain: homeDomain, alerts: true, transport: 'tcp' });
    await asker.register();
    await other.register();
    const uri = `sip:emil@${homeDomain}`;
    const headers = Headers.of([
      ['From', `<${asker.aor}>;tag=${newTag()}`],
      ['To', `<${uri}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 REFER'],
      ['Contact', `<${asker.ua.uri('dora')}>`],
      ...referTo.headers,
    ]);
    const password = asker.options.password ?? '';
    const answering = asker.ua.authenticated('REFER', uri, { headers }, { user: 'dora', password });
    const arrived = await other.ua.next('REFER');
    expect(arrived.request.headers.get('Contact')).not.toContain('pn-');
    const accepted = arrived.respond(202, { headers: contactOf(other.ua.uri('emil')) });
    expect((await answering).answer.status).toBe(202);
    const atOther = PeerDialog.notifier(other.ua, arrived, accepted, { way: other.options.edge });
    await asker.sleep();
    bed.wakesOnPush(asker);
    await notified(atOther, asker, done);
  });
});

describe('names that were not given to the one who calls them', () => {
  embedded('[PN-SEC-09] a name taken to another flow is 403, and one made up is nobody’s', async () => {
    const phone = bed.phone('named', { alerts: true, transport: 'tcp' });
    await phone.register();
    const asked = fromPbx(bed, 'REFER', 'named', referTo);
    const arrived = await phone.ua.next('REFER');
    const accepted = arrived.respond(202, { headers: contactOf(phone.ua.uri('named')) });
    expect((await asked.answer()).status).toBe(202);
    const thief = bed.phone('thief', { alerts: true, transport: 'tcp' });
    await thief.register();
    const stolen = PeerDialog.notifier(thief.ua, arrived, accepted, { way: thief.options.edge });
    expect((await stolen.request('NOTIFY', done).answer()).status).toBe(403);
  });

  embedded('[PN-SEC-09] a phone that is not registered cannot begin a subscription it would not hear of', async () => {
    const phone = bed.phone('stranger', { alerts: true });
    await phone.open();
    expect((await fromPhone(phone, 'REFER', 'boss', referTo).answer()).status).toBe(403);
  });
});
