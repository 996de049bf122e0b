/**
 * Kamailio as PBX. It challenges, keeps the edge's Contact, calls it with Via and Record-Route of its own, and forks a call for two
 * phones of one user into two INVITEs with one Call-ID. A desk phone registered at Kamailio itself stands on the other side.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Kamailio } from '../support/kamailio.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('kamailio');
/** drachtio-server keeps one dialog for each Call-ID and From tag and refuses the second (drachtio-protocol B.6) */
const oneDialog = onDrachtio ? 'drachtio-server refuses a second dialog with one Call-ID and From tag' : undefined;
const offer = sessionDescription(foreign.caller, 42_000);
const answerSdp = sessionDescription(foreign.phones, 43_000);

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(titled('Kamailio on %s', why), (transport) => {
  let world: World;
  let kamailio: Kamailio;
  let desk: Phone;
  const phones: Phone[] = [];

  beforeAll(async () => {
    kamailio = await Kamailio.start(foreign.pbx, foreignDomain);
    const upstream = `sip:${kamailio.address}:${kamailio.port};transport=${transport}`;
    world = await World.open({ upstream });
    world.secrets.set(kamailio.password, 'the password');
    world.atEnd(async () => {
      await Promise.all(phones.map((phone) => phone.sleep()));
      await kamailio.stop();
    });
    desk = new Phone({
      user: 'desk',
      domain: foreignDomain,
      password: kamailio.password,
      address: foreign.caller,
      edge: kamailio.at('udp'),
    });
    phones.push(desk);
    expect((await desk.register()).status).toBe(200);
  });
  afterAll(() => world.close());

  function mobile(user: string, address: string = foreign.phones, password = kamailio.password): Phone {
    const phone = new Phone({
      user,
      domain: foreignDomain,
      password,
      address,
      edge: world.edge.at(transport),
      push: { provider: 'apns', param: world.pushParam, prid: world.token() },
      instanceId: `urn:uuid:${randomUUID()}`,
    });
    phones.push(phone);
    return phone;
  }

  async function sleeper(user: string, address?: string): Promise<Phone> {
    const phone = mobile(user, address);
    const answer = await phone.register();
    expect(answer.status).toBe(200);
    expect(answer.headers.get('Feature-Caps')).toContain('+sip.pns="apns"');
    // what the phone sees is its own Contact, whatever Kamailio keeps
    expect(answer.headers.list('Contact').join()).toContain(phone.push?.prid);
    await phone.sleep();
    wakesOnPush(phone);
    return phone;
  }

  function wakesOnPush(phone: Phone): void {
    world.onPush(phone.push?.prid ?? '', () => {
      phone.wake({ restarted: true }).catch(() => undefined); // closed meanwhile
    });
  }

  it('[PN-PROXY-02] [PN-PROXY-06] wakes a phone for a call by way of Kamailio; the caller hangs up along the Route set', async () => {
    const phone = await sleeper('anna');
    const call = desk.call('anna', { body: offer });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.body).toBe(offer);
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp);
    const answer = await answered;
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(answerSdp);
    // Kamailio stays in the path, once
    expect(answer.headers.list('Record-Route').filter((route) => route.includes(foreign.pbx)).length).toBeGreaterThan(
      0,
    );
    await incoming.transaction.ack();
    await kamailio.program.says(/in dialog: ACK/);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(phone.invites).toHaveLength(1);
    expect(world.pushesFor(phone.push?.prid ?? '')).toBe(1);
  });

  it('[PN-PROXY-06] sends the BYE of the phone along the Route set of Kamailio', async () => {
    const phone = await sleeper('bert');
    const from = kamailio.program.output.length;
    const call = desk.call('bert', { body: offer });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    await kamailio.program.says(/in dialog: BYE/, 5000, from);
  });

  it('passes a CANCEL on while the phone rings, and 487 back', async () => {
    const phone = await sleeper('carl');
    const call = desk.call('carl', { body: offer });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.ring();
    await call.provisional(180);
    call.cancel();
    expect((await answered).status).toBe(487);
    await incoming.transaction.cancel();
  });

  it('answers 487 when the caller gives up before the phone is awake', async () => {
    const phone = await sleeper('dora');
    world.onPush(phone.push?.prid ?? '', () => undefined);
    const call = desk.call('dora', { body: offer });
    const answered = call.answer();
    await world.nextPush(phone.push?.prid ?? '');
    call.cancel();
    expect((await answered).status).toBe(487);
    await phone.wake();
    expect(phone.invites).toHaveLength(0);
  });

  it('passes 486 on', async () => {
    const phone = await sleeper('emil');
    const call = desk.call('emil', { body: offer });
    const answered = call.answer();
    (await phone.nextCall()).reject(486);
    expect((await answered).status).toBe(486);
  });

  it.skipIf(oneDialog !== undefined)(
    titled(
      '[PN-PROXY-23] rings both phones of one user, and the one that did not answer is told why it stops',
      oneDialog,
    ),
    async () => {
      const [left, right] = [await sleeper('frieda'), await sleeper('frieda', foreign.others)];
      const call = desk.call('frieda', { body: offer });
      const answered = call.answer();
      const [atLeft, atRight] = await Promise.all([left.nextCall(), right.nextCall()]);
      atLeft.ring();
      atRight.ring();
      await call.provisional(180);
      atRight.answer(answerSdp);
      expect((await answered).status).toBe(200);
      const cancel = await atLeft.transaction.cancel();
      expect(cancel.headers.get('Reason')).toMatch(/^SIP;\s*cause=200/i);
      await atRight.transaction.ack();
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await atRight.dialog.ended)?.method).toBe('BYE');
      expect([left.invites.length, right.invites.length]).toEqual([1, 1]);
    },
  );

  it.skipIf(oneDialog !== undefined)(
    titled('[PN-PROXY-23] lets the other phone answer when one declines', oneDialog),
    async () => {
      const [left, right] = [await sleeper('gero'), await sleeper('gero', foreign.others)];
      const call = desk.call('gero', { body: offer });
      const answered = call.answer();
      const [atLeft, atRight] = await Promise.all([left.nextCall(), right.nextCall()]);
      atLeft.reject(486);
      atRight.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await atRight.transaction.ack();
      expect((await atRight.dialog.bye()).status).toBe(200);
    },
  );

  it('takes a call from a phone to Kamailio, its challenge to the phone and the answer back', async () => {
    const phone = mobile('hans');
    expect((await phone.register()).status).toBe(200);
    const call = phone.call('desk', { body: offer, headers: Headers.of([['X-Floor', '2']]) });
    const answered = call.answer();
    const incoming = await desk.nextCall();
    expect(incoming.request.headers.get('X-Floor')).toBe('2');
    incoming.ring();
    await call.provisional(180);
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it.skipIf(oneDialog !== undefined)(
    titled('wakes a phone for a call of another phone of the same edge: the call passes the edge twice', oneDialog),
    async () => {
      const caller = mobile('ida');
      expect((await caller.register()).status).toBe(200);
      const phone = await sleeper('jens', foreign.others);
      const call = caller.call('jens', { body: offer });
      const answered = call.answer();
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      expect(phone.invites).toHaveLength(1);
    },
  );

  it('refreshes one contact at Kamailio, whatever port the phone comes from, and removes it', async () => {
    const phone = await sleeper('kurt');
    await phone.wake({ restarted: true });
    await phone.wake();
    const kept = [...kamailio.program.output.matchAll(/registered kurt at <([^>]+)>/g)].map(([, uri]) => uri);
    expect(kept).toHaveLength(3);
    expect(new Set(kept).size).toBe(1);
    expect((await phone.register({ expires: 0 })).status).toBe(200);
    const call = desk.call('kurt', { body: offer });
    expect((await call.answer()).status).toBe(404);
  });

  it('lets Kamailio refuse a wrong password', async () => {
    const phone = mobile('lena', foreign.phones, world.password());
    expect((await phone.register()).status).toBe(401);
    const call = desk.call('lena', { body: offer });
    expect((await call.answer()).status).toBe(404);
  });
});
