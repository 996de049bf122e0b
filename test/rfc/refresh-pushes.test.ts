/** RFC 8599 5.5: who is pushed before its binding ends, when, and how often; the time of day is moved. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { LabPush } from '../../apps/push-lab/apns-check.ts';
import { MovedDay } from '../support/moved-day.ts';
import { type Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const minute = 60_000;
/** A binding of an hour is pushed 20 to 26 minutes before its end, and once more when half of that has gone. */
const registration = { min_expires: 300, refresh_push_lead_seconds: 1200 };
const seconds = 3600;
const day = new MovedDay();
let bed: Bed;
beforeAll(async () => {
  bed = await day.open({ config: { registration } });
});
afterAll(() => day.end());

/** A Linphone on iOS: one token for calls, one for everything else. */
function bothTokens(
  user: string,
  domain: string,
  expires = seconds,
): { readonly phone: Phone; readonly remote: string } {
  const remote = randomBytes(32).toString('hex');
  const voip = randomBytes(32).toString('hex').toUpperCase();
  const param = `${bed.pushParam}&remote`;
  const prid = `${voip}:voip&${remote}:remote`;
  const phone = bed.phone(user, { domain, expires, push: { provider: 'apns', param, prid } });
  bed.secrets.set(remote, `the other token of ${user}`);
  return { phone, remote };
}

const pushesTo = (token: string): readonly LabPush[] => bed.lab.pushes().filter((push) => push.token === token);

const pushed = (token: string, times: number): Promise<void> =>
  expect.poll(() => pushesTo(token).length, { timeout: 5000 }).toBe(times);

let others = 0;
/** It is this time, and whoever was due has been pushed: so has one whose turn is at the very end. */
async function passUntil(at: number): Promise<void> {
  const life = 300;
  await day.passUntil(at - (life / 2) * 1000);
  const { phone, remote } = bothTokens(`other${others++}`, pbxDomain, life);
  expect((await phone.register()).status).toBe(200);
  await phone.sleep();
  await day.pass(life / 2 + 1);
  await pushed(remote, 1);
}

describe('[PN-EXP-01] from the granted expiry', () => {
  it.each([
    ['the edge', 'anna', homeDomain],
    ['the PBX', 'alice', pbxDomain],
  ])(
    '[PN-EXP-02] [PN-EXP-06] a phone registered with %s is pushed in the background before its end, once more, and then never',
    async (_, user, domain) => {
      const { phone, remote } = bothTokens(user, domain);
      const registeredAt = Date.now();
      expect((await phone.register()).status).toBe(200);
      await phone.sleep();
      for (const [minutes, times] of [
        [33, 0],
        [41, 1],
        [46, 1],
        [51, 2],
        // [PN-EXP-04] nothing comes after the end
        [59, 2],
        [62, 2],
      ] as const) {
        await passUntil(registeredAt + minutes * minute);
        expect([minutes, pushesTo(remote).length]).toEqual([minutes, times]);
      }
      expect(pushesTo(remote).map(({ pushType }) => pushType)).toEqual(['background', 'background']);
      expect(phone.push?.prid.split(/[:&]/).map((part) => pushesTo(part).length)).toEqual([0, 0, 2, 0]);
    },
  );

  it('[PN-EXP-04] a phone that comes at the push is not pushed again for the old end', async () => {
    const { phone, remote } = bothTokens('bert', homeDomain);
    await phone.register();
    await phone.sleep();
    const cameAt = Date.now() + 41 * minute;
    await passUntil(cameAt);
    expect(pushesTo(remote)).toHaveLength(1);
    await phone.wake();
    await passUntil(cameAt + 33 * minute);
    expect(pushesTo(remote)).toHaveLength(1);
    await phone.register({ contact: '*', expires: 0 });
    await passUntil(cameAt + 51 * minute);
    expect(pushesTo(remote)).toHaveLength(1);
  });

  it('[PN-EXP-08] a phone with a VoIP token only is never pushed to refresh, and that is counted', async () => {
    const phone = bed.phone('carl', { domain: homeDomain, expires: seconds });
    await phone.register();
    await phone.sleep();
    expect(await bed.metric('reveille_refresh_impossible_total')).toBeGreaterThan(0);
    await passUntil(Date.now() + 51 * minute);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-EXP-03] [PN-EXP-05] a phone that wakes itself and comes in time is not pushed; one that only asked never is', async () => {
    const { phone, remote } = bothTokens('dora', homeDomain);
    const asks = bed.phone('emil', { domain: homeDomain, push: { provider: 'apns', param: bed.pushParam, prid: '' } });
    await phone.open();
    await asks.open();
    await asks.register({ expires: seconds, contact: `<${asks.ua.uri('emil')};pn-provider=apns>` });
    const self = (): Promise<unknown> => phone.register({ contact: phone.contact(phone.ua, ';+sip.pnsreg') });
    await self();
    const inTime = Date.now() + 50 * minute;
    await passUntil(inTime);
    await self();
    await passUntil(inTime + 57 * minute);
    expect(pushesTo(remote)).toHaveLength(0);
    // late is two minutes before its end
    await passUntil(inTime + 59 * minute);
    expect(pushesTo(remote)).toHaveLength(1);
    expect(bed.pushesFor(asks)).toHaveLength(0);
  });
});
