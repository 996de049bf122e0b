/** [PN-SEC-11] What must not get out: tokens, passwords, HA1s, digests and the push key never reach a log line or a metric, also when things go wrong. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

it('[PN-SEC-11] keeps them to itself on every path a token takes', async () => {
  const phone = await bed.sleeper('alice');
  const token = phone.push?.prid ?? '';
  const call = async (): Promise<number> => {
    const placed = bed.pbx.call('alice', { body: anOffer(), headers: Headers.of([['Subject', `about ${token}`]]) });
    return (await placed.answer(8000)).status;
  };
  // refused, broken off, not answered, cut, and a body that is no JSON
  for (const fault of [
    { do: 'answer', status: 400, reason: `BadDeviceToken ${token}` },
    { do: 'answer', status: 403, reason: 'InvalidProviderToken' },
    { do: 'answer', status: 500, html: true },
    { do: 'reset', code: 'INTERNAL_ERROR' },
    { do: 'drop', when: 'before' },
    { do: 'hang' },
  ] as const) {
    bed.lab.rules.add({ token, fault });
    expect(await call()).toBe(480);
    bed.lab.rules.clear();
  }
  bed.lab.rules.add({
    token,
    fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: Date.now() + 60_000 },
  });
  expect(await call()).toBe(480);
  bed.lab.rules.clear();
  expect(await bed.leaks()).toEqual([]);
}, 60_000);

it('[PN-SEC-11] keeps them to itself when a message cannot be read', async () => {
  const phone = bed.phone('berta');
  const token = phone.push?.prid ?? '';
  await phone.open();
  for (const contact of [
    `<sip:${token}@x;pn-provider=apns;pn-prid=${token};pn-prid=${token}>`,
    `<sip:berta@x;pn-provider=apns;pn-param=${bed.pushParam};pn-prid=${token}`,
    `<sip:berta@x:99999;pn-provider=apns;pn-prid=${token}>`,
    `"${token} <sip:berta@x>`,
  ]) {
    expect((await phone.register({ contact })).status).toBe(400);
  }
  await phone.register({ headers: Headers.of([['Require', `x-${token}`]]) });
  expect(await bed.leaks()).toEqual([]);
});

it('[PN-SEC-11] keeps passwords, HA1s and digest answers to itself', async () => {
  for (const user of ['anna', 'bert', 'carl']) {
    const phone = bed.phone(user, { domain: homeDomain, algorithm: user === 'bert' ? 'MD5' : 'SHA-256' });
    expect((await phone.register()).status).toBe(200);
    await phone.register({ password: `wrong ${user} password` });
    bed.secrets.set(`wrong ${user} password`, `a wrong password of ${user}`);
    for (const { message } of phone.seen('out', 'REGISTER')) {
      const answer = /response="([0-9a-f]+)"/.exec(message.headers.get('Authorization') ?? '')?.[1];
      if (answer !== undefined) bed.secrets.set(answer, `a digest answer of ${user}`);
    }
    await phone.register({ contact: '*', expires: 0 });
  }
  expect(await bed.leaks()).toEqual([]);
});

it('writes one line for each decision, and each is JSON', () => {
  expect(bed.edge.process.noise).toEqual([]);
  for (const line of bed.edge.process.logs)
    expect(line).toMatchObject({ level: expect.any(String), time: expect.any(String), msg: expect.any(String) });
});
