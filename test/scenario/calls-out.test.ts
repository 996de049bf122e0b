/** Calls and messages from phones to the PBX: 407 passes both ways, the trust border holds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { newCallId } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.pbx, 41_000);

describe.each(['udp', 'tcp'] as const)('over %s', (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ transport });
  });
  afterAll(() => bed.close());

  it('carries a call to the PBX through its 407, both sides can talk and end it', async () => {
    const phone = bed.phone('alice', { transport });
    await phone.register();
    const call = phone.call('4711', { body: anOffer(), headers: Headers.of([['X-App', 'one, two']]) });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    expect(incoming.request.body).toBe(anOffer());
    expect(incoming.request.headers.get('X-App')).toBe('one, two');
    expect(incoming.request.headers.get('From')).toContain(`sip:alice@${pbxDomain}`);
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp);
    const answer = await answered;
    expect([answer.status, answer.body]).toEqual([200, answerSdp]);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('passes 407 as the PBX wrote it, and the credentials as the phone wrote them', async () => {
    const phone = bed.phone('berta', { transport });
    await phone.register();
    const call = phone.call('4711', { body: anOffer() });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    const challenge = bed.pbx.ua.seen('out', '407').at(-1)?.message.headers.get('Proxy-Authenticate');
    expect(phone.seen('in', '407').at(-1)?.message.headers.get('Proxy-Authenticate')).toBe(challenge);
    expect(incoming.request.headers.get('Proxy-Authorization')).toBe(
      call.transaction.request.headers.get('Proxy-Authorization'),
    );
    incoming.reject(486);
    expect((await answered).status).toBe(486);
  });

  it('cancels at the PBX when the phone gives up', async () => {
    const phone = bed.phone('cora', { transport });
    await phone.register();
    const call = phone.call('4711', { body: anOffer() });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    incoming.ring();
    await call.provisional(180).catch(() => undefined); // of the first INVITE or the second
    call.cancel();
    await incoming.transaction.cancel();
    expect((await answered).status).toBe(487);
  });

  it('carries MESSAGE and PUBLISH outside of a dialog, with body and answer', async () => {
    const phone = bed.phone('dina', { transport });
    await phone.register();
    for (const method of ['MESSAGE', 'PUBLISH']) {
      const headers = Headers.of([
        ['From', `<${phone.aor}>;tag=m`],
        ['To', `<sip:bob@${pbxDomain}>`],
        ['Call-ID', newCallId()],
        ['CSeq', `1 ${method}`],
        ['Content-Type', 'text/plain;charset=utf-8'],
        ...(method === 'PUBLISH'
          ? ([
              ['Event', 'presence'],
              ['Expires', '600'],
            ] as const)
          : []),
      ]);
      const body = Buffer.from('gr\u00fc\u00df dich', 'utf8').toString('latin1');
      const transaction = phone.ua.request(method, `sip:bob@${pbxDomain}`, { headers, body });
      const arrived = await bed.pbx.ua.next(method, 3000);
      expect(arrived.request.body).toBe(body);
      arrived.respond(202, { headers: Headers.of([['X-Stored', 'yes']]) });
      const answer = await transaction.answer(3000);
      expect([answer.status, answer.headers.get('X-Stored')], method).toEqual([202, 'yes']);
    }
  });
});

describe('who may call', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  it('[EDGE-PRX-16] shows nobody the credentials it has asked a phone for, nor an identity the phone gave itself', async () => {
    const caller = bed.phone('carl', { domain: homeDomain });
    const callee = bed.phone('dora', { domain: homeDomain, plain: true });
    await caller.register();
    await callee.register();
    const headers = Headers.of([['P-Asserted-Identity', '<sip:boss@home.example.com>']]);
    const inside = caller.call('dora', { body: anOffer(), headers });
    const answered = inside.answer();
    const rings = await callee.nextCall();
    expect(inside.transaction.request.headers.get('Proxy-Authorization')).toContain(`realm="${homeDomain}"`);
    rings.reject(486);
    expect((await answered).status).toBe(486);
    // the PBX has a challenge of its own, which this phone does not answer
    expect((await caller.call('4711', { body: anOffer(), headers }).answer()).status).toBe(407);
    const atPbx = bed.pbx.ua.seen('in', 'INVITE').at(-1)?.message;
    for (const { headers: seen } of [rings.request, atPbx ?? rings.request]) {
      expect(seen.get('From')).toContain(`sip:carl@${homeDomain}`);
      expect(seen.has('Proxy-Authorization')).toBe(false);
      expect(seen.has('P-Asserted-Identity')).toBe(false);
    }
    expect(atPbx).toBeDefined();
  });

  it('tells only its users who is registered', async () => {
    const phone = bed.phone('emil', { domain: homeDomain });
    await phone.register();
    const stranger = await bed.agent(places.stranger);
    const asks = async (from: string): Promise<number> => {
      const headers = Headers.of([
        ['From', `<${from}>;tag=t`],
        ['To', `<${phone.aor}>`],
        ['Call-ID', newCallId()],
        ['CSeq', '1 OPTIONS'],
      ]);
      return (await stranger.request('OPTIONS', phone.aor, { headers }).answer(3000)).status;
    };
    expect(await asks(`sip:x@${homeDomain}`)).toBe(407);
    // no password of this domain proves a name of another
    expect(await asks('sip:x@example.com')).toBe(403);
  });

  it('[EDGE-AUTH-01] asks a phone of its own domain for the password with 407 and then calls the PBX', async () => {
    const phone = bed.phone('anna', { domain: homeDomain });
    await phone.register();
    const call = phone.call('4711', { body: anOffer() });
    const answered = call.answer();
    // the PBX takes calls of its trunk as they come
    const incoming = await bed.pbx.ua.next('INVITE', 3000).catch(() => undefined);
    expect(phone.seen('in', '407')).not.toHaveLength(0);
    expect(incoming === undefined ? (await answered).status : 407).toBe(407);
  });

  it('refuses a call from an address no phone registered from', async () => {
    const phone = bed.phone('alice');
    await phone.register();
    const thief = await bed.agent(places.stranger);
    const before = bed.pbx.ua.seen('in', 'INVITE').length;
    const headers = Headers.of([
      ['From', `<sip:alice@${pbxDomain}>;tag=t`],
      ['To', `<sip:4711@${pbxDomain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 INVITE'],
      ['Contact', `<${thief.uri('alice')}>`],
      ['Content-Type', 'application/sdp'],
    ]);
    const answer = await thief.request('INVITE', `sip:4711@${pbxDomain}`, { headers, body: anOffer() }).answer(3000);
    expect(answer.status).toBe(403);
    expect(bed.pbx.ua.seen('in', 'INVITE')).toHaveLength(before);
  });

  it('[PN-PROXY-26] answers 483, 420 and 416 before it does anything', async () => {
    const agent = await bed.agent(places.phones);
    const fields = (extra: readonly (readonly [string, string])[]) =>
      Headers.of([
        ['From', `<sip:alice@${pbxDomain}>;tag=t`],
        ['To', `<sip:bob@${pbxDomain}>`],
        ['Call-ID', newCallId()],
        ['CSeq', '1 INVITE'],
        ['Contact', `<${agent.uri('alice')}>`],
        ...extra,
      ]);
    const send = (uri: string, extra: readonly (readonly [string, string])[]) =>
      agent.request('INVITE', uri, { headers: fields(extra) }).answer(3000);
    expect((await send(`sip:bob@${pbxDomain}`, [['Max-Forwards', '0']])).status).toBe(483);
    const refused = await send(`sip:bob@${pbxDomain}`, [['Proxy-Require', 'teleportation']]);
    expect([refused.status, refused.headers.get('Unsupported')]).toEqual([420, 'teleportation']);
    expect((await send('tel:+43316', [])).status).toBe(416);
  });

  it('[PN-UA-01] [PN-SEC-02] takes pn-* out of the Contact of a call from the phone', async () => {
    const phone = bed.phone('berta');
    await phone.register();
    const leaky = `<${phone.ua.uri('berta')};pn-provider=apns;pn-param=${bed.pushParam};pn-prid=${phone.push?.prid}>`;
    const call = phone.call('4711', { body: anOffer(), contact: leaky });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    expect(incoming.request.headers.print()).not.toContain('pn-');
    incoming.reject(486);
    expect((await answered).status).toBe(486);
  });
});
