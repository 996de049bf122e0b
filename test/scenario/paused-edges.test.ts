/** Edges that stand still (SIGSTOP) for longer than the others wait for them, and go on: they hear what has become of their calls first. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { type EngineProcess, startEngineProcess } from '../support/engine-process.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const patience = { timeout: 10_000, interval: 20 };
const why = needs('redis-server');

const knows = (bed: Bed, others: number): Promise<void> =>
  vi.waitFor(async () => {
    if ((await bed.metric('reveille_other_nodes')) !== others) throw new Error('they do not know each other');
  }, patience);
const held = (bed: Bed): Promise<number> => bed.metric('reveille_held_invites');

/** A call that reaches this phone and is answered: whatever was sent to it before has come by then. */
async function ringsNow(phone: Phone, call: ReturnType<Bed['pbx']['call']>): Promise<void> {
  const incoming = await phone.nextCall();
  incoming.answer(answerSdp);
  expect((await call.answer()).status).toBe(200);
  await incoming.transaction.ack();
  expect((await call.dialog?.bye())?.status).toBe(200);
}

describe.skipIf(why !== undefined)(titled('an edge that stood still, beside another on one engine', why), () => {
  let redis: RedisServer;
  let engine: EngineProcess | undefined;
  let bed: Bed;
  let other: Bed;
  beforeAll(async () => {
    redis = await startRedis();
    engine = onDrachtio ? undefined : await startEngineProcess();
    const config = {
      store: { kind: 'redis', redis_url: redis.url },
      ...(engine === undefined ? {} : { engine: engine.config }),
    };
    bed = await Bed.open({ config, holdSeconds: 20, pbx: { challenges: false } });
    other = await Bed.open({ config, holdSeconds: 20, beside: bed });
    await knows(bed, 1);
    await knows(other, 1);
  });
  afterAll(async () => {
    other?.edge.process.child.signal('SIGCONT');
    await other?.close();
    await bed?.close();
    await engine?.stop();
    await redis?.stop();
  });

  it('ends what the other has answered, rings nobody for it, and works on under a new name', {
    timeout: 60_000,
  }, async () => {
    const phones = await Promise.all(Array.from({ length: 8 }, (_, n) => bed.sleeper(`p${n}`)));
    const calls = phones.map((phone) => bed.pbx.call(phone.options.user, { body: anOffer() }));
    const answers = calls.map((call) => call.answer());
    const ended = new Map<number, number>();
    for (const [n, answer] of answers.entries()) void answer.then(({ status }) => ended.set(n, status));
    for (const phone of phones) await bed.nextPush(phone);
    await expect.poll(async () => (await held(bed)) + (await held(other)), patience).toBe(8);
    const lost = await held(other);
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(8);
    // it has told the others of them by now
    await pause(1000);
    other.edge.process.child.signal('SIGSTOP');
    await expect.poll(() => ended.size, patience).toBe(lost);
    expect([...ended.values()]).toEqual(Array.from({ length: lost }, () => 480));
    // counted when the engine has taken the answers, which may be after they have come
    await expect.poll(() => bed.metric('reveille_taken_over_total'), patience).toBe(lost);
    // their phones wake now: some of the REGISTERs wait at the edge that stands still, and of the others it is told
    const late = [...ended.keys()].map((n) => phones[n] as Phone);
    const woken = late.map((phone) => phone.wake());
    await pause(500);
    other.edge.process.child.signal('SIGCONT');
    await expect.poll(() => other.metric('reveille_given_up_total'), patience).toBe(lost);
    await expect.poll(() => held(other), patience).toBe(0);
    await Promise.all(woken);
    await knows(bed, 1);
    await knows(other, 1);
    // the rest is held on, and rings; and both take new calls
    for (const [n, phone] of phones.entries()) {
      if (ended.get(n) === 480) continue;
      await phone.wake();
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await answers[n])?.status).toBe(200);
    }
    for (const phone of late) bed.wakesOnPush(phone);
    for (const phone of late) await ringsNow(phone, bed.pbx.call(phone.options.user, { body: anOffer() }));
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map(() => 1));
    expect([await held(bed), await held(other)]).toEqual([0, 0]);
  });
});

const whyNot = why ?? (onDrachtio ? 'every edge here has an engine of its own' : undefined);
describe.skipIf(whyNot !== undefined)(titled('an edge that stood still with its engine', whyNot), () => {
  let redis: RedisServer;
  const holdSeconds = 6;
  let one: Bed;
  let two: Bed;
  beforeAll(async () => {
    redis = await startRedis();
    const config = { store: { kind: 'redis', redis_url: redis.url }, engine: { thread: 'own' } };
    one = await Bed.open({ config, holdSeconds });
    two = await Bed.open({ config, holdSeconds, beside: one });
    await knows(one, 1);
    await knows(two, 1);
  });
  afterAll(async () => {
    one?.edge.process.child.signal('SIGCONT');
    await two?.close();
    await one?.close();
    await redis?.stop();
  });

  it('hears the CANCELs that waited before it rings phones that have registered meanwhile', {
    timeout: 60_000,
  }, async () => {
    const users = ['anna', 'bert', 'carl', 'dora', 'emil', 'frieda'];
    const phones = await Promise.all(users.map((user) => two.sleeper(user, { domain: homeDomain, transport: 'tcp' })));
    const dial = (user: string): ReturnType<Bed['pbx']['dial']> =>
      one.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: one.edge.at('udp') });
    const calls = users.map(dial);
    for (const phone of phones) await two.nextPush(phone);
    await expect.poll(() => held(one), patience).toBe(users.length);
    one.edge.process.child.signal('SIGSTOP');
    // the news of them waits at the edge, and so do the CANCELs
    await Promise.all(phones.map((phone) => phone.wake()));
    const cancels = calls.map((call) => call.cancel());
    await pause(2500);
    one.edge.process.child.signal('SIGCONT');
    expect((await Promise.all(cancels.map((cancel) => cancel.answer()))).map(({ status }) => status)).toEqual(
      users.map(() => 200),
    );
    expect((await Promise.all(calls.map((call) => call.answer()))).map(({ status }) => status)).toEqual(
      users.map(() => 487),
    );
    await knows(two, 1);
    for (const [n, phone] of phones.entries()) await ringsNow(phone, dial(users[n] as string));
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map(() => 1));
    expect(await held(one)).toBe(0);
  });

  it('rings the phone that registered while it stood still, though its bucket timer has run out meanwhile', {
    timeout: 60_000,
  }, async () => {
    const phone = await two.sleeper('gero', { domain: homeDomain, transport: 'tcp' });
    const call = one.pbx.dial(`sip:gero@${homeDomain}`, { body: anOffer(), remote: one.edge.at('udp') });
    await two.nextPush(phone);
    await expect.poll(() => held(one), patience).toBe(1);
    one.edge.process.child.signal('SIGSTOP');
    await phone.wake();
    await pause(holdSeconds * 1000);
    one.edge.process.child.signal('SIGCONT');
    await ringsNow(phone, call);
  });

  // a provisional and the answer wait together, and each must be told for what it is
  it('stops in the moment the phone rings: what is answered meanwhile is a call afterwards, both ways', {
    timeout: 60_000,
  }, async () => {
    for (const [n, user] of ['anna', 'bert', 'carl', 'dora', 'emil', 'frieda'].entries()) {
      const phone = await two.sleeper(user, { domain: homeDomain, transport: 'tcp' });
      const call = one.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: one.edge.at('udp') });
      const answer = call.answer();
      await two.nextPush(phone);
      const comes = phone.nextCall();
      await phone.wake();
      const incoming = await comes;
      one.edge.process.child.signal('SIGSTOP');
      if (n % 2 === 0) incoming.ring();
      await pause(100);
      incoming.answer(answerSdp);
      await pause(1700);
      one.edge.process.child.signal('SIGCONT');
      expect((await answer).status).toBe(200);
      await incoming.transaction.ack();
      const info = call.dialog?.request('INFO');
      (await incoming.dialog.next('INFO')).respond(200);
      expect((await info?.answer())?.status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect(await incoming.dialog.ended).toBeDefined();
    }
  });
});
