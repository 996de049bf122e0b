/** Several flows of one phone (RFC 5626), Path (RFC 3327), Service-Route (RFC 3608) and GRUU (RFC 5627), asked of a running edge. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { newCallId } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, type PhoneChoice, pbxDomain } from '../support/test-bed.ts';

const edgeAsRegistrar = [
  ['M', pbxDomain],
  ['R', homeDomain],
] as const;

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ domain: { proxies: [places.stranger], service_route: true } });
});
afterAll(() => bed.close());

const fields = (...list: readonly (readonly [string, string])[]) => ({ headers: Headers.of(list) });
const forget = (phone: Phone): Promise<SipResponse> => phone.register({ contact: '*', expires: 0 });
const dial = (uri: string) => bed.pbx.dial(uri, { body: anOffer(), remote: bed.edge.at('udp') });

/** Registers one flow of a phone. */
async function flow(user: string, regId: number, choice: PhoneChoice): Promise<{ phone: Phone; answer: SipResponse }> {
  const phone = bed.phone(user, choice);
  const answer = await phone.register({ contact: phone.contact(await phone.open(), `;reg-id=${regId}`) });
  return { phone, answer };
}

describe.each(edgeAsRegistrar)('reg-id, mode %s', (letter, domain) => {
  it('[EDGE-OUT-06] [PN-INT-02] Require: outbound where reg-id counts; a new port and token under one reg-id is one binding', async () => {
    const { phone, answer } = await flow('anna', 1, { domain });
    expect(answer.headers.list('Require')).toEqual(['outbound']);
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ab'.repeat(32) };
    await phone.sleep();
    const again = await phone.register({ contact: phone.contact(await phone.open(), ';reg-id=1') });
    expect(again.headers.list('Contact')).toHaveLength(1);
    expect((await phone.register()).headers.has('Require')).toBe(false);
    await forget(phone);
  });

  it('[EDGE-OUT-08] two Contacts that stay and a reg-id: 400; reg-id without instance-id says nothing', async () => {
    const phone = bed.phone('bert', { domain });
    const agent = await phone.open();
    const two = `${phone.contact(agent, ';reg-id=1')}, <sip:bert@192.0.2.9>`;
    expect((await phone.register({ contact: two })).status).toBe(400);
    const bare = await phone.register({ contact: `<${agent.uri('bert')}>;reg-id=1` });
    expect([bare.status, bare.headers.has('Require')]).toEqual([200, false]);
    await forget(phone);
  });

  it('[EDGE-OUT-07] behind a proxy without `ob`: 439; with `ob`, of a proxy we believe, as if it were us', async () => {
    const inner = ['Via', 'SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-inner'] as const;
    const stranger = bed.phone('carl', { domain });
    const contact = stranger.contact(await stranger.open(), ';reg-id=1');
    const refused = await stranger.register({ contact, ...fields(inner, ['Path', '<sip:x@evil.example.net;lr;ob>']) });
    expect(refused.status).toBe(439);
    const near = bed.phone('carl', { domain, address: places.stranger });
    const known = near.contact(await near.open(), ';reg-id=1');
    const path = '<sip:x@inner.example.net;lr;ob>';
    const taken = await near.register({ contact: known, ...fields(inner, ['Path', path]) });
    expect([taken.status, taken.headers.get('Require'), taken.headers.get('Path')]).toEqual([200, 'outbound', path]);
    await forget(near);
  });

  it('[PN-INT-03] [EDGE-OUT-09] two flows of a sleeping phone: one push, one INVITE', async () => {
    const instanceId = `urn:uuid:${randomUUID()}`;
    const push = { provider: 'apns', param: bed.pushParam, prid: randomUUID().replaceAll('-', '').repeat(2) };
    const one = await flow('dora', 1, { domain, instanceId, push });
    const other = await flow('dora', 2, { domain, instanceId, push });
    expect(other.answer.headers.list('Contact')).toHaveLength(2);
    const known = bed.pbx.bindings('dora');
    // one phone, one Contact, whatever its flows are
    if (letter === 'M') expect(known).toHaveLength(1);
    await Promise.all([one.phone.sleep(), other.phone.sleep()]);
    const call = letter === 'M' ? bed.pbx.call('dora', { body: anOffer() }) : dial(`sip:dora@${domain}`);
    await bed.nextPush(one.phone);
    const [first] = await Promise.all(
      [one, other].map(async ({ phone }, at) =>
        phone.register({ contact: phone.contact(await phone.open(), `;reg-id=${at + 1}`) }),
      ),
    );
    expect(first?.status).toBe(200);
    const incoming = await Promise.any([one.phone.nextCall(), other.phone.nextCall()]);
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(one.phone.invites.length + other.phone.invites.length).toBe(1);
    expect(bed.pushesFor(one.phone)).toHaveLength(1);
    await forget(one.phone);
  });

  it('[EDGE-OUT-09] the flow of reg-id 1 is dead: the INVITE goes along reg-id 2, and nobody is pushed', async () => {
    const instanceId = `urn:uuid:${randomUUID()}`;
    const one = await flow('emil', 1, { domain, instanceId, plain: true, transport: 'tcp' });
    const other = await flow('emil', 2, { domain, instanceId, plain: true, transport: 'tcp' });
    await one.phone.sleep();
    const call = letter === 'M' ? bed.pbx.call('emil', { body: anOffer() }) : dial(`sip:emil@${domain}`);
    (await other.phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    await forget(other.phone);
  });

  it('[EDGE-OUT-09] 486 of reg-id 1 ends it: reg-id 2 is not tried', async () => {
    const instanceId = `urn:uuid:${randomUUID()}`;
    const one = await flow('frieda', 1, { domain, instanceId, plain: true, transport: 'tcp' });
    const other = await flow('frieda', 2, { domain, instanceId, plain: true, transport: 'tcp' });
    const call = letter === 'M' ? bed.pbx.call('frieda', { body: anOffer() }) : dial(`sip:frieda@${domain}`);
    (await Promise.any([one.phone.nextCall(), other.phone.nextCall()])).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(one.phone.invites.length + other.phone.invites.length).toBe(1);
    await forget(one.phone);
  });

  it('[EDGE-OUT-06] one flow is taken back, the phone is still there by the other', async () => {
    const instanceId = `urn:uuid:${randomUUID()}`;
    const one = await flow('gero', 1, { domain, instanceId, plain: true });
    const other = await flow('gero', 2, { domain, instanceId, plain: true });
    await one.phone.register({ contact: one.phone.contact(one.phone.ua, ';reg-id=1'), expires: 0 });
    if (letter === 'M') expect(bed.pbx.bindings('gero')).toHaveLength(1);
    const call = letter === 'M' ? bed.pbx.call('gero', { body: anOffer() }) : dial(`sip:gero@${domain}`);
    (await other.phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(one.phone.invites).toHaveLength(0);
    await other.phone.register({ contact: other.phone.contact(other.phone.ua, ';reg-id=2'), expires: 0 });
    expect(bed.pbx.bindings('gero')).toHaveLength(0);
  });

  it('[EDGE-PATH-04] Path of a believed proxy comes back to a phone that knows Path; that of a phone is dropped', async () => {
    const near = bed.phone('anna', { domain, address: places.stranger });
    const paths = '<sip:one.example.net;lr>, <sip:two.example.net;lr>';
    const answer = await near.register(fields(['Path', paths]));
    expect(answer.headers.list('Path')).toEqual(paths.split(', '));
    // replaced at each refresh (PN-INT-08)
    expect((await near.register()).headers.has('Path')).toBe(false);
    await forget(near);
    const phone = bed.phone('anna', { domain });
    expect((await phone.register(fields(['Path', paths]))).headers.has('Path')).toBe(false);
    await forget(phone);
  });
});

describe('mode R', () => {
  it('[EDGE-SR-02] Service-Route, the same for every phone of the user and for a fetch', async () => {
    const [one, other] = [bed.phone('anna', { domain: homeDomain }), bed.phone('anna', { domain: homeDomain })];
    const routes = [await one.register(), await other.register(), await other.register({ contact: '' })].map(
      ({ headers }) => headers.get('Service-Route'),
    );
    expect(routes[0]).toMatch(/^<sip:[\d.]+:\d+;lr>$/);
    expect(new Set(routes).size).toBe(1);
    // a call along it
    const callee = bed.phone('bert', { domain: homeDomain, plain: true });
    await callee.register();
    const call = one.call('bert', { body: anOffer(), headers: Headers.of([['Route', routes[0] ?? '']]) });
    const answered = call.answer();
    const incoming = await callee.nextCall();
    expect(incoming.request.headers.has('Route')).toBe(false);
    incoming.reject(486);
    expect((await answered).status).toBe(486);
    await forget(one);
    await forget(callee);
  });
});

/** The GRUUs in the 2xx of this phone. */
async function gruusOf(phone: Phone, callId?: string): Promise<{ pub: string; temp: string }> {
  const headers = Headers.of([['Supported', 'gruu']]);
  const answer = await phone.register({ headers, ...(callId === undefined ? {} : { callId }) });
  const contact = answer.headers
    .list('Contact')
    .find((value) => value.includes(phone.options.instanceId ?? '-')) as string;
  const param = (name: string): string => new RegExp(`;${name}="([^"]+)"`).exec(contact)?.[1] ?? '';
  return { pub: param('pub-gruu'), temp: param('temp-gruu') };
}

describe('GRUU, mode R', () => {
  it('[PN-INT-10] both GRUUs reach that phone alone, asleep or not; a phone that does not know them is given none', async () => {
    const phone = bed.phone('bert', { domain: homeDomain });
    const other = bed.phone('bert', { domain: homeDomain, plain: true });
    const { pub, temp } = await gruusOf(phone);
    expect(pub).toBe(`sip:bert@${homeDomain};gr=${phone.options.instanceId}`);
    expect(temp).toMatch(new RegExp(`^sip:[a-z2-7]+@${homeDomain};gr$`));
    expect((await other.register()).headers.list('Contact').join()).not.toContain('gruu');
    await phone.sleep();
    bed.wakesOnPush(phone);
    for (const uri of [pub, temp]) {
      await phone.sleep();
      const call = dial(uri);
      (await phone.nextCall()).reject(486);
      expect((await call.answer()).status, uri).toBe(486);
    }
    expect(other.invites).toHaveLength(0);
    expect(bed.pushesFor(phone)).toHaveLength(2);
    await forget(other);
  });

  it('[PN-INT-11] temporary ones live as long as the Call-ID; each refresh gives another, the older stays good', async () => {
    const phone = bed.phone('carl', { domain: homeDomain, plain: true });
    const [first, second] = [await gruusOf(phone), await gruusOf(phone)];
    expect(first.temp).not.toBe(second.temp);
    expect(first.pub).toBe(second.pub);
    const call = dial(first.temp);
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    const third = await gruusOf(phone, newCallId());
    expect((await dial(first.temp).answer()).status).toBe(404);
    const alive = dial(third.temp);
    (await phone.nextCall()).reject(486);
    expect((await alive.answer()).status).toBe(486);
    await forget(phone);
  });

  it('[PN-INT-10] 480 for a phone that is not registered, 404 for what nobody has given out', async () => {
    const phone = bed.phone('dora', { domain: homeDomain });
    const { pub, temp } = await gruusOf(phone);
    await forget(phone);
    expect((await dial(pub).answer()).status).toBe(480);
    expect((await dial(temp).answer()).status).toBe(404);
    expect((await dial(`sip:dora@${homeDomain};gr=x`).answer()).status).toBe(404);
    expect((await dial(`sip:v${'a'.repeat(80)}@${homeDomain};gr`).answer()).status).toBe(404);
    expect((await dial(`sip:nobody@${homeDomain};gr=${phone.options.instanceId}`).answer()).status).toBe(404);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});

it('[PN-SEC-05] a mid-registrar gives no GRUU of a domain that is not its own', async () => {
  const phone = bed.phone('hanna', {});
  const answer = await phone.register({ headers: Headers.of([['Supported', 'gruu']]) });
  expect(answer.headers.list('Contact').join()).not.toContain('gruu');
});
