/** Which held call a REGISTER releases, and along which way the call then goes, asked of a running edge. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { newCallId, newTag } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { places } from '../support/edge.ts';
import { fromPhone } from '../support/requests.ts';
import { anOffer, Bed, homeDomain, pathDomain, pbxDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

const dialHome = (user: string) =>
  bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
const withoutInstance = (contact: string): string => contact.replace(/;\+sip\.instance="[^"]*"/, '');

/** A phone that says nothing of itself but its push parameters, registered and asleep. */
async function bareSleeper(user: string, domain: string): Promise<Phone> {
  const phone = bed.phone(user, { domain });
  await registerBare(phone);
  await phone.sleep();
  return phone;
}

async function registerBare(phone: Phone): Promise<SipResponse> {
  await phone.open();
  return phone.register({ contact: withoutInstance(phone.contact()) });
}

describe.each([
  ['P', pathDomain],
  ['M', pbxDomain],
])('mode %s', (mode, domain) => {
  it('[PN-PROXY-04] a 2xx for another token, or for none, leaves the call held; one for its own releases it', async () => {
    const user = `token-${mode.toLowerCase()}`;
    const asleep = await bareSleeper(user, domain);
    const known = bed.pbx.bindings(user).at(-1);
    if (known === undefined) throw new Error('the PBX does not know the phone');
    const call = bed.pbx.call(user, { binding: known, body: anOffer() });
    await bed.nextPush(asleep);
    const other = bed.phone(user, { domain });
    const plain = bed.phone(user, { domain, plain: true });
    for (const phone of [other, plain]) {
      expect((await registerBare(phone)).status).toBe(200);
      // the 200 goes out before the INVITE would: one more exchange, and it would be here
      expect((await registerBare(phone)).status).toBe(200);
      expect(phone.invites).toHaveLength(0);
    }
    expect(call.transaction.final).toBeUndefined();
    await registerBare(asleep);
    (await asleep.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect([other, plain].flatMap(({ invites }) => invites)).toHaveLength(0);
    await asleep.register({ contact: '*', expires: 0 });
  });

  it('[PN-REG-14] [PN-PROXY-07] the Contact of the REGISTER counts, not every Contact that its 2xx lists', async () => {
    const user = `twins-${mode.toLowerCase()}`;
    const [one, other] = [await bed.sleeper(user, { domain }), await bed.sleeper(user, { domain })];
    const bindings = bed.pbx.bindings(user);
    expect(bindings).toHaveLength(2);
    const call = bed.pbx.call(user, { binding: bindings[1] as (typeof bindings)[number], body: anOffer() });
    await bed.nextPush(other);
    const before = bed.pbx.ua.seen('out', '200').length;
    await one.wake();
    const listed = bed.pbx.ua.seen('out', '200').slice(before).at(-1)?.message.headers.list('Contact');
    expect(listed).toHaveLength(mode === 'P' ? 3 : 2);
    await one.register();
    expect(one.invites).toHaveLength(0);
    expect(call.transaction.final).toBeUndefined();
    await other.wake();
    (await other.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    await one.register({ contact: '*', expires: 0 });
  });

  it.each(['udp', 'tcp'] as const)(
    '[EDGE-OUT-10] the call comes from where the phone registered, to the socket it registered from, whatever its Contact says (%s)',
    async (transport) => {
      const user = `nat-${mode.toLowerCase()}-${transport}`;
      const phone = bed.phone(user, { domain, transport, plain: true, behindNat: '10.1.2.3:45678' });
      await phone.register();
      const call = bed.pbx.call(user, { body: anOffer() });
      (await phone.nextCall()).reject(486);
      expect((await call.answer()).status).toBe(486);
      const [invite] = phone.seen('in', 'INVITE');
      const { address, port } = bed.edge.at(transport);
      expect([invite?.remote.address, invite?.remote.port]).toEqual([address, port]);
      expect(invite?.message.headers.list('Via')).toHaveLength(1);
      expect(invite?.message.kind === 'request' && invite.message.uri).toContain('10.1.2.3:45678');
      await phone.register({ contact: '*', expires: 0 });
    },
  );
});

describe('mode R', () => {
  it('[PN-INT-19] [EDGE-OUT-10] a Contact that names the edge itself makes no circle: one push, one INVITE, to the phone that wrote it', async () => {
    const phone = bed.phone('anna', { domain: homeDomain });
    const { address, port } = bed.edge.at('udp');
    const toEdge = (): string => phone.contact().replace(/sip:anna@[^;>]*/, `sip:anna@${address}:${port}`);
    await phone.open();
    expect((await phone.register({ contact: toEdge() })).status).toBe(200);
    await phone.sleep();
    const call = dialHome('anna');
    await bed.nextPush(phone);
    await phone.open();
    await phone.register({ contact: toEdge() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-INT-19] an INVITE that comes back while it is held, with its names, is 482 and pushes nobody again', async () => {
    const phone = await bed.sleeper('bert', { domain: homeDomain });
    const uri = `sip:bert@${homeDomain}`;
    const headers = Headers.of([
      ['From', `<sip:bob@${pbxDomain}>;tag=${newTag()}`],
      ['To', `<${uri}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 INVITE'],
      ['Contact', `<${bed.pbx.ua.uri('bob')}>`],
    ]);
    const first = bed.pbx.ua.request('INVITE', uri, { headers, to: bed.edge.at('udp') });
    await bed.nextPush(phone);
    const again = bed.pbx.ua.request('INVITE', uri, { headers, to: bed.edge.at('udp') });
    expect((await again.answer()).status).toBe(482);
    first.cancel();
    expect((await first.answer()).status).toBe(487);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  it('[PN-SEC-03] [PN-SEC-04] who asks for the registrations of a user (reg event) without a password gets a challenge and no document', async () => {
    const phone = bed.phone('carl', { domain: homeDomain });
    await phone.register();
    const stranger = await bed.agent(places.stranger);
    const uri = `sip:carl@${homeDomain}`;
    const answer = await stranger
      .request('SUBSCRIBE', uri, {
        headers: Headers.of([
          ['From', `<${uri}>;tag=${newTag()}`],
          ['To', `<${uri}>`],
          ['Call-ID', newCallId()],
          ['CSeq', '1 SUBSCRIBE'],
          ['Contact', `<${stranger.uri('carl')}>`],
          ['Event', 'reg'],
          ['Accept', 'application/reginfo+xml'],
        ]),
      })
      .answer();
    expect(answer.status).toBe(407);
    expect(stranger.seen('in', 'NOTIFY')).toHaveLength(0);
    // nor does the edge ask anybody in his name
    expect(bed.pbx.ua.seen('in', 'SUBSCRIBE')).toHaveLength(0);
    expect(phone.seen('in', 'SUBSCRIBE')).toHaveLength(0);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-SEC-03] what the PBX learns in mode M names no token: a reg event document of it cannot either', async () => {
    const phone = bed.phone('watcher');
    await phone.register();
    const asked = fromPhone(phone, 'SUBSCRIBE', 'watcher', { headers: [['Event', 'reg']] });
    const incoming = await bed.pbx.ua.next('SUBSCRIBE');
    expect(incoming.request.headers.get('Event')).toBe('reg');
    incoming.respond(489);
    expect((await asked.answer()).status).toBe(489);
    expect(
      bed.pbx
        .bindings('watcher')
        .map(({ contact }) => contact)
        .join(),
    ).not.toMatch(/pn-|[0-9a-f]{64}/);
  });
});
