/**
 * Rules for proxies (RFC 3261 16, RFC 4320, RFC 5393) as phone and PBX observe them. The edge is a bridge (ADR 1): two transactions
 * with names of their own stand where a proxy has one, so some rules hold in another way, which the titles say.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { wake: { ring_seconds: 10 } } });
});
afterAll(() => bed.close());

describe('answers', () => {
  it('[EDGE-PRX-08] passes provisional answers at once, each one, and never a 100', async () => {
    const phone = bed.phone('alice', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    // the edge's own, which comes over another socket than the phone's INVITE
    await call.provisional(100);
    const incoming = await phone.nextCall();
    const hundreds = (): number => bed.pbx.ua.seen('in', '100').length;
    const before = hundreds();
    incoming.transaction.respond(100);
    incoming.transaction.respond(180);
    await call.provisional(180);
    incoming.transaction.respond(183);
    await call.provisional(183);
    expect(hundreds()).toBe(before);
    incoming.transaction.respond(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[EDGE-NIT-01] passes only the end of what is no INVITE', async () => {
    const phone = bed.phone('berta', { transport: 'tcp' });
    await phone.register();
    const stop = bed.pbx.ua.take((incoming) => {
      if (incoming.request.method !== 'MESSAGE') return false;
      incoming.respond(183);
      incoming.respond(202);
      return true;
    });
    const headers = Headers.of([
      ['From', `<${phone.aor}>;tag=1`],
      ['To', `<${phone.aor}>`],
      ['Call-ID', 'nit-01'],
      ['CSeq', '1 MESSAGE'],
    ]);
    const asked = phone.ua.request('MESSAGE', phone.aor, { headers, to: bed.edge.at('tcp') });
    expect((await asked.answer()).status).toBe(202);
    expect(phone.seen('in', '183')).toEqual([]);
    stop();
  });
});

describe('ends', () => {
  it('[EDGE-PRX-12] a phone that rings for ever is ended by the ring timer, which stands for Timer C: CANCEL there, 480 here', async () => {
    const phone = bed.phone('cora', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('cora', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.ring();
    await incoming.transaction.cancel(12_000);
    expect((await call.answer()).status).toBe(480);
  });

  it('[EDGE-LOOP-01] a call that comes back again and again ends by Max-Forwards: the bridge counts hops although it makes new calls', async () => {
    const phone = bed.phone('dina', { transport: 'tcp' });
    await phone.register();
    const once = async (): Promise<void> => {
      const { transaction } = await bed.pbx.nextCall();
      const hops = transaction.request.headers.get('Max-Forwards') ?? '';
      left.push(hops);
      // a PBX that sends every call it gets back to where it came from
      const back = phone.call('elsewhere', { headers: Headers.of([['Max-Forwards', hops]]) });
      void back.answer().then(({ status }) => transaction.respond(status));
      if (hops !== '0') await once();
    };
    const left: string[] = [];
    const loop = once();
    const call = phone.call('elsewhere', { headers: Headers.of([['Max-Forwards', '5']]) });
    expect((await call.answer()).status).toBe(483);
    await loop;
    expect(left).toEqual(['4', '3', '2', '1', '0']);
  });
});
