/** Phones whose registration has ended, with the other stores (lapsed-phones.test.ts is about the embedded one): in memory, and in Redis. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MovedDay } from '../support/moved-day.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, type Bed, homeDomain } from '../support/test-bed.ts';

const seconds = 300;
const registration = {
  min_expires: seconds,
  refresh_pushes: false,
  wake_lapsed_hours: 1,
};
const why = needs('redis-server');

const kinds = [
  ['memory', undefined],
  ['redis', why],
] as const;

const day = new MovedDay();
const beds = new Map<string, Bed>();
let redis: RedisServer | undefined;
beforeAll(async () => {
  beds.set('memory', await day.open({ config: { registration, store: { kind: 'memory' } } }));
  if (why !== undefined) return;
  redis = await startRedis();
  beds.set('redis', await day.open({ config: { registration, store: { kind: 'redis', redis_url: redis.url } } }));
});
afterAll(async () => {
  await day.end();
  await redis?.stop();
});

describe.each(kinds)('[PN-EXP-04] a registration that has ended', (kind, missing) => {
  it.skipIf(missing !== undefined)(
    titled(
      `[PN-EXP-04] is no Contact any more; a call wakes the phone all the same, until it is removed: ${kind}`,
      missing,
    ),
    async () => {
      const bed = beds.get(kind) as Bed;
      const phone = await bed.sleeper('bert', { domain: homeDomain, expires: seconds, alerts: true });
      await day.pass(seconds + 1);
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
