/** Two to five edges on hosts of their own: whichever the PBX calls and wherever the phone wakes, it rings once and the call works. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { WireTransport } from '../../apps/demo/wire.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { answerSdp, Fleet, offerSdp, take, type Up, whyNoFleet } from '../support/fleet.ts';
import { titled } from '../support/needs.ts';
import { aSeed, drawn } from '../support/seed.ts';

const why = whyNoFleet();

/** What is said inside a call, both ways, and who hangs up. */
async function talk({ call, incoming }: Up, hangsUp: 'caller' | 'phone'): Promise<void> {
  const caller = call.dialog;
  const phone = incoming.dialog;
  if (caller === undefined) throw new Error('the caller has no dialog');
  for (const [from, to] of [
    [caller, phone],
    [phone, caller],
  ] as const) {
    const info = from.request('INFO', Headers.of([['Content-Type', 'application/dtmf-relay']]), 'Signal=5\r\n');
    const heard = await to.next('INFO');
    expect(heard.request.body).toBe('Signal=5\r\n');
    heard.respond(200);
    expect((await info.answer()).status).toBe(200);
    const again = from.request('INVITE', Headers.of([['Content-Type', 'application/sdp']]), offerSdp);
    const asked = await to.next('INVITE');
    to.accept(asked, answerSdp);
    expect((await again.answer()).body).toBe(answerSdp);
    from.ack(again);
    await asked.ack();
  }
  const [ends, ended] = hangsUp === 'caller' ? [caller, phone] : [phone, caller];
  expect((await ends.bye()).status).toBe(200);
  expect((await ended.ended)?.method).toBe('BYE');
}

describe.skipIf(why !== undefined)(titled('two edges on hosts of their own', why), () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'] });
  });
  afterAll(() => fleet?.close());

  it.each(['udp', 'tcp', 'tls', 'ws', 'wss'] as const)(
    'one holds the call, the phone wakes onto a flow of the other over %s',
    async (transport) => {
      const phone = await fleet.sleeper('b', transport);
      fleet.wakesAt(phone, 'b');
      await talk(await take(fleet.dial('a', phone), phone), 'phone');
      expect(phone.invites).toHaveLength(1);
      expect(fleet.pushesFor(phone)).toHaveLength(1);
      // its flow is one of b's: awake it is rung there, too
      if (transport !== 'udp') {
        await talk(await take(fleet.dial('a', phone), phone), 'caller');
        expect(phone.invites).toHaveLength(2);
        expect(fleet.pushesFor(phone)).toHaveLength(1);
      }
    },
  );

  it('a phone that slept at one wakes at the other over another transport', async () => {
    const phone = await fleet.sleeper('a', 'udp');
    fleet.wakesAt(phone, 'b', 'tls');
    await talk(await take(fleet.dial('a', phone), phone), 'caller');
    expect(phone.invites).toHaveLength(1);
  });
});

describe.skipIf(why !== undefined)(titled('five edges on hosts of their own', why), () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const transports: readonly WireTransport[] = ['udp', 'tcp', 'tls', 'ws', 'wss'];
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.open({ nodes: names, holdSeconds: 20 });
  });
  afterAll(() => fleet?.close());

  it('25 phones, each asleep at one, called through one and woken onto one: every one rings once', async () => {
    const { one, seed } = drawn(aSeed());
    const phones: { readonly phone: Phone; readonly through: string }[] = [];
    for (let count = 0; count < 25; count += 1) {
      const phone = await fleet.sleeper(one(names), one(transports));
      fleet.wakesAt(phone, one(names), one(transports));
      phones.push({ phone, through: one(names) });
    }
    await Promise.all(
      phones.map(async ({ phone, through }, at) =>
        talk(await take(fleet.dial(through, phone), phone, 18_000), at % 2 === 0 ? 'caller' : 'phone'),
      ),
    );
    const what = (phone: Phone): string => `${phone.options.user} at ${phone.edge.address}, seed ${seed}`;
    for (const { phone } of phones) {
      expect(phone.invites, what(phone)).toHaveLength(1);
      expect(fleet.pushesFor(phone), what(phone)).toHaveLength(1);
    }
    for (const node of fleet.nodes) expect(await node.metric('reveille_held_invites')).toBe(0);
  });
});
