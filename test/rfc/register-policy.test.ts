/** What an operator may forbid about push parameters, a PBX without Path, and how wide a request forks. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import { fromTrunk } from '../support/requests.ts';
import { anOffer, Bed, homeDomain, pathDomain, pbxDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { registration: { min_expires: 300, max_users_per_token: 2 } } });
});
afterAll(() => bed.close());

describe('one token of many users', () => {
  test('[PN-SEC-08] the third user of a token is 403, a removal makes room, and other tokens are not touched', async () => {
    const push = { provider: 'apns', param: bed.pushParam, prid: randomBytes(32).toString('hex') };
    const [first, second, third] = ['u1', 'u2', 'u3'].map((user) => bed.phone(user, { push }));
    if (first === undefined || second === undefined || third === undefined) throw new Error('three phones');
    expect((await first.register()).status).toBe(200);
    expect((await second.register()).status).toBe(200);
    const answer = await third.register();
    expect([answer.status, answer.reason]).toEqual([403, 'Push Token In Use']);
    // who has it keeps it
    expect((await second.register()).status).toBe(200);
    expect((await bed.phone('u4').register()).status).toBe(200);
    await first.register({ expires: 0 });
    expect((await third.register()).status).toBe(200);
    expect(await bed.metric('reveille_refusals_total{reason="token-users"}')).toBeGreaterThanOrEqual(1);
  });
});

describe.each(['refuse', 'ignore'] as const)('push parameters over UDP, TCP and WS: %s', (push_over_clear) => {
  let strict: Bed;
  beforeAll(async () => {
    strict = await Bed.open({
      everywhere: true,
      config: { registration: { min_expires: 300, push_over_clear }, wake: { hold_seconds: 5, silent_flow_ms: 300 } },
    });
  });
  afterAll(() => strict.close());

  test.each(['udp', 'tcp', 'ws', 'tls', 'wss'] as const)(`[PN-SEC-01] %s (${push_over_clear})`, async (transport) => {
    const user = `clear-${transport}`;
    const phone = strict.phone(user, { transport });
    const answer = await phone.register();
    const secure = transport === 'tls' || transport === 'wss';
    expect(answer.status).toBe(secure || push_over_clear === 'ignore' ? 200 : 403);
    expect(answer.headers.has('Feature-Caps')).toBe(secure);
    // nothing in the way of phones that want no pushes, nor of a removal
    expect((await strict.phone(`plain-${transport}`, { transport, plain: true }).register()).status).toBe(200);
    expect((await phone.register({ expires: 0 })).status).toBe(200);
  });
});

describe('a PBX that does not know Path', () => {
  const withoutPath = (headers: Headers): boolean =>
    headers.list('Require').some((tag) => tag.toLowerCase() === 'path');

  test.each([
    ['refuse', 420],
    ['mid-registrar', 200],
  ] as const)('its 420 is explained in the log; pbx_without_path %s: %i', async (pbx_without_path, status) => {
    const other = await Bed.open({ domain: { pbx_without_path } });
    try {
      other.pbx.onRegister = ({ request }) =>
        withoutPath(request.headers) ? [420, { headers: Headers.of([['Unsupported', 'path']]) }] : undefined;
      const phone = other.phone('pathless', { domain: pathDomain });
      expect((await phone.register()).status).toBe(status);
      const line = other.edge.process.logs.find((one) => String(one['msg']).includes('does not support Path'));
      expect(line).toMatchObject({ status: 420, reason: 'Unsupported: path' });
      if (status === 420) return;
      expect(other.pbx.bindings('pathless').at(-1)?.contact).not.toContain('pn-');
      await phone.sleep();
      other.wakesOnPush(phone);
      const call = other.pbx.call('pathless', { body: anOffer() });
      const answered = call.answer();
      (await phone.nextCall()).reject(486);
      expect((await answered).status).toBe(486);
    } finally {
      await other.close();
    }
  });
});

describe('a new token at the same Contact', () => {
  test.each([
    ['P', pathDomain],
    ['M', pbxDomain],
    ['R', homeDomain],
  ])('[PN-PROXY-04] mode %s: the phone that comes with it is the one that was waited for', async (mode, domain) => {
    const user = mode === 'R' ? 'anna' : `renewed-${mode.toLowerCase()}`;
    const phone = bed.phone(user, { domain, port: 5060 });
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    await phone.sleep();
    const call =
      mode === 'R'
        ? bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') })
        : bed.pbx.call(user, { body: anOffer() });
    const answered = call.answer();
    await bed.nextPush(phone);
    await phone.open();
    const renewed = randomBytes(32).toString('hex');
    bed.secrets.set(renewed, 'the renewed token');
    await phone.register({ contact: phone.contact().replace(phone.push?.prid ?? '?', renewed) });
    (await phone.nextCall()).reject(486);
    expect((await answered).status).toBe(486);
  });
});

describe('Max-Breadth', () => {
  test('[EDGE-LOOP-03] [EDGE-LOOP-04] a call for more phones than it allows is 440, one for fewer has 1 for each', async () => {
    const one = bed.phone('carl', { domain: homeDomain, plain: true });
    const two = await bed.sleeper('carl', { domain: homeDomain });
    await one.register();
    const dial = (breadth: string) =>
      bed.pbx.dial(`sip:carl@${homeDomain}`, {
        body: anOffer(),
        remote: bed.edge.at('udp'),
        headers: Headers.of([['Max-Breadth', breadth]]),
      });
    expect((await dial('1').answer()).status).toBe(440);
    expect(bed.pushesFor(two)).toHaveLength(0);
    const wide = dial('2');
    const answered = wide.answer();
    const rings = await one.nextCall();
    expect(rings.transaction.request.headers.get('Max-Breadth')).toBe('1');
    await bed.nextPush(two);
    rings.reject(603);
    expect((await answered).status).toBe(603);
    const text = [['Max-Breadth', '1'] as const];
    expect((await fromTrunk(bed, 'INFO', 'carl', { headers: text, body: 'x' }).answer()).status).toBe(440);
  });

  test('[EDGE-LOOP-03] one phone more that comes during the call is not rung beyond it', async () => {
    const one = bed.phone('dora', { domain: homeDomain, plain: true });
    await one.register();
    const call = bed.pbx.dial(`sip:dora@${homeDomain}`, {
      body: anOffer(),
      remote: bed.edge.at('udp'),
      headers: Headers.of([['Max-Breadth', '1']]),
    });
    const answered = call.answer();
    const rings = await one.nextCall();
    rings.ring();
    const late = bed.phone('dora', { domain: homeDomain, plain: true });
    await late.register();
    // its 200 goes out before the INVITE would: one more exchange, and it would be here
    await late.register();
    expect(late.invites).toHaveLength(0);
    rings.reject(486);
    expect((await answered).status).toBe(486);
  });
});
