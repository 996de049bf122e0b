/** Phones whose registration has ended and whose push record has not (registration.wake_lapsed_hours); the time of day is moved. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { MovedDay } from '../support/moved-day.ts';
import { fromTrunk } from '../support/requests.ts';
import { anOffer, type Bed, homeDomain, pathDomain, pbxDomain } from '../support/test-bed.ts';

const seconds = 300;
const registration = { min_expires: seconds, refresh_pushes: false, max_bindings: 2 };
const day = new MovedDay();
let bed: Bed;
let plainBed: Bed;
beforeAll(async () => {
  bed = await day.open({ config: { registration: { ...registration, wake_lapsed_hours: 1 } } });
  plainBed = await day.open({ config: { registration }, beside: bed });
});
afterAll(() => day.end());

/** Registered for a while, asleep, and the while is over. */
async function lapsed(at: Bed, user: string, domain: string): Promise<Phone> {
  const phone = await at.sleeper(user, { domain, expires: seconds, alerts: true });
  await day.pass(seconds + 1);
  return phone;
}

describe('[PN-EXP-04] a registration that has ended', () => {
  it('is the end of all pushes where nothing else is said', async () => {
    const phone = await lapsed(plainBed, 'anna', homeDomain);
    expect((await fromTrunk(plainBed, 'MESSAGE', 'anna', { body: 'x' }).answer()).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('the edge as registrar: a call wakes the phone all the same, and it rings where it registers anew', async () => {
    const phone = await lapsed(bed, 'bert', homeDomain);
    bed.wakesOnPush(phone);
    const call = bed.pbx.dial(`sip:bert@${homeDomain}`, { remote: bed.edge.at('udp'), body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(anOffer(7));
    expect((await answered).status).toBe(200);
    expect(bed.pushesFor(phone)).toHaveLength(1);
    await incoming.transaction.ack();
    await call.dialog?.bye();
  });

  it.each([
    ['the PBX calls the Contact it was given', 'clara', pbxDomain],
    ['the PBX calls along the Path', 'clemens', pathDomain],
  ])('%s after its end', async (_, user, domain) => {
    const phone = bed.phone(user, { domain, expires: seconds, alerts: true });
    await phone.register();
    const binding = bed.pbx.bindings(user).at(-1);
    await phone.sleep();
    await day.pass(seconds + 1);
    bed.wakesOnPush(phone);
    const call = bed.pbx.call(user, { body: anOffer(), ...(binding === undefined ? {} : { binding }) });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(anOffer(7));
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    await call.dialog?.bye();
  });

  it('a token that is dead is pushed once and never again', async () => {
    const phone = await lapsed(bed, 'frieda', homeDomain);
    bed.lab.rules.add({
      token: phone.push?.prid ?? '',
      fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: Date.now() + 60_000 },
    });
    const pushes = await bed.metric('reveille_pushes_total{provider="apns",outcome="token-dead"}');
    for (let round = 0; round < 2; round++)
      expect((await fromTrunk(bed, 'MESSAGE', 'frieda', { body: 'x' }).answer()).status).toBe(480);
    expect(await bed.metric('reveille_pushes_total{provider="apns",outcome="token-dead"}')).toBe(pushes + 1);
  });

  it('makes room for phones that are registered', async () => {
    const old = await lapsed(bed, 'gero', homeDomain);
    const desks = [1, 2].map(() => bed.phone('gero', { domain: homeDomain, alerts: true }));
    for (const desk of desks) {
      expect((await desk.register()).status).toBe(200);
      await desk.sleep();
    }
    fromTrunk(bed, 'MESSAGE', 'gero', { body: 'x' });
    for (const desk of desks) await bed.nextPush(desk);
    expect(bed.pushesFor(old)).toHaveLength(0);
  });

  it('is not listed as a Contact, is counted as lapsed, and goes with its removal, also after a restart', async () => {
    const phone = await lapsed(bed, 'emil', homeDomain);
    // the bindings are counted when an edge starts
    await day.restart(bed);
    await phone.open();
    const fetched = await phone.register({ contact: '' });
    expect([fetched.status, fetched.headers.list('Contact')]).toEqual([200, []]);
    await expect
      .poll(() => bed.metric('reveille_bindings{state="lapsed"}'), { timeout: 10_000 })
      .toBeGreaterThanOrEqual(1);
    await phone.register({ expires: 0 });
    await phone.sleep();
    expect((await fromTrunk(bed, 'MESSAGE', 'emil', { body: 'x' }).answer()).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});
