/** REGISTER through the edge to a PBX that is the registrar: what the PBX sees, what the phone gets back, what is remembered. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipMessage } from '../../lib/sip/message.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { registration: { answer_seconds: 4 } } });
});
afterAll(() => bed.close());

/** REGISTERs for this user as the PBX got them. */
function atPbx(user: string): readonly SipMessage[] {
  return bed.pbx.ua
    .seen('in', 'REGISTER')
    .map(({ message }) => message)
    .filter((message) => message.headers.get('To')?.includes(`sip:${user}@`) === true);
}

async function isUnreachable(user: string, contact: string): Promise<void> {
  const before = bed.lab.pushes().length;
  const call = bed.pbx.dial(contact, { body: anOffer(), to: `<sip:${user}@${pbxDomain}>` });
  expect((await call.answer(3000)).status).toBe(480);
  expect(bed.lab.pushes()).toHaveLength(before);
}

describe('what the PBX sees', () => {
  it('[PN-SEC-06] [PN-FC-08] gets a Contact of the edge without push parameters, and no Feature-Caps', async () => {
    const phone = bed.phone('alice');
    await phone.register();
    const edge = bed.edge.at('udp');
    for (const message of atPbx('alice')) {
      const contact = message.headers.get('Contact') ?? '';
      expect(contact).not.toContain('pn-');
      expect(contact).not.toContain('alice');
      expect(parseUri(/<([^>]+)>/.exec(contact)?.[1] ?? '')).toMatchObject({ host: edge.address, port: edge.port });
      expect(message.headers.has('Feature-Caps')).toBe(false);
      expect(JSON.stringify([...message.headers.entries()])).not.toContain(phone.push?.prid);
    }
  });

  it('gets the same Contact at every refresh: from another port, with another token, after a restart of the app', async () => {
    const phone = bed.phone('berta');
    await phone.register();
    await phone.wake();
    await phone.wake({ restarted: true });
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ab'.repeat(32) };
    await phone.register();
    expect(new Set(bed.pbx.bindings('berta').map(({ contact }) => contact)).size).toBe(1);
  });

  it('gets another Contact for another phone of the same user', async () => {
    await bed.phone('cora').register();
    await bed.phone('cora').register();
    expect(bed.pbx.bindings('cora')).toHaveLength(2);
  });

  it('passes 401 and the credentials untouched, so that the PBX keeps the passwords', async () => {
    const phone = bed.phone('dina');
    await phone.register();
    const [first, second] = atPbx('dina');
    expect(first?.headers.has('Authorization')).toBe(false);
    const sent = phone.seen('out', 'REGISTER').at(-1)?.message.headers.get('Authorization');
    expect(second?.headers.get('Authorization')).toBe(sent);
    const challenged = phone.seen('in', '401').at(-1)?.message.headers.get('WWW-Authenticate');
    expect(challenged).toBe(bed.pbx.ua.seen('out', '401').at(-1)?.message.headers.get('WWW-Authenticate'));
  });
});

describe('what the phone gets back', () => {
  it('[PN-FC-04] [PN-REG-10] [PN-REG-13] exactly this Feature-Caps, and its own Contact as it was sent', async () => {
    const phone = bed.phone('alice');
    const plain = await phone.register();
    expect(plain.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(plain.headers.list('Contact').find((value) => value.includes(String(phone.ua.local.port)))).toContain(
      `<${phone.ua.uri('alice')};pn-provider=apns;pn-param=${bed.pushParam};pn-prid=${phone.push?.prid}>`,
    );
    const waking = await phone.register({ contact: phone.contact(phone.ua, ';+sip.pnsreg') });
    expect(waking.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns";+sip.pnsreg="180"']);
  });

  it('[PN-FC-07] no Feature-Caps in 401, 403 and 423', async () => {
    const phone = bed.phone('berta');
    await phone.register();
    bed.pbx.onRegister = () => [403];
    expect((await phone.register()).headers.has('Feature-Caps')).toBe(false);
    bed.pbx.onRegister = () => undefined;
    expect((await phone.register({ expires: 30 })).headers.has('Feature-Caps')).toBe(false);
    for (const { message } of phone.seen('in', '401')) expect(message.headers.has('Feature-Caps')).toBe(false);
  });

  it('[PN-REG-06] [PN-INT-14] 423 with Min-Expires for too short an expiry, and the PBX is not asked', async () => {
    const phone = bed.phone('cecil');
    const answer = await phone.register({ expires: 60 });
    expect(answer.status).toBe(423);
    expect(answer.headers.get('Min-Expires')).toBe('300');
    expect(atPbx('cecil')).toHaveLength(0);
    expect((await phone.register({ expires: 300 })).status).toBe(200);
  });

  it('[PN-REG-09] no promise when the PBX grants too short an expiry, and no push for such a binding', async () => {
    bed.pbx.onRegister = (incoming) => {
      const contact = incoming.request.headers.get('Contact')?.replace(/;expires=\d+/, '') ?? '';
      return [200, { headers: Headers.of([['Contact', `${contact};expires=60`]]) }];
    };
    const phone = bed.phone('dotty');
    const answer = await phone.register();
    bed.pbx.onRegister = () => undefined;
    expect(answer.status).toBe(200);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    expect(answer.headers.list('Contact')[0]).toMatch(/;expires=60$/);
  });

  it('[PN-REG-15] keeps the old token when the REGISTER with a new one is refused', async () => {
    const phone = await bed.sleeper('edda');
    const old = phone.push;
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'cd'.repeat(32) };
    bed.pbx.onRegister = () => [403];
    expect((await phone.register()).status).toBe(403);
    bed.pbx.onRegister = () => undefined;
    await phone.sleep();
    phone.push = old;
    const call = bed.pbx.call('edda', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    await call.answer();
  });

  it('[PN-DEREG-04] pushes the new token only, once it has been accepted', async () => {
    const phone = bed.phone('fanny');
    await phone.register();
    const before = phone.push?.prid;
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ef'.repeat(32) };
    await phone.register();
    await phone.sleep();
    const call = bed.pbx.call('fanny', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    await call.answer();
    expect(bed.lab.pushes().filter(({ token }) => token === before)).toHaveLength(0);
  });

  it('[PN-REG-04] registers a phone with an unknown push service as a plain one', async () => {
    const phone = bed.phone('greta', { push: { provider: 'acme', param: 'x', prid: 'unknown-service-token' } });
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
  });

  it('[PN-PARAM-05] answers 400 when a parameter is there twice', async () => {
    const phone = bed.phone('hanna');
    await phone.open();
    const contact = `<${phone.ua.uri('hanna')};pn-provider=apns;pn-provider=fcm;pn-prid=aa>`;
    expect((await phone.register({ contact })).status).toBe(400);
  });
});

describe('query, fetch and removal', () => {
  it('[PN-QRY-11] answers a query for one service and for all with what is configured, and pushes nobody for it', async () => {
    const phone = bed.phone('alma', { plain: true });
    await phone.open();
    for (const query of ['pn-provider=apns', 'pn-provider']) {
      const answer = await phone.register({ contact: `<${phone.ua.uri('alma')};${query}>` });
      expect(answer.status).toBe(200);
      expect(answer.headers.lines('Feature-Caps'), query).toEqual(['*;+sip.pns="apns"']);
    }
    const other = await phone.register({ contact: `<${phone.ua.uri('alma')};pn-provider=fcm>` });
    expect(other.headers.has('Feature-Caps')).toBe(false);
    const before = bed.lab.pushes().length;
    const call = bed.pbx.call('alma', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.lab.pushes()).toHaveLength(before);
  });

  it('[PN-REG-16] judges two Contacts of one REGISTER one by one, and the PBX gets both', async () => {
    const phone = bed.phone('olga');
    const agent = await phone.open();
    const answer = await phone.register({ contact: `${phone.contact(agent)}, <sip:olga@192.0.2.77>` });
    expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    expect(answer.headers.list('Contact')).toHaveLength(2);
    expect(bed.pbx.bindings('olga')).toHaveLength(2);
    await phone.register({ contact: '*', expires: 0 });
    expect(bed.pbx.bindings('olga')).toHaveLength(0);
  });

  it('[PN-FC-06] lists the bindings for a REGISTER without Contact, without Feature-Caps', async () => {
    const phone = bed.phone('bella');
    await phone.register();
    const answer = await phone.register({ contact: '' });
    expect(answer.status).toBe(200);
    expect(answer.headers.list('Contact')).toHaveLength(1);
    expect(answer.headers.has('Feature-Caps')).toBe(false);
  });

  it('[PN-DEREG-01] expiry 0 without pn-prid: no more pushes, at once', async () => {
    const phone = bed.phone('clara');
    await phone.register();
    const contact = bed.pbx.bindings('clara')[0]?.contact ?? '';
    expect(
      (
        await phone.register({
          contact: `<${phone.ua.uri('clara')};pn-provider=apns>;+sip.instance="<${phone.options.instanceId}>"`,
          expires: 0,
        })
      ).status,
    ).toBe(200);
    expect(bed.pbx.bindings('clara')).toHaveLength(0);
    await isUnreachable('clara', contact);
  });

  it('[PN-DEREG-03] expiry 0 with pn-prid removes too', async () => {
    const phone = bed.phone('daisy');
    await phone.register();
    const contact = bed.pbx.bindings('daisy')[0]?.contact ?? '';
    expect((await phone.register({ expires: 0 })).status).toBe(200);
    expect(bed.pbx.bindings('daisy')).toHaveLength(0);
    await isUnreachable('daisy', contact);
  });

  it('[PN-DEREG-05] `*` removes every phone of the user, at the PBX too', async () => {
    const [one, other] = [bed.phone('elsa'), bed.phone('elsa')];
    await one.register();
    await other.register();
    const contacts = bed.pbx.bindings('elsa').map(({ contact }) => contact);
    expect(contacts).toHaveLength(2);
    expect((await one.register({ contact: '*', expires: 0 })).status).toBe(200);
    expect(bed.pbx.bindings('elsa')).toHaveLength(0);
    for (const contact of contacts) await isUnreachable('elsa', contact);
  });

  it('[EDGE-REG-06] refuses `*` that is not a removal', async () => {
    const phone = bed.phone('flora');
    expect((await phone.register({ contact: '*', expires: 600 })).status).toBe(400);
  });

  it('[PN-DEREG-02] a refresh without pn-prid means no more pushes; the phone rings as a plain one', async () => {
    const phone = bed.phone('gilda');
    await phone.register();
    const pushed = bed.lab.pushes().length;
    const answer = await phone.register({
      contact: `<${phone.ua.uri('gilda')}>;+sip.instance="<${phone.options.instanceId}>"`,
    });
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    const call = bed.pbx.call('gilda', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
    expect(bed.lab.pushes()).toHaveLength(pushed);
  });

  it('[EDGE-REG-16] answers 503 while the PBX is silent, and keeps what it knew', async () => {
    const phone = await bed.sleeper('hilde');
    bed.pbx.onRegister = () => 'silent';
    const asked = performance.now();
    const answer = await phone.register();
    bed.pbx.onRegister = () => undefined;
    expect(performance.now() - asked).toBeGreaterThan(3900);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('Retry-After')).toMatch(/^\d+$/);
    await phone.sleep();
    const call = bed.pbx.call('hilde', { body: anOffer() });
    await bed.nextPush(phone);
    call.cancel();
    await call.answer();
  });
});
