/** A PBX that goes away and comes back, with its database and without. */
import { describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);

describe('a PBX that goes and comes back', () => {
  it('still reaches the phone by the contact it kept in its database', async () => {
    const first = await Bed.open();
    const phone = await first.sleeper('alice');
    await first.pbx.close();
    const again = await Pbx.open({ ...first.pbx.options, port: first.pbx.ua.local.port });
    first.pbx.handOver(again);
    first.wakesOnPush(phone);
    const call = again.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    await again.close();
    await first.close();
  });

  it('gets the binding back with the next REGISTER after it forgot everything, under the same contact', async () => {
    const first = await Bed.open();
    const phone = first.phone('alice');
    await phone.register();
    const before = first.pbx.bindings('alice')[0]?.contact;
    await first.pbx.close();
    const again = await Pbx.open({ ...first.pbx.options, port: first.pbx.ua.local.port });
    expect((await phone.register()).status).toBe(200);
    expect(again.bindings('alice')[0]?.contact).toBe(before);
    await again.close();
    await first.close();
  });
});
