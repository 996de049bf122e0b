/** What a caller is told when several phones of one user answer (RFC 3261 16.7, RFC 8760 2.5), and what comes too late for a call. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { IncomingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { places } from '../support/edge.ts';
import { fromTrunk } from '../support/requests.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
const registered: Phone[] = [];
beforeAll(async () => {
  bed = await Bed.open();
});
afterEach(async () => {
  for (const phone of registered.splice(0)) await phone.register({ contact: '*', expires: 0 });
});
afterAll(() => bed.close());

async function deskPhones(user: string, count: number): Promise<readonly Phone[]> {
  const phones = Array.from({ length: count }, () => bed.phone(user, { domain: homeDomain, plain: true }));
  for (const phone of phones) await phone.register();
  registered.push(phones[0] as Phone);
  return phones;
}

const dial = (user: string, headers = Headers.empty()) =>
  bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp'), headers });

/** Calls `user` at as many phones as there are answers; each gives its own when all of them ring. */
async function answeredBy(user: string, answers: readonly (readonly [status: number, headers?: Headers])[]) {
  const phones = await deskPhones(user, answers.length);
  const call = dial(user);
  const incoming = await Promise.all(phones.map((phone) => phone.nextCall()));
  incoming.forEach((one, at) => {
    const [status, headers] = answers[at] as (typeof answers)[number];
    one.reject(status, headers === undefined ? {} : { headers });
  });
  return call.answer();
}

const challenge = (field: string, realm: string, ...algorithms: readonly string[]): Headers =>
  Headers.of(
    algorithms.map((algorithm) => [field, `Digest realm="${realm}", nonce="n-${realm}", algorithm=${algorithm}`]),
  );

describe('all phones refuse', () => {
  it.each([
    [[503, 486], 486],
    [[404, 603], 603],
    [[486, 407], 407],
    [[500, 404], 404],
    [[503, 503], 500],
    [[503], 500],
  ])('[EDGE-PRX-09] %j: the caller gets %d', async (statuses, best) => {
    expect(
      (
        await answeredBy(
          'anna',
          statuses.map((status) => [status] as const),
        )
      ).status,
    ).toBe(best);
  });

  it('[EDGE-PRX-09] a phone that has gone without a word counts for nothing beside one that is busy', async () => {
    const [gone, busy] = [
      bed.phone('bert', { domain: homeDomain, plain: true, transport: 'tcp' }),
      bed.phone('bert', { domain: homeDomain, plain: true }),
    ];
    await gone.register();
    await busy.register();
    registered.push(busy);
    await gone.sleep();
    const call = dial('bert');
    (await busy.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[EDGE-PRX-11] [EDGE-AUTH-06] two realms: both challenges in one answer, those of one phone in their order', async () => {
    const first = challenge('WWW-Authenticate', 'desk.example.com', 'SHA-256', 'MD5');
    const second = challenge('WWW-Authenticate', 'home.example.net', 'MD5');
    const answer = await answeredBy('carl', [[401, first], [401, second], [486]]);
    expect(answer.status).toBe(401);
    const lines = answer.headers.lines('WWW-Authenticate');
    expect(lines).toHaveLength(3);
    const from = (headers: Headers) => lines.filter((line) => headers.lines('WWW-Authenticate').includes(line));
    expect(from(first)).toEqual(first.lines('WWW-Authenticate'));
    expect(from(second)).toEqual(second.lines('WWW-Authenticate'));
  });

  it('[EDGE-PRX-11] a 401 and a 407: one of them, with what the other asks for; a refusal beside them asks for nothing', async () => {
    const proxy = challenge('Proxy-Authenticate', 'proxy.example.net', 'MD5');
    const server = challenge('WWW-Authenticate', 'desk.example.com', 'MD5');
    const answer = await answeredBy('dora', [
      [407, proxy],
      [401, server],
      [404, challenge('WWW-Authenticate', 'no', 'MD5')],
    ]);
    expect([401, 407]).toContain(answer.status);
    expect(answer.headers.lines('Proxy-Authenticate')).toEqual(proxy.lines('Proxy-Authenticate'));
    expect(answer.headers.lines('WWW-Authenticate')).toEqual(server.lines('WWW-Authenticate'));
  });

  it('[EDGE-PRX-11] [EDGE-AUTH-06] a MESSAGE to two phones: both challenges too', async () => {
    const phones = await deskPhones('emil', 2);
    const asked = fromTrunk(bed, 'MESSAGE', 'emil', { body: 'hello' });
    const incoming = await Promise.all(phones.map((phone) => phone.ua.next('MESSAGE')));
    incoming.forEach((one, at) => one.respond(401, { headers: challenge('WWW-Authenticate', `realm-${at}`, 'MD5') }));
    const answer = await asked.answer();
    expect(answer.status).toBe(401);
    expect(
      answer.headers
        .lines('WWW-Authenticate')
        .map((line) => /realm="([^"]*)"/.exec(line)?.[1] ?? '')
        .sort(),
    ).toEqual(['realm-0', 'realm-1']);
  });
});

describe('a call that is answered', () => {
  it.each([
    ['udp', true],
    ['tcp', false],
  ] as const)(
    '[PN-INT-18] is not offered to a phone that registers afterwards (%s, plain: %s)',
    async (transport, plain) => {
      const [desk] = await deskPhones('frieda', 1);
      const call = dial('frieda');
      (await (desk as Phone).nextCall()).answer(sessionDescription(places.phones, 41_000));
      expect((await call.answer()).status).toBe(200);
      const late = bed.phone('frieda', { domain: homeDomain, transport, plain });
      expect((await late.register()).status).toBe(200);
      // more of the same, and the end of the call: whatever was to come of the first REGISTER has come by then
      expect((await late.register()).status).toBe(200);
      await call.dialog?.bye();
      expect((await late.register()).status).toBe(200);
      expect(late.invites).toHaveLength(0);
      expect(bed.pushesFor(late)).toHaveLength(0);
    },
  );

  it('[EDGE-FC-03] carries no Feature-Caps, neither of ours nor of either side, in any answer or request', async () => {
    const caps = Headers.of([['Feature-Caps', '*;+sip.pns="apns"']]);
    const [desk] = await deskPhones('gero', 1);
    const call = dial('gero', caps);
    const incoming = await (desk as Phone).nextCall();
    incoming.ring({ headers: caps });
    incoming.answer(sessionDescription(places.phones, 41_000), caps);
    const answers: SipResponse[] = [await call.answer()];
    answers.push(...bed.pbx.ua.seen('in', '180').map(({ message }) => message as SipResponse));
    expect(answers.map(({ status }) => status)).toContain(180);
    for (const { headers } of [incoming.request, ...answers]) expect(headers.has('Feature-Caps')).toBe(false);
    await call.dialog?.bye();
  });
});

describe('Reason', () => {
  const cancelled = async (...reasons: readonly string[]): Promise<IncomingCall['transaction']['request']> => {
    const [desk] = await deskPhones('anna', 1);
    const call = dial('anna');
    const incoming = await (desk as Phone).nextCall();
    incoming.ring();
    call.cancel(Headers.of(reasons.map((reason) => ['Reason', reason])));
    const cancel = await incoming.transaction.cancel();
    await call.answer();
    return cancel;
  };

  it('[EDGE-RSN-03] of a CANCEL: SIP and Q.850 both reach the phone', async () => {
    const { headers } = await cancelled('SIP;cause=200;text="Call completed elsewhere"', 'Q.850;cause=26');
    expect(headers.list('Reason')).toEqual(['SIP;cause=200;text="Call completed elsewhere"', 'Q.850;cause=26']);
  });

  it('[EDGE-RSN-03] of a CANCEL: of two with one protocol the first', async () => {
    const { headers } = await cancelled('SIP;cause=200', 'sip;cause=603', 'Q.850;cause=16');
    expect(headers.list('Reason')).toEqual(['SIP;cause=200', 'Q.850;cause=16']);
  });
});
