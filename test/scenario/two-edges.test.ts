/**
 * One SIP engine as a process of its own (`npm run engine`, or the drachtio-server that is named), one Redis, two edges: the INVITE
 * is held by one and the REGISTER that releases it comes to the other, fifty times; then one edge is killed.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { startEngineProcess } from '../support/engine-process.ts';
import { needs, titled } from '../support/needs.ts';
import { startRedis } from '../support/redis-server.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const why = needs('redis-server');

describe.skipIf(why !== undefined)(titled('two edges on one engine', why), () => {
  let bed: Bed;
  let other: Bed;
  const ends: (() => unknown)[] = [];

  beforeAll(async () => {
    const redis = await startRedis();
    ends.push(() => redis.stop());
    const engine = onDrachtio ? undefined : await startEngineProcess();
    ends.push(() => engine?.stop());
    const config = {
      store: { kind: 'redis', redis_url: redis.url },
      ...(engine === undefined ? {} : { engine: engine.config }),
    };
    // one REGISTER for each registration, so that the engine deals INVITEs and REGISTERs in step
    bed = await Bed.open({ config, pbx: { challenges: false } });
    ends.push(() => bed.close());
    other = await Bed.open({ config, beside: bed });
    ends.push(() => other.close());
  });
  afterAll(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function sleepers(name: string, count: number): Promise<readonly Phone[]> {
    const phones: Phone[] = [];
    for (let n = 0; n < count; n++) phones.push(await bed.sleeper(`${name}${n}`));
    for (const phone of phones) bed.wakesOnPush(phone);
    return phones;
  }

  /** A call that wakes the phone, is answered, and is hung up by the caller; gives its Call-ID. */
  async function wakeCall(phone: Phone): Promise<string> {
    const call = bed.pbx.call(phone.options.user, { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    return call.transaction.request.headers.get('Call-ID') ?? '';
  }

  /** The edge that has logged this; a line may still be in its pipe. */
  async function edgeThatSaid(msg: string, key: 'callId' | 'remote', value: string): Promise<Bed> {
    const find = (): Bed | undefined =>
      [bed, other].find(({ edge }) => edge.process.logs.some((line) => line['msg'] === msg && line[key] === value));
    return vi.waitFor(() => {
      const found = find();
      if (found === undefined) throw new Error(`no edge has said "${msg}" of ${value}`);
      return found;
    }, 3000);
  }

  /** True when one edge held the INVITE and the other one heard the REGISTER that woke it. */
  async function crossed(phone: Phone, callId: string): Promise<boolean> {
    const { address, port } = phone.ua.local;
    const heard = await edgeThatSaid('REGISTER accepted', 'remote', `${address}:${port}`);
    return heard !== (await edgeThatSaid('INVITE over', 'callId', callId));
  }

  it('rings each of fifty phones once when one edge holds the INVITE and the other one hears the REGISTER', async () => {
    const phones = await sleepers('a', 60);
    let count = 0;
    for (const phone of phones) {
      const callId = await wakeCall(phone);
      if (await crossed(phone, callId)) count += 1;
      // INVITEs and REGISTERs are dealt in turn, each kind for itself: one REGISTER more, and the next ones cross
      else await phone.register();
    }
    expect(count).toBeGreaterThanOrEqual(50);
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map(() => 1));
    expect(phones.map((phone) => bed.pushesFor(phone).length)).toEqual(phones.map(() => 1));
  });

  it('rings each of fifty phones once when all are called at once', async () => {
    const phones = await sleepers('b', 50);
    await Promise.all(phones.map(wakeCall));
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map(() => 1));
  });

  it('goes on when one edge is killed, also for phones that registered there', async () => {
    const phones = await sleepers('c', 10);
    await other.edge.process.kill();
    for (const phone of phones) await wakeCall(phone);
    await other.edge.process.restart();
    for (const phone of phones) {
      await phone.sleep();
      await wakeCall(phone);
    }
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map(() => 2));
  });
});
