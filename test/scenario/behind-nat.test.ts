/**
 * Phones that write a private address into their Contact, as those behind a NAT do: whatever is for them has to go where their
 * REGISTER came from (RFC 5626 5.3, drachtio-protocol C.2), in the call as well, and to the right one of two homes.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dialog, IncomingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const sdp = Headers.of([['Content-Type', 'application/sdp']]);

// TLS has the listeners and certificates of the operator there
const transports = onDrachtio ? (['udp', 'tcp'] as const) : (['udp', 'tcp', 'tls'] as const);

describe.each(transports)('a phone behind a NAT on %s', (transport) => {
  const home = '192.168.77.20:5060';
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open(transport === 'tls' ? { everywhere: true } : { transport });
  });
  afterAll(() => bed.close());

  /** Everything a call can carry, once each way. */
  async function talk(one: Dialog, two: Dialog): Promise<void> {
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      for (const method of ['INFO', 'UPDATE', 'MESSAGE']) {
        const request = from.request(method, Headers.of([['Content-Type', 'text/plain']]), `${method} of a call`);
        const arrived = await to.next(method, 3000);
        expect(arrived.request.body).toBe(`${method} of a call`);
        arrived.respond(200);
        expect((await request.answer(3000)).status).toBe(200);
      }
      const again = from.request('INVITE', sdp, anOffer(7));
      to.accept(await to.next('INVITE', 3000), answerSdp);
      expect((await again.answer(3000)).status).toBe(200);
      from.ack(again);
    }
  }

  it('is woken, rung by the Contact it registered, talks and is hung up', async () => {
    const phone = await bed.sleeper('alice', { transport, behindNat: home });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.uri).toBe(`sip:alice@${home};transport=${transport}`);
    incoming.progress(183, { body: answerSdp });
    expect((await call.provisional(183)).body).toBe(answerSdp);
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    await talk(call.dialog as Dialog, incoming.dialog);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });

  it('is cancelled while it rings', async () => {
    const phone = bed.phone('berta', { transport, behindNat: home, plain: true });
    await phone.register();
    const call = bed.pbx.call('berta', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    call.cancel();
    expect((await call.answer()).status).toBe(487);
    await vi.waitFor(() => expect(incoming.transaction.cancelled).toBe(true), 5000);
  });

  it('calls, talks and is hung up by the PBX', async () => {
    const phone = bed.phone('cora', { transport, behindNat: home });
    await phone.register();
    const call = phone.call('bob', { body: anOffer() });
    const answered = call.answer();
    const incoming: IncomingCall = await bed.pbx.nextCall();
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    await talk(call.dialog as Dialog, incoming.dialog);
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('has a twin in another home with the same user and the same private address; each gets its own call and its own BYE', async () => {
    const twins = [
      bed.phone('dina', { transport, behindNat: home, plain: true }),
      bed.phone('dina', { transport, behindNat: home, plain: true }),
    ];
    for (const phone of twins) expect((await phone.register()).status).toBe(200);
    const bindings = bed.pbx.bindings('dina');
    expect(bindings).toHaveLength(2);
    const calls = await Promise.all(
      twins.map(async (phone, at) => {
        const call = bed.pbx.call('dina', { body: anOffer(), ...(bindings[at] ? { binding: bindings[at] } : {}) });
        const answered = call.answer();
        const incoming = await phone.nextCall();
        incoming.answer(answerSdp);
        expect((await answered).status).toBe(200);
        await incoming.transaction.ack();
        return { call, incoming };
      }),
    );
    for (const { call, incoming } of calls) {
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
    }
    expect(twins.map(({ invites }) => invites.length)).toEqual([1, 1]);
  });
});
