/** A domain whose registrar is the edge: digest, the PBX as a trunk that calls by AOR, and all phones of a user ringing together. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerChallenge } from '../../apps/demo/digest.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

const home = { domain: homeDomain } as const;
const dial = (user: string) =>
  bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });

describe('digest', () => {
  it.each([
    ['anna', 'SHA-256', 'a password'],
    ['anna', 'MD5', 'a password'],
    ['bert', 'MD5', 'an MD5 HA1'],
    ['carl', 'SHA-256', 'a SHA-256 HA1'],
  ] as const)('[PN-REG-17] registers %s with %s, known by %s, after one 401', async (user, algorithm, _known) => {
    const phone = bed.phone(user, { ...home, algorithm });
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    expect(phone.seen('in', '401')).toHaveLength(1);
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(bed.pbx.ua.seen('in', 'REGISTER')).toHaveLength(0);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[EDGE-AUTH-02] offers a phone only what can be checked for this user', async () => {
    for (const user of ['bert', 'carl']) {
      const phone = bed.phone(user, home); // takes the first challenge it understands
      expect((await phone.register()).status, user).toBe(200);
      await phone.register({ contact: '*', expires: 0 });
    }
  });

  it('[PN-REG-17] answers 401 again to a wrong password and to a stranger, and stores nothing', async () => {
    expect((await bed.phone('dora', { ...home, password: 'what dora would not say' }).register()).status).toBe(401);
    const phone = bed.phone('dora', home);
    await phone.register({ contact: '' });
    expect((await phone.register({ contact: '' })).headers.list('Contact')).toHaveLength(0);
    const stranger = await bed.phone('nobody', { ...home, password: 'what nobody would say' }).register();
    expect([401, 403, 404]).toContain(stranger.status);
    expect((await dial('dora').answer(3000)).status).toBe(480);
  });

  it('[EDGE-REG-04] does not let one user register another one', async () => {
    const phone = bed.phone('emil', home);
    await phone.open();
    const thief = bed.phone('frieda', home);
    const password = thief.options.password ?? '';
    // credentials of frieda, To of emil
    const fields = (cseq: number) =>
      Headers.of([
        ['From', `<sip:emil@${homeDomain}>;tag=t`],
        ['To', `<sip:emil@${homeDomain}>`],
        ['Call-ID', 'steal-1'],
        ['CSeq', `${cseq} REGISTER`],
        ['Contact', phone.contact()],
      ]);
    const uri = `sip:${homeDomain}`;
    const first = await phone.ua.request('REGISTER', uri, { headers: fields(1) }).answer();
    const field = answerChallenge(first, { method: 'REGISTER', uri }, { user: 'frieda', password });
    expect(field).toBeDefined();
    const second = await phone.ua
      .request('REGISTER', uri, { headers: fields(2).add(...(field as [string, string])) })
      .answer();
    expect([401, 403]).toContain(second.status);
  });
});

describe('calls by AOR', () => {
  it('[PN-PROXY-02] wakes the phone of the user the PBX dials', async () => {
    const phone = await bed.sleeper('anna', home);
    bed.wakesOnPush(phone);
    const call = dial('anna');
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    await phone.register({ contact: '*', expires: 0 });
  });

  it('answers 404 for somebody it does not know and 480 for somebody who is not registered', async () => {
    expect((await dial('nobody').answer(3000)).status).toBe(404);
    expect((await dial('gero').answer(3000)).status).toBe(480);
  });

  it('[PN-PROXY-23] rings the desk phone at once and the mobile when it woke; the mobile wins, the desk gets CANCEL with Reason', async () => {
    const desk = bed.phone('gero', { ...home, plain: true, transport: 'tcp' });
    await desk.register();
    const mobile = await bed.sleeper('gero', home);
    const call = dial('gero');
    const atDesk = await desk.nextCall();
    atDesk.ring();
    await call.provisional(180);
    await bed.nextPush(mobile);
    await mobile.wake();
    const atMobile = await mobile.nextCall();
    atMobile.ring();
    atMobile.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    const cancel = await atDesk.transaction.cancel();
    expect(cancel.headers.get('Reason')).toMatch(/^SIP\s*;\s*cause=200/);
    await atDesk.transaction.ack();
    await call.dialog?.bye();
    expect((await atMobile.dialog.ended)?.method).toBe('BYE');
    await desk.register({ contact: '*', expires: 0 });
  });

  it('[PN-PROXY-23] a busy desk does not end the call: the mobile wakes up later and answers', async () => {
    const desk = bed.phone('anna', { ...home, plain: true });
    await desk.register();
    const mobile = await bed.sleeper('anna', home);
    const call = dial('anna');
    (await desk.nextCall()).reject(486);
    await bed.nextPush(mobile);
    expect(call.transaction.final).toBeUndefined();
    await mobile.wake();
    (await mobile.nextCall()).answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    await mobile.register({ contact: '*', expires: 0 });
  });

  it.each([
    ['answers', 200],
    ['declines with 603', 603],
  ] as const)(
    '[PN-PROXY-24] [EDGE-PRX-10] when the desk %s, a mobile that wakes later gets no INVITE',
    async (_, status) => {
      const desk = bed.phone('dora', { ...home, plain: true });
      await desk.register();
      const mobile = await bed.sleeper('dora', home);
      const call = dial('dora');
      const atDesk = await desk.nextCall();
      await bed.nextPush(mobile);
      if (status === 200) atDesk.answer(answerSdp);
      else atDesk.reject(status);
      expect((await call.answer()).status).toBe(status);
      await mobile.wake();
      await mobile.register();
      expect(mobile.invites).toHaveLength(0);
      if (status === 200) await call.dialog?.bye();
      await mobile.register({ contact: '*', expires: 0 });
    },
  );

  it('[PN-PROXY-25] a phone that registers while the call is open rings too', async () => {
    const desk = bed.phone('emil', { ...home, plain: true });
    await desk.register();
    const call = dial('emil');
    const atDesk = await desk.nextCall();
    atDesk.ring();
    const late = bed.phone('emil', home);
    await late.register();
    (await late.nextCall()).answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await atDesk.transaction.cancel();
    await call.dialog?.bye();
    await late.register({ contact: '*', expires: 0 });
  });

  it('[PN-PROXY-07] a refresh of one phone does not ring the other one of the same user', async () => {
    const [one, other] = [await bed.sleeper('frieda', home), await bed.sleeper('frieda', home)];
    const call = dial('frieda');
    await Promise.all([bed.nextPush(one), bed.nextPush(other)]);
    await one.wake();
    (await one.nextCall()).reject(486);
    expect(other.invites).toHaveLength(0);
    expect((await call.answer()).status).toBe(486);
    await one.register({ contact: '*', expires: 0 });
  });

  it('[PN-SEC-05] shows the phone its own push parameters only', async () => {
    const one = bed.phone('gero', home);
    const other = bed.phone('gero', home);
    await one.register();
    const answer = await other.register();
    const [mine, theirs] = [other, one].map((phone) =>
      answer.headers.list('Contact').find((value) => value.includes(`:${phone.ua.local.port}`)),
    );
    expect(mine).toContain(`pn-prid=${other.push?.prid}`);
    expect(theirs).toBeDefined();
    expect(theirs).not.toContain('pn-');
    await one.register({ contact: '*', expires: 0 });
  });

  it('[PN-INT-12] refuses a REGISTER that is older than what is stored', async () => {
    const phone = bed.phone('anna', home);
    await phone.register({ callId: 'old-and-new' });
    const newest = phone.seen('out', 'REGISTER').at(-1)?.message;
    // with the credentials of the accepted one, but a CSeq below it
    const stale = Headers.empty();
    for (const [name, value, key] of newest?.headers.entries() ?? [])
      if (!['via', 'max-forwards', 'content-length', 'cseq'].includes(key)) stale.add(name, value);
    stale.add('CSeq', '1 REGISTER');
    const answer = await phone.ua.request('REGISTER', `sip:${homeDomain}`, { headers: stale }).answer();
    expect([401, 500]).toContain(answer.status);
    await phone.register({ contact: '*', expires: 0 });
  });
});

describe('a call from one phone of the domain to another', () => {
  it('[PN-PROXY-02] [EDGE-PRX-16] wakes it after 407, and neither the digest nor an identity of its own making reaches it', async () => {
    const caller = bed.phone('emil', home);
    await caller.register();
    const callee = await bed.sleeper('gero', home);
    bed.wakesOnPush(callee);
    const call = caller.call('gero', {
      body: anOffer(),
      headers: Headers.of([['P-Asserted-Identity', '<sip:boss@home.example.com>']]),
    });
    const answered = call.answer();
    const incoming = await callee.nextCall();
    expect(caller.seen('in', '407')).toHaveLength(1);
    const { headers } = incoming.request;
    expect(['Proxy-Authorization', 'P-Asserted-Identity'].filter((name) => headers.has(name))).toEqual([]);
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(bed.pushesFor(callee)).toHaveLength(1);
  });
});
