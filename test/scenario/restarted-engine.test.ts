/**
 * The SIP engine starts anew under an edge that goes on: the edge connects again by itself, and calls work. The flows it has stored
 * carry the name of an engine that is back, but their connections are gone.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { type EngineProcess, startEngineProcess } from '../support/engine-process.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const notOurs = onDrachtio ? 'a test cannot start a server of somebody else anew' : undefined;

let engine: EngineProcess;
let bed: Bed;
beforeAll(async () => {
  if (notOurs !== undefined) return;
  engine = await startEngineProcess();
  bed = await Bed.open({ config: { engine: engine.config } });
});
afterAll(async () => {
  if (notOurs !== undefined) return;
  await bed.close();
  await engine.stop();
});

it.skipIf(notOurs !== undefined)(
  titled('pushes phones whose connection died with the engine, and rings those on UDP where they are', notOurs),
  async () => {
    const onTcp = await bed.sleeper('alice', { transport: 'tcp' });
    const awake = bed.phone('berta', { transport: 'tcp' });
    await awake.register();
    const onUdp = bed.phone('cora', { plain: true });
    await onUdp.register();

    await engine.kill();
    await expect.poll(() => bed.edge.process.readyz()).toBe(503);
    await engine.restart();
    await bed.edge.process.ready();

    for (const phone of [onTcp, awake]) {
      bed.wakesOnPush(phone);
      const call = bed.pbx.call(phone.options.user, { body: anOffer() });
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await call.answer()).status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect(phone.invites).toHaveLength(1);
      expect(bed.pushesFor(phone)).toHaveLength(1);
    }
    const call = bed.pbx.call('cora', { body: anOffer() });
    (await onUdp.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  },
);

it.skipIf(notOurs !== undefined)(
  titled('rings a phone on its connection without a push when only the edge has started anew', notOurs),
  async () => {
    const phone = bed.phone('dina', { transport: 'tcp' });
    await phone.register();
    await bed.edge.process.kill();
    await bed.edge.process.restart();
    const call = bed.pbx.call('dina', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  },
);
