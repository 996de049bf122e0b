/** The PBX and its habits: qualify, restarts, silence; and others who are not the PBX. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { newCallId, newTag } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { wake: { silent_flow_ms: 500, request_hold_seconds: 4 } } });
});
afterAll(() => bed.close());

describe('OPTIONS from the PBX', () => {
  it('[PN-PROXY-33] gets 200 while the phone can be woken, 480 when not, and wakes nobody', async () => {
    const phone = await bed.sleeper('alice');
    const contact = bed.pbx.bindings('alice')[0]?.contact ?? '';
    for (let count = 0; count < 5; count++) expect((await bed.pbx.qualify('alice')).status).toBe(200);
    await phone.register({ expires: 0 });
    expect((await bed.pbx.qualify('alice', contact)).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
    expect(phone.seen('in', 'OPTIONS')).toHaveLength(0);
  });

  it('[PN-PROXY-33] does the same by AOR where the edge is the registrar', async () => {
    const phone = await bed.sleeper('anna', { domain: homeDomain });
    const ask = async () => {
      const headers = Headers.of([
        ['From', `<sip:q@${pbxDomain}>;tag=${newTag()}`],
        ['To', `<sip:anna@${homeDomain}>`],
        ['Call-ID', newCallId()],
        ['CSeq', '1 OPTIONS'],
      ]);
      return (
        await bed.pbx.ua.request('OPTIONS', `sip:anna@${homeDomain}`, { headers, to: bed.edge.at('udp') }).answer(3000)
      ).status;
    };
    expect(await ask()).toBe(200);
    await phone.register({ contact: '*', expires: 0 });
    expect(await ask()).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('answers an OPTIONS for the edge itself', async () => {
    const { address, port } = bed.edge.at('udp');
    const headers = Headers.of([
      ['From', `<sip:q@${pbxDomain}>;tag=${newTag()}`],
      ['To', `<sip:${address}:${port}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 OPTIONS'],
    ]);
    const answer = await bed.pbx.ua.request('OPTIONS', `sip:${address}:${port}`, { headers }).answer(3000);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('Allow')).toContain('INVITE');
  });
});

describe('who is not the PBX', () => {
  it('[PN-SEC-09] wakes nobody with the right contact from a wrong address', async () => {
    const phone = await bed.sleeper('berta');
    const contact = bed.pbx.bindings('berta')[0]?.contact ?? '';
    for (const transport of ['udp', 'tcp'] as const) {
      const stranger = await bed.agent(places.stranger, transport);
      const headers = Headers.of([
        ['From', `<sip:bob@${pbxDomain}>;tag=${newTag()}`],
        ['To', `<${contact}>`],
        ['Call-ID', newCallId()],
        ['CSeq', '1 INVITE'],
        ['Contact', `<${stranger.uri('bob')}>`],
      ]);
      const answer = await stranger.request('INVITE', contact, { headers }).answer(3000);
      expect(answer.status, transport).toBe(403);
    }
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-SEC-09] challenges a stranger who calls a user of the home domain, and wakes nobody', async () => {
    const phone = await bed.sleeper('dora', { domain: homeDomain });
    const stranger = await bed.agent(places.stranger);
    const headers = Headers.of([
      ['From', `<sip:anna@${homeDomain}>;tag=${newTag()}`],
      ['To', `<sip:dora@${homeDomain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 INVITE'],
      ['Contact', `<${stranger.uri('bob')}>`],
    ]);
    expect((await stranger.request('INVITE', `sip:dora@${homeDomain}`, { headers }).answer(3000)).status).toBe(407);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('takes a forged or cut contact for what it is', async () => {
    const phone = await bed.sleeper('cora');
    const contact = bed.pbx.bindings('cora')[0]?.contact ?? '';
    const forged = contact.replace(/sip:(.)/, (_, first: string) => `sip:${first === 'a' ? 'b' : 'a'}`);
    expect((await bed.pbx.dial(forged, { body: anOffer() }).answer(3000)).status).toBe(404);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-555-01] never answers 555 to an INVITE', async () => {
    const contact = `sip:x@${bed.edge.at('udp').address}:${bed.edge.at('udp').port};pn-provider=acme;pn-prid=zz`;
    const { status } = await bed.pbx.dial(contact, { body: anOffer() }).answer(3000);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).not.toBe(555);
  });
});

describe('a silent end', () => {
  it('hangs up at the PBX when the phone is gone in the middle of a call', async () => {
    const phone = bed.phone('edda', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('edda', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    await phone.sleep();
    await pause(50);
    // nobody tells the edge; the first thing that cannot be delivered does
    const info = call.dialog?.request('INFO');
    const answer = await info?.answer(40_000);
    expect([408, 410, 480, 481, 500, 503]).toContain(answer?.status);
  }, 60_000);
});
