/** Phones whose registration has ended, with the other stores (lapsed-phones.test.ts is about the embedded one): in memory, and in Redis. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

vi.setConfig({ testTimeout: 130_000, hookTimeout: 60_000 });
const seconds = 61;
const registration = {
  min_expires: seconds,
  refresh_lead_seconds: 30,
  refresh_pushes: false,
  wake_lapsed_hours: 1,
};
const why = needs('redis-server');

const kinds = [
  ['memory', undefined],
  ['redis', why],
] as const;

const beds = new Map<string, Bed>();
let redis: RedisServer | undefined;
// one after the other and before any test: an edge that is started while a test runs ends with it
beforeAll(async () => {
  beds.set('memory', await Bed.open({ config: { registration, store: { kind: 'memory' } } }));
  if (why !== undefined) return;
  redis = await startRedis();
  beds.set('redis', await Bed.open({ config: { registration, store: { kind: 'redis', redis_url: redis.url } } }));
});
afterAll(async () => {
  for (const bed of [...beds.values()].toReversed()) await bed.close();
  await redis?.stop();
});

// side by side: what takes the time is the end of a registration
describe.concurrent.each(kinds)('[PN-EXP-04] a registration that has ended', (kind, missing) => {
  it.skipIf(missing !== undefined)(
    titled(
      `[PN-EXP-04] is no Contact any more; a call wakes the phone all the same, until it is removed: ${kind}`,
      missing,
    ),
    async () => {
      const bed = beds.get(kind) as Bed;
      const phone = await bed.sleeper('bert', { domain: homeDomain, expires: seconds, alerts: true });
      await pause(seconds * 1000 + 500);
      const other = bed.phone('bert', { domain: homeDomain, plain: true });
      expect((await other.register({ contact: '' })).headers.list('Contact')).toEqual([]);
      bed.wakesOnPush(phone);
      const dial = () => bed.pbx.dial(`sip:bert@${homeDomain}`, { remote: bed.edge.at('udp'), body: anOffer() });
      const call = dial();
      (await phone.nextCall()).reject(486);
      expect((await call.answer()).status).toBe(486);
      expect(bed.pushesFor(phone)).toHaveLength(1);
      await phone.register({ expires: 0 });
      await phone.sleep();
      expect((await dial().answer()).status).toBe(480);
      expect(bed.pushesFor(phone)).toHaveLength(1);
    },
  );
});
