/** RFC 3261 10.3 and the digest, asked of a running edge over UDP: the edge as the registrar, and the edge in front of one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone, RegisterOptions } from '../../apps/demo/phone.ts';
import { newCallId, newTag } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { places } from '../support/edge.ts';
import { aRequest, UdpPeer } from '../support/text-peer.ts';
import { anOffer, Bed, homeDomain, pbxDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

const home = { domain: homeDomain } as const;
const fetchBindings = async (phone: Phone): Promise<readonly string[]> =>
  (await phone.register({ contact: '' })).headers.list('Contact');
const forget = (phone: Phone): Promise<SipResponse> => phone.register({ contact: '*', expires: 0 });
const secondsOf = (contact: string | undefined): number =>
  Number(/;expires=(\d+)/.exec(contact ?? '')?.[1] ?? Number.NaN);
const headers = (...fields: readonly (readonly [string, string])[]): Pick<RegisterOptions, 'headers'> => ({
  headers: Headers.of(fields),
});

describe('10.3, where the edge is the registrar', () => {
  it('[EDGE-REG-01] two REGISTERs at once for one AOR: both count, and Record-Route is neither used nor sent', async () => {
    const [one, other] = [bed.phone('anna', { ...home, plain: true }), bed.phone('anna', { ...home, plain: true })];
    await Promise.all([one.open(), other.open()]);
    const recorded = headers(['Record-Route', '<sip:192.0.2.77;lr>']);
    const answers = await Promise.all([one.register(recorded), other.register(recorded)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.some((answer) => answer.headers.has('Record-Route'))).toBe(false);
    expect(await fetchBindings(one)).toHaveLength(2);
    await forget(one);
  });

  it('[EDGE-REG-02] a domain nobody has configured is refused, and nothing of it goes anywhere', async () => {
    const bystander = bed.phone('anna', home);
    await bystander.open();
    const answer = await bystander.ua
      .request('REGISTER', 'sip:elsewhere.example.net', {
        headers: Headers.of([
          ['From', '<sip:anna@elsewhere.example.net>;tag=f'],
          ['To', '<sip:anna@elsewhere.example.net>'],
          ['Call-ID', newCallId()],
          ['CSeq', '1 REGISTER'],
          ['Contact', bystander.contact()],
        ]),
      })
      .answer();
    expect([403, 404]).toContain(answer.status);
    expect(bed.pbx.ua.seen('in', 'REGISTER')).toHaveLength(0);
  });

  it('[EDGE-REG-03] Require with an unknown tag: 420, and the tag in Unsupported', async () => {
    const answer = await bed.phone('anna', home).register(headers(['Require', 'time-travel']));
    expect(answer.status).toBe(420);
    expect(answer.headers.list('Unsupported')).toEqual(['time-travel']);
  });

  it('[EDGE-REG-05] [PN-INT-16] the AOR is To without parameters and escapes; a stranger gets 404 or is challenged for ever', async () => {
    const phone = bed.phone('anna', { ...home, plain: true });
    await phone.register();
    const digits = Array.from('anna', (letter) => `%${letter.charCodeAt(0).toString(16)}`).join('');
    const escaped = await phone.ua.authenticated(
      'REGISTER',
      `sip:${homeDomain}`,
      {
        headers: Headers.of([
          ['From', `<sip:anna@${homeDomain}>;tag=${newTag()}`],
          ['To', `<sip:${digits}@${homeDomain};pn-prid=x;y=z>`],
          ['Call-ID', newCallId()],
          ['CSeq', '1 REGISTER'],
        ]),
      },
      { user: 'anna', password: phone.options.password ?? '' },
    );
    expect(escaped.answer.status).toBe(200);
    expect(escaped.answer.headers.list('Contact')).toHaveLength(1);
    await forget(phone);
  });

  it('[EDGE-REG-06] `*` with another Contact, with an expiry, or without one is a mistake and removes nothing', async () => {
    const phone = bed.phone('bert', { ...home, plain: true });
    await phone.register();
    const beside = await phone.register({ contact: `*, ${phone.contact()}`, expires: 0 });
    const lasting = await phone.register({ contact: '*', expires: 60 });
    expect([beside.status, lasting.status]).toEqual([400, 400]);
    expect(await fetchBindings(phone)).toHaveLength(1);
    expect((await forget(phone)).headers.list('Contact')).toHaveLength(0);
  });

  it('[EDGE-REG-07] [EDGE-REG-10] the same Call-ID with a CSeq that is not higher removes and changes nothing', async () => {
    const phone = bed.phone('bert', { ...home, plain: true });
    const callId = newCallId();
    const send = (cseq: number, contact: string, expires: string): Promise<{ readonly answer: SipResponse }> =>
      phone.ua.authenticated(
        'REGISTER',
        `sip:${homeDomain}`,
        {
          headers: Headers.of([
            ['From', `<sip:bert@${homeDomain}>;tag=f`],
            ['To', `<sip:bert@${homeDomain}>`],
            ['Call-ID', callId],
            ['CSeq', `${cseq} REGISTER`],
            ['Contact', contact],
            ['Expires', expires],
          ]),
        },
        { user: 'bert', password: phone.options.password ?? '' },
      );
    await phone.open();
    expect((await send(50, phone.contact(), '1000')).answer.status).toBe(200);
    expect((await send(40, '*', '0')).answer.status).toBe(500);
    expect((await send(42, phone.contact(), '3000')).answer.status).toBe(500);
    const [left] = await fetchBindings(phone);
    expect(secondsOf(left)).toBeGreaterThan(900);
    expect(secondsOf(left)).toBeLessThanOrEqual(1000);
    expect((await send(60, phone.contact(), '2000')).answer.status).toBe(200);
    expect(secondsOf((await fetchBindings(phone))[0])).toBeGreaterThan(1900);
    await forget(phone);
  });

  it('[EDGE-REG-08] [EDGE-REG-12] expiry: of the Contact, else of the header, else the default; the 200 lists all with what is left', async () => {
    const phone = bed.phone('carl', { ...home, plain: true });
    await phone.open();
    const at = (port: number): string => `<sip:carl@192.0.2.5:${port}>`;
    const own = await phone.register({ contact: `${at(5071)};expires=700`, expires: 900 });
    const header = await phone.register({ contact: at(5072), expires: 900 });
    expect(own.headers.has('Date')).toBe(true);
    const left = new Map(
      header.headers.list('Contact').map((one) => [/:(\d+)>/.exec(one)?.[1] ?? '', secondsOf(one)] as const),
    );
    expect([...left.keys()].sort()).toEqual(['5071', '5072']);
    expect(left.get('5071')).toBeGreaterThan(690);
    expect(left.get('5071')).toBeLessThanOrEqual(700);
    expect(left.get('5072')).toBeGreaterThan(890);
    const none = await phone.ua.authenticated(
      'REGISTER',
      `sip:${homeDomain}`,
      {
        headers: Headers.of([
          ['From', `<sip:carl@${homeDomain}>;tag=f`],
          ['To', `<sip:carl@${homeDomain}>`],
          ['Call-ID', newCallId()],
          ['CSeq', '1 REGISTER'],
          ['Contact', at(5073)],
        ]),
      },
      { user: 'carl', password: phone.options.password ?? '', algorithm: 'SHA-256' },
    );
    const third = none.answer.headers.list('Contact').find((one) => one.includes(':5073'));
    expect(secondsOf(third)).toBeGreaterThan(3590);
    await forget(phone);
  });

  it('[EDGE-REG-09] [PN-REG-07] [PN-INT-14] 423 with Min-Expires only below the minimum of a phone to be pushed, and never for an hour or more', async () => {
    const phone = bed.phone('carl', home);
    const brief = await phone.register({ expires: 100 });
    expect(brief.status).toBe(423);
    expect(brief.headers.get('Min-Expires')).toBe('300');
    expect(await fetchBindings(phone)).toHaveLength(0);
    expect((await phone.register({ expires: 300 })).status).toBe(200);
    expect((await phone.register({ expires: 7200 })).status).toBe(200);
    await forget(phone);
  });

  it('[EDGE-REG-14] a Contact that is the AOR itself would send calls round in circles: refused', async () => {
    const phone = bed.phone('dora', { ...home, plain: true });
    const answer = await phone.register({ contact: `<sip:dora@${homeDomain}>` });
    expect(answer.status).toBe(403);
    expect(await fetchBindings(phone)).toHaveLength(0);
  });

  it('[PN-INT-13] two Contacts of which one is wrong: neither is stored', async () => {
    const phone = bed.phone('dora', { ...home, plain: true });
    await phone.open();
    const answer = await phone.register({ contact: `${phone.contact()}, <tel:+4930123>` });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await fetchBindings(phone)).toHaveLength(0);
  });

  it('[PN-INT-02] AOR, instance-id and reg-id are the binding: a new port and a new token replace it', async () => {
    const phone = bed.phone('emil', home);
    await phone.open();
    await phone.register({ contact: phone.contact(phone.ua, ';reg-id=1') });
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ab'.repeat(32) };
    await phone.sleep();
    await phone.open();
    const answer = await phone.register({ contact: phone.contact(phone.ua, ';reg-id=1'), callId: newCallId() });
    expect(answer.headers.list('Contact')).toHaveLength(1);
    expect(answer.headers.list('Contact')[0]).toContain('abababab');
    await forget(phone);
  });

  it('[PN-INT-15] [PN-FC-06] [EDGE-FC-02] a fetch lists every binding with its own time, and no Feature-Caps', async () => {
    const [one, other] = [bed.phone('emil', home), bed.phone('emil', { ...home, plain: true })];
    await one.register({ expires: 1000 });
    await other.register({ expires: 2000 });
    const answer = await other.register({ contact: '' });
    const seconds = answer.headers
      .list('Contact')
      .map(secondsOf)
      .sort((a, b) => a - b);
    expect(seconds).toHaveLength(2);
    expect(seconds[0]).toBeLessThanOrEqual(1000);
    expect(seconds[1]).toBeGreaterThan(1900);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    await forget(one);
  });
});

describe('digest of the edge', () => {
  it('[EDGE-AUTH-04] [EDGE-AUTH-05] every challenge has qop, none is Basic, and Basic credentials are challenged again', async () => {
    const phone = bed.phone('frieda', home);
    const basic = `Basic ${Buffer.from(`frieda:${phone.options.password}`).toString('base64')}`;
    await phone.open();
    const answer = await phone.ua
      .request('REGISTER', `sip:${homeDomain}`, {
        headers: Headers.of([
          ['From', `<sip:frieda@${homeDomain}>;tag=f`],
          ['To', `<sip:frieda@${homeDomain}>`],
          ['Call-ID', newCallId()],
          ['CSeq', '1 REGISTER'],
          ['Contact', phone.contact()],
          ['Authorization', basic],
        ]),
      })
      .answer();
    expect(answer.status).toBe(401);
    const challenges = answer.headers.lines('WWW-Authenticate');
    expect(challenges.length).toBeGreaterThan(0);
    for (const challenge of challenges) expect(challenge).toMatch(/^Digest .*\bqop="auth"/);
  });

  it('[EDGE-AUTH-01] [EDGE-PRX-14] INVITE of a phone gets 407; ACK and CANCEL are never challenged', async () => {
    const phone = bed.phone('frieda', { ...home, plain: true });
    await phone.register();
    const uri = `sip:anna@${homeDomain}`;
    const fields = Headers.of([
      ['From', `<sip:frieda@${homeDomain}>;tag=f`],
      ['To', `<${uri}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 INVITE'],
      ['Contact', `<${phone.ua.uri('frieda')}>`],
    ]);
    const invite = phone.ua.request('INVITE', uri, { headers: fields, body: anOffer() });
    expect((await invite.answer()).status).toBe(407);
    const peer = await UdpPeer.open(places.phones);
    await peer.send(aRequest('CANCEL', { uri, sentBy: `${places.phones}:${peer.port}` }), bed.edge.at('udp'));
    expect(await peer.next('SIP/2.0')).toMatch(/^SIP\/2\.0 481/);
    peer.stop();
    await forget(phone);
  });
});

describe('before any work', () => {
  const knock = async (
    method: string,
    uri: string,
    ...extra: readonly (readonly [string, string])[]
  ): Promise<SipResponse> => {
    const stranger = await bed.agent(places.pbx);
    const fields = Headers.of([
      ['From', `<sip:q@${pbxDomain}>;tag=${newTag()}`],
      ['To', `<sip:x@${pbxDomain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', `1 ${method}`],
      ['Contact', `<${stranger.uri('q')}>`],
      ...extra,
    ]);
    return stranger.request(method, uri, { headers: fields }).answer(3000);
  };

  it('[EDGE-PRX-01] bad scheme 416, no hops left 483, Proxy-Require 420: and nobody is pushed', async () => {
    const phone = await bed.sleeper('alice');
    const contact = bed.pbx.bindings('alice')[0]?.contact ?? '';
    expect((await knock('INVITE', 'tel:+4930123456')).status).toBe(416);
    expect((await knock('INVITE', contact, ['Max-Forwards', '0'])).status).toBe(483);
    const answer = await knock('INVITE', contact, ['Proxy-Require', 'levitation']);
    expect(answer.status).toBe(420);
    expect(answer.headers.list('Unsupported')).toEqual(['levitation']);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[EDGE-PRX-03] a user of ours nobody knows is 404, a known one without a phone 480', async () => {
    expect((await knock('INVITE', `sip:nobody@${homeDomain}`)).status).toBe(404);
    expect((await knock('INVITE', `sip:gero@${homeDomain}`)).status).toBe(480);
  });

  it('[EDGE-PRX-02] [EDGE-PRX-05] our own Route is taken off; the phone gets one hop less, its own Via, and no Route of ours', async () => {
    const phone = bed.phone('berta', { plain: true });
    await phone.register();
    const { address, port } = bed.edge.at('udp');
    const call = bed.pbx.call('berta', {
      body: anOffer(),
      headers: Headers.of([
        ['Route', `<sip:${address}:${port};lr>`],
        ['Max-Forwards', '17'],
      ]),
    });
    const incoming = await phone.nextCall();
    expect(incoming.request.headers.get('Max-Forwards')).toBe('16');
    expect(incoming.request.headers.list('Route')).toEqual([]);
    expect(incoming.request.headers.list('Via')).toHaveLength(1);
    expect(incoming.request.headers.list('Via')[0]).toContain('branch=z9hG4bK');
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[EDGE-PRX-04] a Contact that is registered twice during the hold is rung once', async () => {
    const phone = await bed.sleeper('cora');
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone);
    await phone.wake({ callIds: 2 });
    const incoming = await phone.nextCall();
    incoming.reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(phone.invites).toHaveLength(1);
  });
});
