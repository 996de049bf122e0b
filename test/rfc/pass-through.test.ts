/** Mode P asked of a running edge over UDP: the PBX is the registrar and knows the phone's own Contact, the edge stays on Path. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { newCallId, newTag } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipMessage } from '../../lib/sip/message.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, pathDomain, type PhoneChoice } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ domain: { proxies: [places.stranger] } });
});
afterAll(() => bed.close());

const aPhone = (user: string, choice: PhoneChoice = {}): Phone => bed.phone(user, { domain: pathDomain, ...choice });

/** REGISTERs for this user as the PBX got them. */
function atPbx(user: string): readonly SipMessage[] {
  return bed.pbx.ua
    .seen('in', 'REGISTER')
    .map(({ message }) => message)
    .filter((message) => message.headers.get('To')?.includes(`sip:${user}@`) === true);
}

const last = (user: string): Headers => (atPbx(user).at(-1) as SipMessage).headers;
const pathOf = (user: string): string => last(user).list('Path')[0] ?? '';
const tokenOf = (path: string): string => /<sip:([^@]+)@/.exec(path)?.[1] ?? '';

/** A REGISTER written by hand, because the demo phone always says that it knows Path. */
async function registerAs(phone: Phone, fields: readonly (readonly [string, string])[]) {
  const agent = phone.awake ? phone.ua : await phone.open();
  const { user, password } = phone.options;
  const headers = Headers.of([
    ['From', `<${phone.aor}>;tag=${newTag()}`],
    ['To', `<${phone.aor}>`],
    ['Call-ID', newCallId()],
    ['CSeq', '1 REGISTER'],
    ...fields,
  ]);
  const done = await agent.authenticated(
    'REGISTER',
    `sip:${pathDomain}`,
    { headers },
    { user, password: password ?? '' },
  );
  return done.answer;
}

/** The PBX asks whether a contact is there, along these Routes. */
function ask(method: string, uri: string, routes: readonly string[], agent = bed.pbx.ua) {
  const headers = Headers.of([
    ...routes.map((route) => ['Route', route] as const),
    ['From', `<sip:bob@${pathDomain}>;tag=${newTag()}`],
    ['To', `<${uri}>`],
    ['Call-ID', newCallId()],
    ['CSeq', `1 ${method}`],
    ['Contact', `<${agent.uri('bob')}>`],
  ]);
  return agent.request(method, uri, { headers, to: bed.edge.at('udp') }).answer();
}

describe('REGISTER towards the PBX', () => {
  it('[PN-REG-08] [EDGE-PATH-01] [EDGE-AUTH-09] Contact, Expires and credentials as sent, our URI on Path, sip.pns on top', async () => {
    const phone = aPhone('anna');
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    const sent = phone.seen('out', 'REGISTER').at(-1)?.message.headers;
    for (const name of ['Contact', 'Expires', 'Authorization', 'From', 'To', 'Call-ID', 'CSeq', 'Supported'])
      expect([name, last('anna').get(name)]).toEqual([name, sent?.get(name)]);
    expect(last('anna').get('Contact')).toContain(`pn-prid=${phone.push?.prid}`);
    const { address, port } = bed.edge.at('udp');
    expect(pathOf('anna')).toMatch(
      new RegExp(`^<sip:[a-z2-7]+@${address.replaceAll('.', '\\.')}:${port};transport=udp;lr>$`),
    );
    expect(last('anna').lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(last('anna').get('Max-Forwards')).toBe('69');
  });

  it('[PN-REG-10] [PN-FC-04] the 2xx says the same type, once, and its Contact is that of the phone', async () => {
    const phone = aPhone('bert');
    const answer = await phone.register({ contact: phone.contact(await phone.open(), ';+sip.pnsreg') });
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns";+sip.pnsreg="180"']);
    expect(last('bert').lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(answer.headers.list('Contact').join()).toContain(`pn-prid=${phone.push?.prid}`);
  });

  it('[EDGE-PATH-02] Require: path, so that a PBX without Path says so', async () => {
    await aPhone('carl').register();
    expect(last('carl').list('Require')).toEqual(['path']);
  });

  it('[PN-INT-01] [EDGE-OUT-01] reg-id from the phone itself: `ob`; through another proxy: none', async () => {
    const phone = aPhone('dora');
    const agent = await phone.open();
    await phone.register({ contact: phone.contact(agent, ';reg-id=1') });
    expect(pathOf('dora')).toMatch(/;lr;ob>$/);
    await registerAs(phone, [
      ['Via', 'SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-inner'],
      ['Supported', 'path, outbound'],
      ['Contact', phone.contact(agent, ';reg-id=1')],
    ]);
    expect(pathOf('dora')).toMatch(/;lr>$/);
  });

  it('[PN-FC-05] [EDGE-FC-01] [EDGE-PATH-03] [EDGE-SR-01] [PN-INT-09] what the PBX says passes unchanged, our Feature-Caps above it', async () => {
    const phone = aPhone('emil');
    const said = [
      ['Path', '<sip:one.example.net;lr>,<sip:two.example.net;lr>'],
      ['Service-Route', '<sip:out.example.net;lr>'],
      ['Require', 'outbound'],
      ['Feature-Caps', '*;+g.3gpp.icsi-ref="x"'],
      ['X-Word', 'of the PBX'],
    ] as const;
    bed.pbx.onRegister = (incoming) => [
      200,
      { headers: Headers.of([...said, ['Contact', `${incoming.request.headers.get('Contact')};expires=3600`]]) },
    ];
    const { headers } = await phone.register();
    bed.pbx.onRegister = () => undefined;
    expect(headers.list('Path')).toEqual(['<sip:one.example.net;lr>', '<sip:two.example.net;lr>']);
    for (const [name, value] of said.slice(1).filter(([name]) => name !== 'Feature-Caps'))
      expect([name, headers.get(name)]).toEqual([name, value]);
    expect(headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"', '*;+g.3gpp.icsi-ref="x"']);
  });

  it('[PN-SEC-12] [EDGE-PRX-16] Feature-Caps and Path of a phone itself are dropped, and it is pushed all the same', async () => {
    const phone = aPhone('frieda');
    const answer = await phone.register({
      headers: Headers.of([
        ['Feature-Caps', '*;+sip.pns="apns"'],
        ['Path', '<sip:evil.example.net;lr>'],
        ['P-Asserted-Identity', '<sip:boss@example.net>'],
      ]),
    });
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(last('frieda').lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(last('frieda').list('Path')).toHaveLength(1);
    expect(last('frieda').has('P-Asserted-Identity')).toBe(false);
  });

  it('[PN-REG-03] a proxy nearer to the phone pushes: its Feature-Caps and Path pass, ours is not added, and nobody is pushed', async () => {
    const phone = aPhone('gero', { address: places.stranger });
    // proxy and phone are at one place
    const path = `<${(await phone.open()).uri('inner')};lr>`;
    const answer = await phone.register({
      headers: Headers.of([
        ['Feature-Caps', '*;+sip.pns="apns"'],
        ['Path', path],
      ]),
    });
    expect(last('gero').lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(last('gero').list('Path')[1]).toBe(path);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    const call = bed.pbx.call('gero', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-REG-09] the PBX grants too little: its 2xx passes without a promise', async () => {
    bed.pbx.onRegister = (incoming) => [
      200,
      { headers: Headers.of([['Contact', `${incoming.request.headers.get('Contact')};expires=60`]]) },
    ];
    const answer = await aPhone('hans').register();
    bed.pbx.onRegister = () => undefined;
    expect([answer.status, answer.headers.has('Feature-Caps')]).toEqual([200, false]);
    expect(answer.headers.get('Contact')).toMatch(/;expires=60$/);
  });

  it('[PN-QRY-02] [PN-QRY-06] [PN-QRY-07] a query is indicated to the PBX and to the phone alike, and is no push', async () => {
    const phone = aPhone('ida', { plain: true });
    await phone.open();
    for (const query of ['pn-provider=apns', 'pn-provider']) {
      const answer = await phone.register({ contact: `<${phone.ua.uri('ida')};${query}>` });
      expect(answer.headers.lines('Feature-Caps'), query).toEqual(['*;+sip.pns="apns"']);
      expect(last('ida').lines('Feature-Caps'), query).toEqual(['*;+sip.pns="apns"']);
    }
    const other = await phone.register({ contact: `<${phone.ua.uri('ida')};pn-provider=acme>` });
    expect([other.headers.has('Feature-Caps'), last('ida').has('Feature-Caps')]).toEqual([false, false]);
    const call = bed.pbx.call('ida', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[PN-FC-06] [EDGE-FC-02] a fetch passes without Path and Feature-Caps', async () => {
    const phone = aPhone('jens');
    await phone.register();
    const answer = await phone.register({ contact: '' });
    expect(answer.headers.list('Contact')).toHaveLength(1);
    expect([answer.headers.has('Feature-Caps'), last('jens').has('Path')]).toEqual([false, false]);
  });

  it('[PN-INT-07] [EDGE-PATH-02] a phone that does not know Path is served as by a mid-registrar', async () => {
    const phone = aPhone('kurt');
    const answer = await registerAs(phone, [['Contact', phone.contact(await phone.open())]]);
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect([last('kurt').has('Path'), last('kurt').get('Contact')?.includes('pn-')]).toEqual([false, false]);
    await phone.sleep();
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('kurt', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[PN-REG-15] [PN-FC-07] 401 and 403 pass without Feature-Caps and change nothing', async () => {
    const phone = await bed.sleeper('lena', { domain: pathDomain });
    expect(phone.seen('in', '401')[0]?.message.headers.has('Feature-Caps')).toBe(false);
    const old = phone.push;
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'cd'.repeat(32) };
    bed.pbx.onRegister = () => [403];
    const refused = await phone.register();
    bed.pbx.onRegister = () => undefined;
    expect([refused.status, refused.headers.has('Feature-Caps')]).toEqual([403, false]);
    await phone.sleep();
    phone.push = old;
    const call = bed.pbx.call('lena', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    await call.answer();
  });

  it('[PN-SEC-05] tokens of other phones in the answer of the PBX do not reach this one', async () => {
    const one = aPhone('mia');
    const other = aPhone('mia');
    await one.register();
    const answer = await other.register();
    const text = answer.headers.list('Contact').join();
    expect([text.includes(other.push?.prid ?? '-'), text.includes(one.push?.prid ?? '-')]).toEqual([true, false]);
    expect(answer.headers.list('Contact')).toHaveLength(2);
  });

  it('a Require that only the PBX can judge is left to it', async () => {
    const phone = aPhone('nora');
    expect((await phone.register({ headers: Headers.of([['Require', 'time-travel']]) })).status).toBe(200);
    expect(last('nora').list('Require')).toContain('time-travel');
  });
});

describe('calls along Path', () => {
  it('[PN-PROXY-02] [PN-PROXY-19] [PN-REG-01] wakes the phone, and what reaches it has no push parameters and no Route', async () => {
    const phone = await bed.sleeper('olga', { domain: pathDomain });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('olga', { body: anOffer() });
    expect(bed.pbx.ua.seen('out', 'INVITE').at(-1)?.message.headers.get('Route')).toBe(pathOf('olga'));
    const incoming = await phone.nextCall();
    expect(incoming.request.uri).toContain(`:${phone.ua.local.port}`);
    expect(JSON.stringify([incoming.request.uri, ...incoming.request.headers.entries()])).not.toMatch(/pn-|"Route"/);
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    // [EDGE-OUT-04] the BYE of the caller has found the flow, though the dialog has no Route
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(bed.pushesFor(phone)).toHaveLength(1);
    expect(phone.invites).toHaveLength(1);
  });

  it('[PN-DEREG-04] a new token under the same instance: the new one is pushed, whichever Contact the PBX still calls', async () => {
    const phone = aPhone('paul');
    await phone.register();
    const old = bed.pbx.bindings('paul').at(-1);
    const before = phone.push?.prid;
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ef'.repeat(32) };
    await phone.wake();
    expect(tokenOf(pathOf('paul'))).toBe(tokenOf(old?.path[0] ?? ''));
    await phone.sleep();
    const call = bed.pbx.call('paul', { body: anOffer(), ...(old === undefined ? {} : { binding: old }) });
    await bed.nextPush(phone);
    call.cancel();
    await call.answer();
    expect(bed.lab.pushes().filter(({ token }) => token === before)).toHaveLength(0);
  });

  it('[EDGE-PRX-04] [PN-INT-03] two Contacts of one phone at the PBX: it forks, and the phone gets one INVITE', async () => {
    const phone = aPhone('quinn');
    await phone.register();
    await phone.wake();
    const [left, right] = bed.pbx.bindings('quinn');
    expect(right).toBeDefined();
    await phone.sleep();
    bed.wakesOnPush(phone);
    // one request, two branches: the same Call-ID, From tag and CSeq
    const fields = Headers.of([
      ['From', `<sip:bob@${pathDomain}>;tag=fork`],
      ['To', `<sip:quinn@${pathDomain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 INVITE'],
      ['Contact', `<${bed.pbx.ua.uri('bob')}>`],
      ['Content-Type', 'application/sdp'],
    ]);
    const branches = [left, right].map((binding) => {
      const headers = Headers.of(
        [['Route', binding?.path[0] ?? ''], ...fields.entries()].map(([n, v]) => [n, v] as [string, string]),
      );
      return bed.pbx.ua.request('INVITE', binding?.contact ?? '', { headers, body: anOffer(), to: bed.edge.at('udp') });
    });
    const incoming = await phone.nextCall();
    incoming.reject(486);
    const statuses = (await Promise.all(branches.map((branch) => branch.answer()))).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([482, 486]);
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  it('[PN-REG-16] two Contacts of one REGISTER share a Path, and the request-URI tells them apart', async () => {
    const phone = aPhone('rita');
    const agent = await phone.open();
    const desk = `sip:rita@${places.phones}:5099`;
    await phone.register({ contact: `<${desk}>, ${phone.contact(agent)}` });
    await phone.sleep();
    const mobile = bed.pbx.bindings('rita').find(({ contact }) => contact.includes('pn-'));
    const call = bed.pbx.call('rita', { body: anOffer(), ...(mobile === undefined ? {} : { binding: mobile }) });
    await bed.nextPush(phone);
    call.cancel();
    expect((await call.answer()).status).toBe(487);
  });

  it('[PN-INT-04] a closed connection is no lost phone: push and hold', async () => {
    const phone = aPhone('sara', { transport: 'tcp' });
    await phone.register();
    await phone.sleep();
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('sara', { body: anOffer() });
    (await phone.nextCall()).answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
  });

  it('[PN-INT-05] [EDGE-OUT-03] a plain phone whose flow is gone: 430', async () => {
    const phone = aPhone('tina', { transport: 'tcp', plain: true });
    await phone.register();
    await phone.sleep();
    const call = bed.pbx.call('tina', { body: anOffer() });
    expect((await call.answer()).status).toBe(430);
  });

  it('[PN-INT-05] [EDGE-OUT-02] a token with one bit changed: 403, and no push', async () => {
    const phone = await bed.sleeper('ute', { domain: pathDomain });
    const [binding] = bed.pbx.bindings('ute');
    const path = binding?.path[0] ?? '';
    const token = tokenOf(path);
    const forged = path.replace(token, `${token.slice(0, -4)}${token.at(-4) === 'a' ? 'b' : 'a'}${token.slice(-3)}`);
    const call = bed.pbx.dial(binding?.contact ?? '', {
      body: anOffer(),
      routes: [forged],
      remote: bed.edge.at('udp'),
    });
    expect((await call.answer()).status).toBe(403);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-SEC-09] [EDGE-OUT-03] a good token from somebody else: 403; from the phone’s own flow the request goes to the PBX', async () => {
    const phone = aPhone('vera');
    await phone.register();
    const [binding] = bed.pbx.bindings('vera');
    const stranger = await bed.agent('127.0.30.8', 'udp', false);
    const stolen = await ask('MESSAGE', binding?.contact ?? '', binding?.path ?? [], stranger);
    expect(stolen.status).toBe(403);
    const call = phone.call('bob', { body: anOffer(), headers: Headers.of([['Route', pathOf('vera')]]) });
    const answered = call.answer();
    (await bed.pbx.nextCall()).answer(answerSdp);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
  });

  it('[PN-DEREG-01] [PN-EXP-04] removed with expiry 0: 480 and no push', async () => {
    const phone = aPhone('willy');
    await phone.register();
    const [binding] = bed.pbx.bindings('willy');
    await phone.register({
      contact: `<${phone.ua.uri('willy')};pn-provider=apns>;+sip.instance="<${phone.options.instanceId}>"`,
      expires: 0,
    });
    const call = bed.pbx.call('willy', { body: anOffer(), ...(binding === undefined ? {} : { binding }) });
    expect((await call.answer()).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-DEREG-05] `*` goes to the PBX as it is and forgets every phone here', async () => {
    const [one, other] = [aPhone('xenia'), aPhone('xenia')];
    await one.register();
    await other.register();
    const known = bed.pbx.bindings('xenia');
    expect((await one.register({ contact: '*', expires: 0 })).status).toBe(200);
    expect(last('xenia').get('Contact')).toBe('*');
    expect(bed.pbx.bindings('xenia')).toHaveLength(0);
    for (const binding of known)
      expect((await bed.pbx.call('xenia', { body: anOffer(), binding }).answer()).status).toBe(480);
  });

  it('[PN-PROXY-33] OPTIONS of the PBX wakes nobody: 200 while the phone can be woken', async () => {
    const phone = await bed.sleeper('yara', { domain: pathDomain });
    const [binding] = bed.pbx.bindings('yara');
    expect((await ask('OPTIONS', binding?.contact ?? '', binding?.path ?? [])).status).toBe(200);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-PROXY-31] a plain phone is rung at once', async () => {
    const phone = aPhone('zoe', { plain: true });
    await phone.register();
    const call = bed.pbx.call('zoe', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });
});

describe('a domain that insists on Path', () => {
  it('[EDGE-PATH-02] [PN-INT-07] answers 421 with Require: path', async () => {
    const strict = await Bed.open({
      domain: { without_path: 'refuse', require_path: false },
      beside: bed,
    });
    const phone = strict.phone('anna', { domain: pathDomain });
    const agent = await phone.open();
    const fields = Headers.of([
      ['From', `<${phone.aor}>;tag=${newTag()}`],
      ['To', `<${phone.aor}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 REGISTER'],
      ['Contact', phone.contact(agent)],
    ]);
    const refused = await agent.request('REGISTER', `sip:${pathDomain}`, { headers: fields }).answer();
    expect([refused.status, refused.headers.get('Require')]).toEqual([421, 'path']);
    expect((await phone.register()).status).toBe(200);
    expect(last('anna').has('Require')).toBe(false);
    await strict.close();
  });
});
