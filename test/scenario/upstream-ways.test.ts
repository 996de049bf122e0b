/** The ways upstream that PBX people know: throttled mid-registrar, static trunk, ring budget, early ringing, loops. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { newCallId, newTag, UserAgent } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const agents: UserAgent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.close();
});

/** The PBX is the registrar of all domains, and throttled. */
const throttled = {
  domain: {
    registration: 'mid-registrar',
    users: [],
    throttle: { upstream_expires: 1200, phone_expires: 604_800 },
  },
  pbx: { maxExpires: 900 },
} as const;

const registersAt = (bed: Bed): number => bed.pbx.ua.seen('in', 'REGISTER').length;
const expiresIn = (headers: Headers, user: string): number =>
  Number(/expires=(\d+)/.exec(headers.list('Contact').find((value) => value.includes(user)) ?? '')?.[1]);

describe('a throttled mid-registrar, and its PBX that sends back what the edge has sent', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open(throttled);
  });
  afterAll(() => bed.close());

  it('gives the phone the long expiry it asks for, asks the PBX in its own rhythm, and passes on whatever changes', async () => {
    const phone = bed.phone('alice', { alerts: true, transport: 'tcp' });
    const first = await phone.register({ expires: 86_400 });
    expect(expiresIn(first.headers, 'alice')).toBe(86_400);
    const asked = bed.pbx.ua.seen('in', 'REGISTER').at(-1)?.message.headers;
    expect(asked?.get('Expires')).toBe('1200');
    const before = registersAt(bed);
    const again = await phone.register({ expires: 86_400 });
    expect([again.status, registersAt(bed) - before]).toEqual([200, 0]);
    expect(again.headers.lines('Feature-Caps')).toEqual(first.headers.lines('Feature-Caps'));
    expect(await bed.metric('reveille_registrations_total{result="throttled"}')).toBe(1);

    // another connection, another token, its end: only the PBX can say whether that is so
    await phone.sleep();
    expect((await phone.register({ expires: 86_400 })).status).toBe(200);
    expect(registersAt(bed)).toBeGreaterThan(before);
    const moved = registersAt(bed);
    const { push } = phone;
    if (push !== undefined) phone.push = { ...push, prid: `${push.prid.slice(0, -4)}beef` };
    expect((await phone.register({ expires: 86_400 })).status).toBe(200);
    expect(registersAt(bed)).toBeGreaterThan(moved);
    expect(bed.pbx.bindings('alice')).toHaveLength(1);
    expect((await phone.register({ expires: 0 })).status).toBe(200);
    expect(bed.pbx.bindings('alice')).toHaveLength(0);
  });

  it('keeps a plain phone on its own short expiry while the PBX hears of it once', async () => {
    const phone = bed.phone('berta', { plain: true });
    expect(expiresIn((await phone.register({ expires: 60 })).headers, 'berta')).toBe(60);
    const before = registersAt(bed);
    for (let round = 0; round < 3; round++)
      expect(expiresIn((await phone.register({ expires: 60 })).headers, 'berta')).toBe(60);
    expect(registersAt(bed)).toBe(before);
    expect((bed.pbx.bindings('berta')[0]?.expiresAt ?? 0) - Date.now()).toBeGreaterThan(600_000);
  });

  it('[EDGE-REG-14] gets 482 for our own contact in a REGISTER, and the log says what it is', async () => {
    await bed.phone('emil', { plain: true }).register();
    const contact = bed.pbx.bindings('emil')[0]?.contact ?? '';
    const agent = await bed.agent(places.pbx);
    const headers = Headers.of([
      ['From', `<sip:emil@${pbxDomain}>;tag=${newTag()}`],
      ['To', `<sip:emil@${pbxDomain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 REGISTER'],
      ['Contact', `<${contact}>`],
    ]);
    expect((await agent.request('REGISTER', `sip:${pbxDomain}`, { headers }).answer(3000)).status).toBe(482);
    await expect
      .poll(() => bed.edge.process.logs.some(({ msg }) => String(msg).startsWith('your PBX sent back our own contact')))
      .toBe(true);
    expect(await bed.metric('reveille_refusals_total{reason="loop"}')).toBe(1);
  });

  it('[EDGE-LOOP-02] gets 482 for a request that has passed the edge and would go round again; where its request-URI leads to a phone now, it passes', async () => {
    const agent = await bed.agent(places.pbx);
    const phone = bed.phone('emma', { plain: true });
    await phone.register();
    const { address, port } = bed.edge.at('udp');
    const again = (uri: string) =>
      agent.request('INVITE', uri, {
        headers: Headers.of([
          ['Via', `SIP/2.0/UDP ${address}:${port};branch=z9hG4bKbefore`],
          ['From', `<sip:emil@${pbxDomain}>;tag=${newTag()}`],
          ['To', `<sip:4711@${pbxDomain}>`],
          ['Call-ID', newCallId()],
          ['CSeq', '1 INVITE'],
          ['Contact', `<${agent.uri('emil')}>`],
        ]),
      });
    expect((await again(`sip:4711@${pbxDomain}`).answer(3000)).status).toBe(482);
    const spiral = again(bed.pbx.bindings('emma').at(-1)?.contact ?? '');
    (await phone.nextCall()).reject(486);
    expect((await spiral.answer(3000)).status).toBe(486);
  });
});

describe('a PBX that waits for less than a phone takes', () => {
  it.each([
    ['180', 180],
    ['183', 183],
  ] as const)('hears %s early, without a description, and is told within its ring budget', async (word, status) => {
    const bed = await Bed.open({
      domain: { early_ringing: word },
      config: { calls: { ring_budget_seconds: 2, early_ringing_ms: 200 } },
    });
    const phone = await bed.sleeper('cora');
    const began = performance.now();
    const call = bed.pbx.call('cora', { body: anOffer() });
    const answered = call.answer();
    const early = await call.provisional(status);
    expect(early.body).toBe('');
    const answer = await answered;
    expect([answer.status, answer.reason]).toEqual([480, 'Not Answered In Time']);
    expect(performance.now() - began).toBeLessThan(4500);
    expect(bed.edge.process.logs.some(({ msg }) => String(msg).includes('ring_budget_seconds'))).toBe(true);

    // ringing counts too: what is left of the budget ends it
    bed.wakesOnPush(phone);
    const second = bed.pbx.call('cora', { body: anOffer() });
    const ended = second.answer();
    const incoming = await phone.nextCall();
    incoming.ring();
    await incoming.transaction.cancel();
    expect((await ended).status).toBe(480);
    await bed.close();
  });

  it('is told 480 before its own Expires is over, while the phone sleeps and while it rings, and its phone stops', async () => {
    const bed = await Bed.open({ config: { calls: { expires_margin_ms: 9000 } } });
    const phone = await bed.sleeper('emma');
    const began = performance.now();
    const asleep = await bed.pbx.call('emma', { body: anOffer(), headers: Headers.of([['Expires', '10']]) }).answer();
    expect([asleep.status, asleep.reason]).toEqual([480, 'Not Answered In Time']);
    expect(performance.now() - began).toBeGreaterThan(950);
    expect(performance.now() - began).toBeLessThan(9000);
    expect(bed.edge.process.logs.some(({ msg }) => String(msg).includes('within the Expires of the INVITE'))).toBe(
      true,
    );

    bed.wakesOnPush(phone);
    const ended = bed.pbx.call('emma', { body: anOffer(), headers: Headers.of([['Expires', '12']]) }).answer();
    const incoming = await phone.nextCall();
    incoming.ring();
    await incoming.transaction.cancel();
    expect((await ended).status).toBe(480);
    await bed.close();
  });

  it('says nothing early to a PBX that did not ask for it, and nothing twice', async () => {
    const bed = await Bed.open({ config: { calls: { early_ringing: '180', early_ringing_ms: 0 } } });
    const phone = await bed.sleeper('dina');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('dina', { body: anOffer(), headers: Headers.of([['Supported', '100rel']]) });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.progress(183, { body: answerSdp });
    expect((await call.provisional(183)).body).toBe(answerSdp);
    incoming.answer(answerSdp);
    expect((await answered).body).toBe(answerSdp);
    await call.dialog?.bye();
    await bed.close();
  });
});

describe('a static trunk', () => {
  const password = 'what the trunk says';
  const trunkDomain = (auth: string) => ({
    registration: 'registrar',
    users: [
      { name: '101', password: 'what 101 says' },
      { name: 'trunk', password },
    ],
    trunk: {
      auth,
      users: ['trunk'],
      routes: [
        { domain: '192.0.2.77', prefix: '+4930123', strip: 8, to_domain: pbxDomain },
        { domain: '192.0.2.77', prefix: '+4930', strip: 5, add: '9', to_domain: pbxDomain },
      ],
    },
  });

  async function dial(bed: Bed, from: string, uri: string, said?: string): Promise<OutgoingCall> {
    const agent = await UserAgent.open({ transport: 'udp', address: from, outbound: bed.edge.at('udp') });
    agents.push(agent);
    return new OutgoingCall(agent, uri, {
      from: '<sip:+4989555@pbx.elsewhere.example>',
      to: `<${uri}>`,
      contact: `<${agent.uri('pbx')}>`,
      body: anOffer(),
      remote: bed.edge.at('udp'),
      credentials: said === undefined ? undefined : { user: 'trunk', password: said },
    });
  }

  it('routes numbers to phones that register at the edge, proved by address', async () => {
    const bed = await Bed.open({ domain: trunkDomain('ip') });
    const phone = bed.phone('101', { password: 'what 101 says', transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    expect(registersAt(bed)).toBe(0);
    const call = await dial(bed, places.pbx, 'sip:+4930123101@192.0.2.77');
    const answered = call.answer();
    (await phone.nextCall()).answer(answerSdp);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
    const unknown = await dial(bed, places.pbx, 'sip:+4930555@192.0.2.77');
    expect((await unknown.answer()).status).toBe(404);
    const stranger = await dial(bed, places.stranger, 'sip:+4930123101@192.0.2.77');
    expect((await stranger.answer()).status).toBeGreaterThanOrEqual(403);
    expect(phone.invites).toHaveLength(1);
    await bed.close();
  });

  it.each(['digest', 'either'])('proved by a password from any address (%s)', async (auth) => {
    const bed = await Bed.open({ domain: trunkDomain(auth) });
    const phone = bed.phone('101', { password: 'what 101 says', transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    const call = await dial(bed, places.stranger, 'sip:+4930123101@192.0.2.77', password);
    const answered = call.answer();
    (await phone.nextCall()).answer(answerSdp);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
    const wrong = await dial(bed, places.stranger, 'sip:+4930123101@192.0.2.77', 'something else');
    expect((await wrong.answer()).status).toBe(407);
    const silent = await dial(bed, places.pbx, 'sip:+4930123101@192.0.2.77');
    if (auth === 'digest') expect((await silent.answer()).status).toBe(407);
    else {
      const second = silent.answer();
      (await phone.nextCall()).answer(answerSdp);
      expect((await second).status).toBe(200);
      await silent.dialog?.bye();
    }
    await bed.close();
  });
});
