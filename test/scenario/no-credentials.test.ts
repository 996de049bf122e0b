/** The edge as `npm start` runs it, without push credentials: phones register and ring, and whoever cannot be woken is accounted for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anOffer, Bed } from '../support/test-bed.ts';

describe.each(['udp', 'tcp'] as const)('without push credentials, over %s', (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ config: { push: { apps: [] } } });
  });
  afterAll(() => bed.close());

  it('[PN-REG-04] registers the phone, promises nothing, and rings it while it is awake', async () => {
    const phone = bed.phone('alice', { transport });
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    const call = bed.pbx.call('alice', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    await phone.sleep();
  });

  it('[PN-PROXY-11] answers 480 without waiting, with a log line and a metric that say why', async () => {
    await bed.sleeper('berta', { transport });
    const call = bed.pbx.call('berta', { body: anOffer() });
    expect((await call.answer(3000)).status).toBe(480);
    expect(await bed.metric('reveille_pushes_total{provider="apns",outcome="config-error"}')).toBe(1);
    expect(bed.edge.process.logs.find(({ msg }) => msg === 'push refused')).toMatchObject({
      level: 'warn',
      aor: 'berta@pbx.example.com',
      outcome: 'config-error',
      reason: 'no push credentials for this phone',
    });
  });
});
