/** A phone that sends its call elsewhere by 3xx: the edge tells the caller, or follows itself, within the domain only and not for ever. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const answer = sessionDescription(places.phones, 45_100);
const to = (...contacts: readonly string[]): { readonly headers: Headers } => ({
  headers: Headers.of([['Contact', contacts.join(', ')]]),
});

let bed: Bed;

const dial = (user: string, headers?: Headers) =>
  bed.pbx.dial(`sip:${user}@${homeDomain}`, {
    body: anOffer(),
    remote: bed.edge.at('udp'),
    ...(headers === undefined ? {} : { headers }),
  });
async function awake(user: string, domain = homeDomain): Promise<Phone> {
  const phone = bed.phone(user, { domain, transport: 'tcp' });
  expect((await phone.register()).status).toBe(200);
  onTestFinished(async () => {
    await phone.register({ expires: 0 });
    await phone.sleep();
  });
  return phone;
}
const followed = (): Promise<number> => bed.metric('reveille_redirects_total{outcome="followed"}');

describe('calls.redirects: pass', () => {
  beforeAll(async () => {
    bed = await Bed.open({ config: { calls: { redirects: 'pass' } }, pbx: { challenges: false } });
  });
  afterAll(() => bed.close());

  it('tells the caller, with Contact and Diversion of the phone', async () => {
    const anna = await awake('anna');
    const call = dial('anna');
    const over = call.answer();
    (await anna.nextCall()).reject(302, {
      headers: Headers.of([
        ['Contact', `<sip:bert@${homeDomain}>`],
        ['Diversion', `<sip:anna@${homeDomain}>;reason=user-busy`],
      ]),
    });
    const { status, headers } = await over;
    expect([status, headers.get('Contact'), headers.get('Diversion')]).toEqual([
      302,
      `<sip:bert@${homeDomain}>`,
      `<sip:anna@${homeDomain}>;reason=user-busy`,
    ]);
    expect(await followed()).toBe(0);
  });
});

describe('calls.redirects: follow, and the edge', () => {
  beforeAll(async () => {
    bed = await Bed.open({ config: { calls: { redirects: 'follow' } }, pbx: { challenges: false } });
  });
  afterAll(() => bed.close());

  it('wakes the user named, who hears by whom the call comes', async () => {
    const anna = await awake('anna');
    const bert = await bed.sleeper('bert', { domain: homeDomain });
    bed.wakesOnPush(bert);
    const call = dial('anna', Headers.of([['Supported', 'histinfo']]));
    const answered = call.answer();
    const first = await anna.nextCall();
    first.ring();
    await call.provisional(180);
    first.reject(302, to(`<sip:bert@${homeDomain}>`));
    const second = await bert.nextCall();
    expect(second.request.body).toBe(anOffer());
    expect(second.request.headers.get('Diversion')).toBe(`<sip:anna@${homeDomain}>;reason=deflection;counter=1`);
    expect(second.request.headers.list('History-Info')).toEqual([
      `<sip:anna@${homeDomain}?Reason=SIP%3Bcause%3D302>;index=1`,
      `<sip:bert@${homeDomain}>;index=1.1;mp=1`,
    ]);
    second.answer(answer);
    expect((await answered).body).toBe(answer);
    await second.transaction.ack();
    expect((await second.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('calls the PBX, tries Contacts by their q, and goes on after a refusal', async () => {
    const carl = await awake('carl');
    const dora = await awake('dora');
    const call = dial('carl');
    const answered = call.answer();
    (await carl.nextCall()).reject(302, to(`<sip:4711@${places.pbx}>;q=0.2`, `<sip:dora@${homeDomain}>;q=0.9`));
    (await dora.nextCall()).reject(486);
    const last = await bed.pbx.nextCall();
    expect([last.request.uri, last.request.headers.get('Diversion')]).toEqual([
      `sip:4711@${homeDomain}`,
      `<sip:carl@${homeDomain}>;reason=deflection;counter=1`,
    ]);
    last.answer(answer);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
  });

  it('follows for a PBX that calls the Contact of one phone', async () => {
    const alice = await awake('alice', pbxDomain);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    (await alice.nextCall()).reject(302, to(`<sip:desk@${pbxDomain}>`));
    const desk = await bed.pbx.nextCall();
    expect(desk.request.uri).toBe(`sip:desk@${pbxDomain}`);
    desk.reject(404);
    expect((await answered).status).toBe(404);
  });

  it('tells a CANCEL to whoever rings now', async () => {
    const anna = await awake('anna');
    const dora = await awake('dora');
    const call = dial('anna');
    const over = call.answer();
    (await anna.nextCall()).reject(302, to(`<sip:dora@${homeDomain}>`));
    const rings = await dora.nextCall();
    rings.ring();
    await call.provisional(180);
    call.cancel();
    expect((await over).status).toBe(487);
    await rings.transaction.cancel();
  });

  it('goes to no other domain, to no tel: number, to nobody twice, and not where a call was diverted often already', async () => {
    const emil = await awake('emil');
    const frieda = await awake('frieda');
    const before = await followed();
    for (const contact of ['<sip:x@elsewhere.example.net>', `<sip:emil@${homeDomain}>`, '<tel:+49301234>', '*']) {
      const call = dial('emil');
      const over = call.answer();
      (await emil.nextCall()).reject(302, to(contact));
      expect((await over).status, contact).toBe(302);
    }
    const often = dial('emil', Headers.of([['Diversion', '<sip:a@b.example>;reason=unconditional;counter=5']]));
    const refused = often.answer();
    (await emil.nextCall()).reject(302, to(`<sip:frieda@${homeDomain}>`));
    expect((await refused).status).toBe(302);
    expect(await followed()).toBe(before);
    const round = dial('emil');
    const over = round.answer();
    (await emil.nextCall()).reject(302, to(`<sip:frieda@${homeDomain}>`));
    (await frieda.nextCall()).reject(302, to(`<sip:emil@${homeDomain}>`));
    expect((await over).status).toBe(302);
  });
});
