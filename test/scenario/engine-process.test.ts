/** The engine as a process of its own, under an edge: configured in each of its ways, drained, over TLS, with a wrong secret. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { type EngineProcess, type EngineProcessOptions, startEngineProcess } from '../support/engine-process.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const notOurs = onDrachtio ? 'is about our own engine' : undefined;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function world(options: EngineProcessOptions = {}): Promise<{ engine: EngineProcess; bed: Bed }> {
  const engine = await startEngineProcess(options);
  ends.push(() => engine.stop());
  const bed = await Bed.open({ config: { engine: engine.config }, holdSeconds: 20 });
  ends.push(() => bed.close());
  return { engine, bed };
}

/** A call from the PBX that the phone has answered. */
async function talking(bed: Bed, phone: Phone) {
  const call = bed.pbx.call(phone.options.user, { body: anOffer() });
  const answered = call.answer();
  const incoming = await phone.nextCall();
  incoming.answer(answerSdp);
  expect((await answered).status).toBe(200);
  await incoming.transaction.ack();
  return { call, incoming };
}

async function get(http: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await fetch(`http://${http}${path}`);
  return { status: answer.status, body: await answer.text() };
}

describe.skipIf(notOurs !== undefined)(titled('the engine as a process', notOurs), () => {
  it('drains without a failed call: what is open goes on, what is held still rings, what is new gets 503', async () => {
    const { engine, bed } = await world();
    const awake = bed.phone('awake', { plain: true });
    await awake.register();
    const asleep = await bed.sleeper('asleep');
    const { call, incoming } = await talking(bed, awake);
    const held = bed.pbx.call('asleep', { body: anOffer() });
    const heldAnswer = held.answer();
    await vi.waitFor(async () => expect(await bed.metric('reveille_held_invites')).toBe(1), 5000);
    expect((await get(engine.http, '/readyz')).status).toBe(200);

    const drained = engine.drain();
    await vi.waitFor(async () => expect((await get(engine.http, '/readyz')).status).toBe(503), 5000);
    const refused = await bed.pbx.call('awake', { body: anOffer() }).answer();
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([503, '5']);

    // the phone wakes and registers while the engine drains
    expect((await asleep.wake()).at(-1)?.status).toBe(200);
    const woken = await asleep.nextCall();
    woken.answer(answerSdp);
    expect((await heldAnswer).status).toBe(200);
    await woken.transaction.ack();
    expect((await held.dialog?.bye())?.status).toBe(200);
    expect((await woken.dialog.ended)?.method).toBe('BYE');
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(await drained).toBe(0);
    await engine.restart();
    await bed.edge.process.ready();
  }, 60_000);

  it('ends the calls that are left when their time is over, on both sides', async () => {
    const { engine, bed } = await world({ sections: { shutdown: { call_seconds: 1 } } });
    const phone = bed.phone('late', { plain: true });
    await phone.register();
    const { call, incoming } = await talking(bed, phone);
    const drained = engine.drain();
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect(await drained).toBe(0);
    await engine.restart();
    await bed.edge.process.ready();
  }, 60_000);

  it('serves an edge over TLS, also after it was killed', async () => {
    const { engine, bed } = await world({ tls: makeServerIdentity({ hosts: [], addresses: ['127.0.0.1'] }) });
    const phone = bed.phone('tina', { plain: true });
    await phone.register();
    for (const round of [1, 2]) {
      const { call } = await talking(bed, phone);
      expect((await call.dialog?.bye())?.status).toBe(200);
      if (round === 2) break;
      await engine.kill();
      await expect.poll(() => bed.edge.process.readyz(), { timeout: 10_000 }).toBe(503);
      await engine.restart();
      await bed.edge.process.ready();
    }
  }, 60_000);

  it('takes the place of a drachtio-server with the config of one, and says what it leaves out', async () => {
    const { engine, bed } = await world({ asDrachtio: true });
    expect(engine.printed).toContain('request-handlers in line 2: apps connect to this engine');
    const phone = bed.phone('dora', { plain: true });
    await phone.register();
    const { call } = await talking(bed, phone);
    expect((await call.dialog?.bye())?.status).toBe(200);
    const { body } = await get(engine.http, '/metrics');
    expect(body).toContain('reveille_engine_objects{kind="apps"} 1');
    expect(Number(/reveille_engine_events_total\{event="received"\} (\d+)/.exec(body)?.[1])).toBeGreaterThan(4);
    expect(body).toContain('reveille_engine_events_total{event="faults"} 0');
    expect(body).not.toContain('reveille_registrations_total');
    expect(await get(engine.http, '/healthz')).toMatchObject({ status: 200 });
  }, 60_000);

  it('refuses an edge whose secret it does not know any more: not ready, told once, tried less and less often', async () => {
    const { engine, bed } = await world();
    await engine.kill();
    await expect.poll(() => bed.edge.process.readyz(), { timeout: 10_000 }).toBe(503);
    await engine.restart('another-engine-secret');
    const told = (): number =>
      bed.edge.process.logs.filter(({ reason }) => reason === 'it does not know our secret').length;
    const wrong = async (): Promise<number> =>
      Number(/\{event="wrongSecrets"\} (\d+)/.exec((await get(engine.http, '/metrics')).body)?.[1]);
    await expect.poll(wrong, { timeout: 60_000 }).toBeGreaterThan(2);
    expect([told(), await bed.edge.process.readyz()]).toEqual([1, 503]);
    expect(bed.edge.process.logs.filter(({ msg }) => msg === 'the SIP engine cannot be reached').length).toBeLessThan(
      4,
    );
    await engine.kill();
    await engine.restart();
    await bed.edge.process.ready();
  }, 120_000);
});
