/** pn-purr (RFC 8599 6.2, 7) against the running edge. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { registration: { min_expires: 300, purr_hours: 24 } } });
});
afterAll(() => bed.close());

async function purrOf(phone: Phone, headers?: Headers): Promise<string | undefined> {
  const answer = await phone.register(headers === undefined ? {} : { headers });
  expect(answer.status).toBe(200);
  return readFeatureCaps(answer.headers)[0]?.pnspurr;
}

describe('sip.pnspurr', () => {
  test('[PN-PURR-06] [PN-FC-02] every 2xx of a pushed phone has it, on the line of sip.pns', async () => {
    const phone = bed.phone('alice');
    const first = await purrOf(phone);
    expect(first).toMatch(/^[0-9a-f]{32,}$/);
    expect(await purrOf(phone)).toBe(first);
    bed.secrets.set(first ?? '', 'the pn-purr of alice');
    const other = await purrOf(bed.phone('berta'));
    expect(other).not.toBe(first);
  });

  test('[PN-QRY-11] a query and a plain phone get none', async () => {
    expect(await purrOf(bed.phone('plain', { plain: true }))).toBeUndefined();
    const asks = bed.phone('asks', { plain: true });
    await asks.open();
    const answer = await asks.register({ contact: `<sip:asks@${asks.ua.local.address};pn-provider=apns>` });
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
  });
});

describe('in a request-URI', () => {
  test.each(['mid-registrar', 'registrar'])(
    '[PN-RPL-01] [PN-RPL-03] [PN-PURR-10] an INVITE with Replaces and a known pn-purr wakes the phone (%s)',
    async (mode) => {
      const phone = mode === 'registrar' ? bed.phone('anna', { domain: homeDomain }) : bed.phone('carl');
      const purr = await purrOf(phone);
      await phone.sleep();
      const { address, port } = bed.edge.at('udp');
      for (const place of ['uri', 'route'] as const) {
        bed.wakesOnPush(phone);
        const call = bed.pbx.dial(
          place === 'uri' ? `sip:${address}:${port};pn-purr=${purr}` : `sip:${address}:${port}`,
          {
            body: anOffer(),
            headers: Headers.of([['Replaces', 'old;to-tag=a;from-tag=b']]),
            ...(place === 'route' ? { routes: [`<sip:${address}:${port};lr;pn-purr=${purr}>`] } : {}),
          },
        );
        const incoming = await phone.nextCall();
        expect(incoming.request.headers.get('Replaces')).toBe('old;to-tag=a;from-tag=b');
        expect(incoming.request.uri).not.toContain('pn-');
        incoming.answer(sessionDescription(places.phones, 41_000));
        expect((await call.answer()).status).toBe(200);
        await call.dialog?.bye();
        await phone.sleep();
      }
    },
  );

  test('[PN-PURR-12] [PN-PURR-05] an unknown one, or a known one with another digit, is as if it were not there', async () => {
    const phone = bed.phone('dora');
    const purr = (await purrOf(phone)) ?? '';
    await phone.sleep();
    const forged = purr.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
    const { address, port } = bed.edge.at('udp');
    for (const value of [forged, 'd8f07688f90d4db14a531fb8c37f4aad', '%00'])
      expect(
        (await bed.pbx.dial(`sip:${address}:${port};pn-purr=${value}`, { body: anOffer() }).answer(3000)).status,
      ).toBe(404);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  test('[PN-SEC-09] a known one from anybody but the PBX wakes nobody', async () => {
    const phone = bed.phone('emil');
    const purr = await purrOf(phone);
    await phone.sleep();
    const stranger = await bed.agent(places.stranger);
    const { address, port } = bed.edge.at('udp');
    const headers = Headers.of([
      ['From', '<sip:thief@example.com>;tag=1'],
      ['To', '<sip:emil@example.com>'],
      ['Call-ID', 'stolen-purr'],
      ['CSeq', '1 MESSAGE'],
    ]);
    const asked = stranger.request('MESSAGE', `sip:${address}:${port};pn-purr=${purr}`, { headers });
    expect((await asked.answer(3000)).status).toBe(403);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});
