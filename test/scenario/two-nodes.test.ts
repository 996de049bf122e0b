/** Two edges on one Redis and one SIP engine: a REGISTER may land at one while the other holds the INVITE it releases. */
import { pathToFileURL, fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as SpawnModule from '../../lib/engine/spawn.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { EngineHandle } from '../../lib/engine/spawn.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const why = needs('redis-server');

describe.skipIf(why !== undefined)(titled('two nodes', why), () => {
  let redis: RedisServer;
  let engine: EngineHandle | undefined;
  const beds: Bed[] = [];
  let bed: Bed;

  beforeAll(async () => {
    redis = await startRedis({ password: 'a-redis-password' });
    const config = {
      store: { kind: 'redis', redis_url: redis.url },
      ...(onDrachtio ? {} : { engine: await sharedEngine() }),
    };
    bed = await Bed.open({ config });
    bed.secrets.set('a-redis-password', 'the password of Redis');
    beds.push(bed, await Bed.open({ config, beside: bed }));
  });
  afterAll(async () => {
    for (const one of beds.reverse()) await one.close();
    await engine?.close();
    await redis.stop();
  });

  /** An engine of its own, to which both edges connect as to a drachtio-server. */
  async function sharedEngine(): Promise<Readonly<Record<string, unknown>>> {
    const file = fileURLToPath(new URL('../../dist/lib/engine/spawn.js', import.meta.url));
    const { spawnEngine } = (await import(pathToFileURL(file).href)) as typeof SpawnModule;
    const secret = 'shared-engine';
    engine = await spawnEngine({
      listen: [
        { transport: 'udp', address: places.edge, port: 0 },
        { transport: 'tcp', address: places.edge, port: 0 },
      ],
      control: { host: '127.0.0.1', port: 0, secret },
      registrationCache: false,
    });
    return { kind: 'drachtio', drachtio: { host: '127.0.0.1', port: engine.controlPort, secret } };
  }

  it.each([
    ['the PBX is the registrar', pbxDomain],
    ['the edge is the registrar', homeDomain],
  ])('rings once whichever node hears the REGISTER, when %s', async (_, domain) => {
    for (const user of ['anna', 'dora', 'emil', 'frieda', 'gero', 'anna', 'dora', 'emil']) {
      const phone = await bed.sleeper(user, { domain });
      bed.wakesOnPush(phone, { callIds: 2 });
      const call =
        domain === pbxDomain
          ? bed.pbx.call(user, { body: anOffer() })
          : bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await call.answer()).status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      expect(phone.invites).toHaveLength(1);
      await phone.register({ contact: '*', expires: 0 });
    }
    // both did their part, else this has shown nothing
    for (const one of beds) {
      const metrics = await one.edge.process.metrics();
      const accepted = metrics.split('\n').filter((line) => /^\w*registrations\w*\{.*accepted/.test(line));
      expect(accepted.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)).toBeGreaterThan(0);
    }
  });

  it('lets a node that stops go without losing what the other one holds', async () => {
    const phone = await bed.sleeper('anna', { domain: homeDomain });
    const leaving = beds.pop();
    await leaving?.close();
    bed.wakesOnPush(phone);
    const call = bed.pbx.dial(`sip:anna@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
  });
});
