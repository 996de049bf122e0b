/** Phones behind one address: each call goes over the flow its own phone registered on (protocol notes C.3, RFC 5626 7). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

it('[PN-PROXY-18] rings each of two phones of one user at one address on its own connection', async () => {
  const phones = [
    bed.phone('alice', { address: places.phones, transport: 'tcp' }),
    bed.phone('alice', { address: places.phones, transport: 'tcp' }),
  ];
  for (const phone of phones) await phone.register();
  const bindings = bed.pbx.bindings('alice');
  expect(bindings).toHaveLength(2);
  for (const [index, binding] of bindings.entries()) {
    const call = bed.pbx.call('alice', { body: anOffer(), binding });
    const incoming = await phones[index]?.nextCall();
    incoming?.reject(486);
    expect((await call.answer()).status).toBe(486);
  }
  expect(phones.map((phone) => phone.invites.length)).toEqual([1, 1]);
});

it('[PN-PROXY-18] rings a phone over UDP that was on TCP before', async () => {
  const before = await bed.sleeper('berta', { address: places.phones, transport: 'tcp' });
  const phone = bed.phone('berta', {
    address: places.phones,
    transport: 'udp',
    plain: true,
    instanceId: before.options.instanceId ?? '',
  });
  await phone.register();
  const call = bed.pbx.call('berta', { body: anOffer() });
  (await phone.nextCall()).reject(486);
  expect((await call.answer()).status).toBe(486);
});
