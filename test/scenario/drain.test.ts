/** An edge that is drained and stopped while calls come in: none is lost. */
import { afterEach, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
let bed: Bed | undefined;
afterEach(async () => {
  await bed?.close();
  bed = undefined;
});

describe('draining', () => {
  it('refuses new calls with 503, and lets a held one wait for its phone and a call go on', async () => {
    bed = await Bed.open({ config: { shutdown: { held_seconds: 10, call_seconds: 10 } } });
    const [asleep, talking] = [await bed.sleeper('anna'), await bed.sleeper('bert')];
    bed.wakesOnPush(talking);
    const first = bed.pbx.call('bert', { body: anOffer() });
    const answered = await talking.nextCall();
    answered.answer(answerSdp);
    expect((await first.answer()).status).toBe(200);
    await answered.transaction.ack();
    const held = bed.pbx.call('anna', { body: anOffer() });
    const heldAnswer = held.answer();
    await bed.nextPush(asleep);

    const stopped = bed.edge.process.stop();
    await expect.poll(() => bed?.edge.process.logs.some(({ msg }) => msg === 'stopping: no new calls')).toBe(true);
    const refused = await bed.pbx.call('anna', { body: anOffer() }).answer();
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([503, '5']);

    await asleep.wake();
    const incoming = await asleep.nextCall();
    incoming.answer(answerSdp);
    expect((await heldAnswer).status).toBe(200);
    await incoming.transaction.ack();
    expect((await held.dialog?.bye())?.status).toBe(200);
    expect((await first.dialog?.bye())?.status).toBe(200);
    expect((await answered.dialog.ended)?.method).toBe('BYE');
    expect(await stopped).toBe(0);
    await bed.edge.process.restart();
  });
});
