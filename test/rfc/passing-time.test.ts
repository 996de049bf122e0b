/** What hours do to a phone that sleeps (RFC 5626 5.4, RFC 8599 6.2.1): an edge whose time of day is moved, and ours with it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { MovedDay } from '../support/moved-day.ts';
import { anOffer, type Bed, homeDomain } from '../support/test-bed.ts';
import { TcpPeer, UdpPeer } from '../support/text-peer.ts';

let bed: Bed;
const day = new MovedDay();
beforeAll(async () => {
  bed = await day.open({ config: { registration: { min_expires: 300, purr_hours: 1 } } });
});
afterAll(() => day.end());
const halfAnHour = 1800;

async function purrOf(phone: Phone): Promise<string> {
  const answer = await phone.register();
  expect(answer.status).toBe(200);
  const purr = readFeatureCaps(answer.headers)[0]?.pnspurr ?? '';
  bed.secrets.set(purr, `a pn-purr of ${phone.options.user}`);
  return purr;
}

/** Calls whoever has this reference; gives what rang. */
async function wakes(phone: Phone, purr: string): Promise<void> {
  bed.wakesOnPush(phone);
  const { address, port } = bed.edge.at('udp');
  const call = bed.pbx.dial(`sip:${address}:${port};pn-purr=${purr}`, {
    body: anOffer(),
    headers: Headers.of([['Replaces', 'old;to-tag=a;from-tag=b']]),
  });
  const incoming = await phone.nextCall();
  incoming.answer(sessionDescription(places.phones, 41_000));
  expect((await call.answer()).status).toBe(200);
  await call.dialog?.bye();
  await phone.sleep();
}

test.each(['udp', 'tcp'] as const)(
  '[PN-INT-06] half an hour of silence does not remove a phone that can be pushed, and no Flow-Timer asks it to keep its flow (%s)',
  async (transport) => {
    const phone = bed.phone('anna', { domain: homeDomain, transport, expires: 7200 });
    const answer = await phone.register();
    expect([answer.status, answer.headers.has('Flow-Timer')]).toEqual([200, false]);
    await phone.sleep();
    await day.pass(halfAnHour);
    const asked = bed.pbx.dial(`sip:anna@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    await bed.nextPush(phone);
    await phone.wake();
    (await phone.nextCall()).reject(486);
    expect((await asked.answer()).status).toBe(486);
    const fetched = await phone.register({ contact: '' });
    expect(fetched.headers.list('Contact')).toHaveLength(1);
    await phone.register({ contact: '*', expires: 0 });
  },
);

test('[PN-INT-06] CRLF CRLF on a stream is answered with CRLF, a STUN binding request on a datagram with the address it came from', async () => {
  const stream = await TcpPeer.open(bed.edge.at('tcp'), places.phones);
  stream.send('\r\n\r\n');
  expect(await stream.next('\r\n')).toBe('\r\n');
  stream.stop();
  const datagram = await UdpPeer.open(places.phones);
  await datagram.send(Buffer.from('000100002112a4420102030405060708090a0b0c', 'hex'), bed.edge.at('udp'));
  const answer = Buffer.from(await datagram.next('\u0001\u0001'), 'latin1');
  expect(answer.subarray(8, 20).toString('hex')).toBe('0102030405060708090a0b0c');
  expect(answer.readUInt16BE(26) ^ 0x2112).toBe(datagram.port);
  datagram.stop();
});

test('[PN-PURR-01] [PN-PURR-02] each reference is another one and wakes its own phone', async () => {
  const phones = ['bert', 'carl', 'dora'].map((user) => bed.phone(user, { domain: homeDomain }));
  const purrs: string[] = [];
  for (const phone of phones) purrs.push(await purrOf(phone));
  expect(new Set(purrs).size).toBe(3);
  for (const phone of phones) await phone.sleep();
  for (const [at, phone] of phones.entries()) {
    await wakes(phone, purrs[at] as string);
    expect(phones.map(({ invites }) => invites.length)).toEqual(phones.map((_, other) => (other <= at ? 1 : 0)));
    expect(bed.pushesFor(phone)).toHaveLength(1);
  }
});

test('[PN-PURR-03] [PN-PURR-04] after its period a refresh brings another reference, and what was made with the old one still wakes the phone', async () => {
  const phone = bed.phone('emil', { domain: homeDomain, expires: 36_000 });
  const first = await purrOf(phone);
  await day.pass(2 * halfAnHour);
  const second = await purrOf(phone);
  expect(second).not.toBe(first);
  await phone.sleep();
  await wakes(phone, first);
  await wakes(phone, second);
  expect(bed.pushesFor(phone)).toHaveLength(2);
});
