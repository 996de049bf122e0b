/** What phones and callers are told while the store does not answer, and what is still there afterwards (RFC 3261 10.3 step 7). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const why = needs('redis-server');

describe.skipIf(why !== undefined)(titled('a store that fails', why), () => {
  let redis: RedisServer;
  let bed: Bed;
  beforeAll(async () => {
    redis = await startRedis();
    bed = await Bed.open({ config: { store: { kind: 'redis', redis_url: redis.url } } });
  });
  afterAll(async () => {
    redis.thaw();
    await bed.close();
    await redis.stop();
  });

  it.each([
    ['R', homeDomain],
    ['M', pbxDomain],
  ])(
    '[EDGE-REG-11] a REGISTER that cannot be stored is refused, and what was stored before is there, whole (mode %s)',
    async (_, domain) => {
      const phone = bed.phone('anna', { domain });
      const desk = bed.phone('anna', { domain, plain: true });
      await phone.register();
      const before = await desk.register();
      const count = before.headers.list('Contact').length;
      const token = phone.push;
      redis.freeze();
      // another token, and the desk phone goes: neither may come true in part
      phone.push = { provider: 'apns', param: bed.pushParam, prid: 'cd'.repeat(32) };
      const [changed, removed] = await Promise.all([phone.register(), desk.register({ expires: 0 })]);
      expect([500, 503]).toContain(changed.status);
      expect([500, 503]).toContain(removed.status);
      redis.thaw();
      phone.push = token;
      await heals(phone);
      const after = await phone.register({ contact: '' });
      if (domain === homeDomain) {
        expect(after.headers.list('Contact')).toHaveLength(count);
      }
      await phone.sleep();
      // by the token it had
      const call =
        domain === homeDomain
          ? bed.pbx.dial(`sip:anna@${domain}`, { body: anOffer(), remote: bed.edge.at('udp') })
          : bed.pbx.call('anna', { binding: bed.pbx.bindings('anna')[0] ?? never(), body: anOffer() });
      await bed.nextPush(phone);
      call.cancel();
      expect((await call.answer()).status).toBe(487);
      await desk.register({ contact: '*', expires: 0 });
    },
  );

  /** Until the edge has a connection again that answers. */
  async function heals(phone: Phone): Promise<void> {
    await expect
      .poll(() => phone.register({ contact: '' }).then(({ status }) => status), { timeout: 10_000, interval: 50 })
      .toBe(200);
  }
});

function never(): never {
  throw new Error('the PBX does not know the phone');
}
