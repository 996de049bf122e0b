/**
 * RFC 8599 5.5 in real time: bindings of a minute, the shortest there are to be pushed. All cases run at once, because each has
 * to see its binding end.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { LabPush } from '../../apps/push-lab/apns-check.ts';
import { Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const seconds = 61;
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { registration: { min_expires: seconds, refresh_lead_seconds: 30 } } });
});
afterAll(() => bed.close());

/** A Linphone on iOS: one token for calls, one for everything else. */
function bothTokens(user: string, domain: string): { readonly phone: Phone; readonly remote: string } {
  const remote = randomBytes(32).toString('hex');
  const voip = randomBytes(32).toString('hex').toUpperCase();
  const param = `${bed.pushParam}&remote`;
  const prid = `${voip}:voip&${remote}:remote`;
  const phone = bed.phone(user, { domain, expires: seconds, push: { provider: 'apns', param, prid } });
  bed.secrets.set(remote, `the other token of ${user}`);
  return { phone, remote };
}

const pushesTo = (token: string): readonly LabPush[] => bed.lab.pushes().filter((push) => push.token === token);

async function until(happened: () => boolean, withinMs: number): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!happened() && Date.now() < deadline) await pause(100);
}

describe.concurrent('[PN-EXP-01] from the granted expiry', () => {
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
      await until(() => pushesTo(remote).length > 0, seconds * 1000);
      const [first] = pushesTo(remote);
      expect(first?.pushType).toBe('background');
      expect(Date.now() - registeredAt).toBeLessThan((seconds - 25) * 1000);
      await pause(seconds * 1000 - (Date.now() - registeredAt) + 1000);
      // [PN-EXP-04] nothing comes after the end
      expect(pushesTo(remote)).toHaveLength(2);
      expect(phone.push?.prid.split(/[:&]/).map((part) => pushesTo(part).length)).toEqual([0, 0, 2, 0]);
    },
  );

  it('[PN-EXP-04] a phone that comes at the push is not pushed again for the old end', async () => {
    const { phone, remote } = bothTokens('bert', homeDomain);
    await phone.register();
    await phone.sleep();
    await until(() => pushesTo(remote).length > 0, seconds * 1000);
    await phone.wake();
    await pause(20_000);
    expect(pushesTo(remote)).toHaveLength(1);
    await phone.register({ contact: '*', expires: 0 });
    await pause(15_000);
    expect(pushesTo(remote)).toHaveLength(1);
  });

  it('[PN-EXP-08] a phone with a VoIP token only is never pushed to refresh, and that is counted', async () => {
    const phone = bed.phone('carl', { domain: homeDomain, expires: seconds });
    await phone.register();
    await phone.sleep();
    expect(await bed.metric('reveille_refresh_impossible_total')).toBeGreaterThan(0);
    await pause(seconds * 1000);
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
    await pause(30_000);
    await self();
    await pause(30_000);
    expect(pushesTo(remote)).toHaveLength(0);
    await until(() => pushesTo(remote).length > 0, 20_000);
    expect(pushesTo(remote)).toHaveLength(1);
  });
}, 90_000);
