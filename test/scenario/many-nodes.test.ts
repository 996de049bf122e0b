/** Edges with SIP engines of their own on one Redis: one holds the call, the phone is connected to another, and any of them may die. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { startEngineProcess } from '../support/engine-process.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const why = needs('redis-server') ?? (onDrachtio ? 'every edge here has an engine of its own' : undefined);
const patience = { timeout: 8000, interval: 20 };

describe.skipIf(why !== undefined)(titled('edges with engines of their own', why), () => {
  let redis: RedisServer;
  let one: Bed;
  let two: Bed;
  beforeAll(async () => {
    redis = await startRedis();
    const config = { store: { kind: 'redis', redis_url: redis.url } };
    one = await Bed.open({ config });
    two = await Bed.open({ config, beside: one });
    await knowEachOther(one, two);
  });
  afterAll(async () => {
    await two?.close();
    await one?.close();
    await redis?.stop();
  });

  async function knowEachOther(...beds: readonly Bed[]): Promise<void> {
    for (const bed of beds)
      await vi.waitFor(async () => {
        if ((await bed.metric('reveille_other_nodes')) < beds.length - 1)
          throw new Error('they do not know each other');
      }, patience);
  }

  /** The PBX calls a phone of the second edge through the first one. */
  function dial(user: string): ReturnType<Bed['pbx']['dial']> {
    return one.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: one.edge.at('udp') });
  }

  it.each(['udp', 'tcp'] as const)(
    'ring a phone that wakes onto another one over %s, and carry the call',
    async (transport) => {
      const phone = await two.sleeper('anna', { domain: homeDomain, transport });
      two.wakesOnPush(phone);
      const call = dial('anna');
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      const answer = await call.answer();
      expect([answer.status, answer.body]).toEqual([200, answerSdp]);
      await incoming.transaction.ack();
      // inside the dialog both ways, over the same two edges
      const type = Headers.of([['Content-Type', 'application/dtmf-relay']]);
      const sent = call.dialog?.request('INFO', type, 'Signal=5\r\n');
      const info = await incoming.dialog.next('INFO');
      expect(info.request.body).toBe('Signal=5\r\n');
      info.respond(200);
      expect((await sent?.answer())?.status).toBe(200);
      expect((await incoming.dialog.bye()).status).toBe(200);
      expect((await call.dialog?.ended)?.method).toBe('BYE');
      expect(phone.invites).toHaveLength(1);
      expect(two.pushesFor(phone)).toHaveLength(1);
      await phone.register({ contact: '*', expires: 0 });
    },
  );

  it('ring a phone that is awake on another one at once, without a push', async () => {
    const phone = two.phone('bert', { domain: homeDomain, transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    const call = dial('bert');
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(two.pushesFor(phone)).toHaveLength(0);
    expect(phone.invites).toHaveLength(1);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('cancel a phone on another one when the caller gives up', async () => {
    const phone = two.phone('carl', { domain: homeDomain, transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    const call = dial('carl');
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    expect((await call.cancel().answer()).status).toBe(200);
    expect((await call.answer()).status).toBe(487);
    await incoming.transaction.cancel();
    await phone.register({ contact: '*', expires: 0 });
  });

  it('push a phone whose edge has died, and ring it where it comes back', async () => {
    const phone = one.phone('dora', { domain: homeDomain, transport: 'tcp' });
    const there: Phone = two.phone('dora', {
      domain: homeDomain,
      transport: 'tcp',
      instanceId: phone.options.instanceId ?? '',
      ...(phone.push === undefined ? {} : { push: phone.push }),
    });
    expect((await there.register()).status).toBe(200);
    await two.edge.process.kill();
    one.wakesOnPush(phone);
    const call = dial('dora');
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toHaveLength(1);
    expect(one.pushesFor(phone)).toHaveLength(1);
    await two.edge.process.restart();
    await knowEachOther(one, two);
  });
});

const whyNot = needs('redis-server');
describe.skipIf(whyNot !== undefined)(titled('edges on one engine', whyNot), () => {
  it('answer within two seconds what a dead one held', async () => {
    const redis = await startRedis();
    const engine = onDrachtio ? undefined : await startEngineProcess();
    const config = {
      store: { kind: 'redis', redis_url: redis.url },
      ...(engine === undefined ? {} : { engine: engine.config }),
    };
    const bed = await Bed.open({ config, holdSeconds: 20, pbx: { challenges: false } });
    const other = await Bed.open({ config, holdSeconds: 20, beside: bed });
    try {
      const phones = await Promise.all(Array.from({ length: 6 }, (_, n) => bed.sleeper(`p${n}`)));
      const calls = phones.map((phone) => bed.pbx.call(phone.options.user, { body: anOffer() }));
      const answers = calls.map((call) => call.answer());
      const ended = new Map<number, { readonly status: number; readonly at: number }>();
      for (const [n, answer] of answers.entries())
        void answer.then(({ status }) => ended.set(n, { status, at: performance.now() }));
      for (const phone of phones) await bed.nextPush(phone);
      const heldBy = async (one: Bed): Promise<number> => one.metric('reveille_held_invites');
      await expect.poll(async () => (await heldBy(bed)) + (await heldBy(other)), patience).toBe(6);
      const lost = await heldBy(other);
      expect(lost).toBeGreaterThan(0);
      // it has told the others of them by now
      await pause(1000);
      const died = performance.now();
      await other.edge.process.kill();
      await expect.poll(() => ended.size, patience).toBe(lost);
      expect([...ended.values()].map(({ status }) => status)).toEqual(Array.from({ length: lost }, () => 480));
      expect(Math.max(...[...ended.values()].map(({ at }) => at - died))).toBeLessThan(2000);
      await expect.poll(() => bed.metric('reveille_taken_over_total'), patience).toBe(lost);
      // the rest is held on, and rings
      const [left] = phones.filter((_, n) => !ended.has(n));
      if (left === undefined) throw new Error('the first edge held nothing');
      await left.wake();
      const incoming = await left.nextCall();
      incoming.answer(answerSdp);
      expect((await answers[phones.indexOf(left)])?.status).toBe(200);
      expect(ended.size).toBe(lost + 1);
    } finally {
      if (!other.edge.process.child.running) await other.edge.process.restart();
      await other.close();
      await bed.close();
      await engine?.stop();
      await redis.stop();
    }
  });
});
