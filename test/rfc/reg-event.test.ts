/** The reg event package where the edge is the registrar (RFC 3680, RFC 5628; RFC 8599 13). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { newCallId, newTag } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipRequest } from '../../lib/sip/message.ts';
import { MovedDay } from '../support/moved-day.ts';
import { fromPhone, fromTrunk, PeerDialog } from '../support/requests.ts';
import { type Bed, homeDomain } from '../support/test-bed.ts';

const day = new MovedDay();
let bed: Bed;
beforeAll(async () => {
  bed = await day.open();
});
afterAll(() => day.end());

const asking = [
  ['Event', 'reg'],
  ['Accept', 'application/reginfo+xml'],
] as const;

function subscribe(phone: Phone, of: string, expires = '600') {
  const { user, password = '', algorithm } = phone.options;
  const uri = `sip:${of}@${homeDomain}`;
  const headers = Headers.of([
    ['From', `<${phone.aor}>;tag=${newTag()}`],
    ['To', `<${uri}>`],
    ['Call-ID', newCallId()],
    ['CSeq', '1 SUBSCRIBE'],
    ['Contact', `<${phone.ua.uri(user)}>`],
    ['Expires', expires],
    ...asking,
  ]);
  const credentials = { user, password, ...(algorithm === undefined ? {} : { algorithm }) };
  return phone.ua.authenticated('SUBSCRIBE', uri, { headers }, credentials);
}

/** The next document the phone gets, answered. */
async function document(phone: Phone): Promise<SipRequest> {
  const arrived = await phone.ua.next('NOTIFY');
  arrived.respond(200);
  expect(arrived.request.headers.get('Content-Type')).toBe('application/reginfo+xml');
  return arrived.request;
}

const stateOf = ({ headers }: SipRequest): string => headers.get('Subscription-State') ?? '';
const attributes = (body: string, name: string): string[] =>
  [...body.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map((match) => match[1] ?? '');

async function watching(phone: Phone, expires?: string) {
  const { transaction, answer } = await subscribe(phone, phone.options.user, expires);
  expect(answer.status).toBe(200);
  return { dialog: PeerDialog.subscriber(phone.ua, transaction.request, answer, phone.options.edge), answer };
}

describe('a user who watches his own registrations', () => {
  test('[PN-SEC-05] gets all of them at once, with GRUUs and without a word of push', async () => {
    const phone = bed.phone('anna', { domain: homeDomain, transport: 'tcp' });
    await phone.register();
    const { answer } = await watching(phone);
    expect(answer.headers.get('Expires')).toBe('600');
    const { headers, body } = await document(phone);
    expect(headers.get('Event')).toBe('reg');
    expect(headers.get('Subscription-State')).toMatch(/^active;expires=(600|599)$/);
    expect([attributes(body, 'version'), attributes(body, 'state')]).toEqual([
      ['1.0', '0'],
      ['full', 'active', 'active'],
    ]);
    expect(attributes(body, 'aor')).toEqual([`sip:anna@${homeDomain}`]);
    expect(body).toContain(phone.ua.local.address);
    expect(body).toContain(`<gr:pub-gruu uri="sip:anna@${homeDomain};gr=${phone.options.instanceId ?? ''}"/>`);
    expect(body).toMatch(/<gr:temp-gruu uri="sip:[a-z2-7]+@home\.example\.com;gr" first-cseq="\d+"\/>/);
    expect(body).not.toMatch(/pn-|prid/i);
    expect(body).not.toContain(phone.push?.prid ?? '?');
  });

  test('[EDGE-REG-13] hears who comes and who goes, in versions that grow, at most every five seconds', async () => {
    const phone = bed.phone('bert', { domain: homeDomain, plain: true, algorithm: 'MD5', transport: 'tcp' });
    await phone.register();
    const { dialog } = await watching(phone);
    await document(phone);
    const other = bed.phone('bert', { domain: homeDomain, algorithm: 'MD5' });
    const registeredAt = performance.now();
    await other.register();
    const came = await document(phone);
    expect(performance.now() - registeredAt).toBeGreaterThan(4000);
    expect([attributes(came.body, 'version')[1], attributes(came.body, 'event')]).toEqual([
      '1',
      ['refreshed', 'registered'],
    ]);
    expect(came.body).not.toMatch(/pn-/);
    await other.register({ expires: 0 });
    const gone = await document(phone);
    expect([
      attributes(gone.body, 'version')[1],
      attributes(gone.body, 'state'),
      attributes(gone.body, 'event'),
    ]).toEqual(['2', ['full', 'active', 'active', 'terminated'], ['refreshed', 'unregistered']]);
    // a refresh that changes nothing is no news; one asked for is answered by a document at once
    await phone.register();
    const refreshed = dialog.request('SUBSCRIBE', { headers: [...asking, ['Expires', '300']] });
    expect((await refreshed.answer()).headers.get('Expires')).toBe('300');
    expect(attributes((await document(phone)).body, 'version')[1]).toBe('3');
    const ended = dialog.request('SUBSCRIBE', { headers: [...asking, ['Expires', '0']] });
    expect((await ended.answer()).status).toBe(200);
    expect(stateOf(await document(phone))).toBe('terminated;reason=timeout');
    expect((await dialog.request('SUBSCRIBE', { headers: [...asking, ['Expires', '300']] }).answer()).status).toBe(481);
    await expect.poll(() => bed.metric('reveille_subscriptions'), { timeout: 3000 }).toBeLessThanOrEqual(1);
  });

  test('[PN-PURR-09] is woken when another phone of his comes', async () => {
    const phone = bed.phone('carl', { domain: homeDomain, alerts: true, transport: 'tcp' });
    await phone.register();
    await watching(phone);
    await document(phone);
    await phone.sleep();
    await day.pass(5);
    bed.wakesOnPush(phone);
    await bed.phone('carl', { domain: homeDomain, plain: true }).register();
    await expect.poll(() => phone.awake, { timeout: 8000 }).toBe(true);
    const body = (await document(phone)).body;
    expect(attributes(body, 'state').filter((state) => state === 'active')).toHaveLength(3);
  });

  test('[EDGE-REG-13] Expires: 0 asks for one document, too short an expiry is 423', async () => {
    const phone = bed.phone('dora', { domain: homeDomain, plain: true });
    await phone.register();
    await watching(phone, '0');
    expect(stateOf(await document(phone))).toBe('terminated;reason=timeout');
    const { answer } = await subscribe(phone, 'dora', '10');
    expect([answer.status, answer.headers.get('Min-Expires')]).toEqual([423, '60']);
  });
});

describe('anybody else', () => {
  test('[PN-SEC-05] is told nothing: 403 for another user and for the PBX', async () => {
    const phone = bed.phone('emil', { domain: homeDomain, plain: true });
    await phone.register();
    expect((await subscribe(phone, 'anna')).answer.status).toBe(403);
    expect((await fromTrunk(bed, 'SUBSCRIBE', 'emil', { headers: asking }).answer()).status).toBe(403);
  });

  test('[PN-INT-20] where the PBX is the registrar it is asked', async () => {
    const phone = bed.phone('passed', { plain: true });
    await phone.register();
    const asked = fromPhone(phone, 'SUBSCRIBE', 'passed', { headers: [...asking, ['Expires', '600']] });
    const arrived = await bed.pbx.ua.next('SUBSCRIBE');
    expect(arrived.request.headers.get('Event')).toBe('reg');
    arrived.respond(489);
    expect((await asked.answer()).status).toBe(489);
  });
});
