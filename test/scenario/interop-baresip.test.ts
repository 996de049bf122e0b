/**
 * baresip as phone, over UDP and TCP: registers through the edge with push parameters behind its Contact, is called while it runs, and is
 * started anew by a push after it was killed. The PBX is the demo's.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import { Baresip } from '../support/baresip.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { needs, needsNetwork, titled } from '../support/needs.ts';

const why = needs('baresip') ?? needsNetwork();
const offer = sessionDescription(foreign.pbx, 46_000);

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(titled('baresip on %s', why), (transport) => {
  let world: World;
  let pbx: Pbx;
  const users: Record<string, string> = {};
  let running: Baresip[] = [];

  beforeAll(async () => {
    pbx = await Pbx.open({ transport: 'udp', address: foreign.pbx, domain: foreignDomain, users });
    world = await World.open({
      upstream: `sip:${foreign.pbx}:${pbx.ua.local.port};transport=udp`,
      // a baresip that runs answers on its UDP flow; a killed one does not, and is pushed after the silence
      wake: { udp_flow_awake_ms: 60_000, silent_flow_ms: 500 },
    });
    world.atEnd(() => pbx.close());
  });
  afterEach(async () => {
    await Promise.all(running.map((phone) => phone.stop()));
    running = [];
  });
  afterAll(() => world.close());

  async function start(user: string, token?: string, answers: 'auto' | 'manual' = 'auto'): Promise<Baresip> {
    const phone = await Baresip.start({
      user,
      password: (users[user] ??= world.password()),
      domain: foreignDomain,
      address: foreign.phones,
      edge: world.edge.at(transport),
      ...(token === undefined ? {} : { pushParameters: world.pushParams(token) }),
      answers,
      dir: world.dir,
    });
    running.push(phone);
    return phone;
  }

  /** Registers and is killed; a push for this token starts it again. */
  async function asleep(user: string, token: string): Promise<{ readonly woken: Promise<Baresip> }> {
    const first = await start(user, token);
    await first.registered();
    await first.program.kill();
    const woken = new Promise<Baresip>((done) => {
      world.onPush(token, () => done(start(user, token)));
    });
    return { woken };
  }

  it('[DIA-07] registers with push parameters outside the brackets, and rings on its living flow without a push', async () => {
    const token = world.token();
    const phone = await start('anna', token);
    await phone.registered();
    expect(phone.program.output).toContain('Feature-Caps: *;+sip.pns="apns"');
    const call = pbx.call('anna', { body: offer });
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
    expect(world.pushesFor(token)).toBe(0);
  });

  it('[PN-PROXY-06] is started by the push after it was killed, rings once and answers; the caller hangs up', async () => {
    const token = world.token();
    const { woken } = await asleep('bert', token);
    const call = pbx.call('bert', { body: offer });
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
    expect(world.pushesFor(token)).toBe(1);
    // its Contact has another user part after each start; the PBX knows one contact all the same
    expect(pbx.bindings('bert')).toHaveLength(1);
  });

  it('[PN-PROXY-06] is woken and hangs up itself', async () => {
    const token = world.token();
    const { woken } = await asleep('carl', token);
    const call = pbx.call('carl', { body: offer });
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    await phone.tell('hangup');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('[PN-REG-02] rings at once without any push parameters, and is promised none', async () => {
    const phone = await start('frank');
    await phone.registered();
    expect(phone.program.output).not.toContain('Feature-Caps');
    const call = pbx.call('frank', { body: offer });
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
  });

  it('stops ringing when the caller gives up, and may decline', async () => {
    const phone = await start('dora', world.token(), 'manual');
    await phone.registered();
    const first = pbx.call('dora', { body: offer });
    const given = first.answer();
    await first.provisional(180);
    first.cancel();
    expect((await given).status).toBe(487);
    // what it is told next is about the newest call it knows
    await phone.program.says(/session closed/);
    const second = pbx.call('dora', { body: offer });
    const declined = second.answer();
    await second.provisional(180);
    await phone.tell('hangup');
    expect((await declined).status).toBe(486);
  });

  it('calls out: the challenge of the PBX comes back to it, and both sides can hang up', async () => {
    const phone = await start('emil', world.token());
    await phone.registered();
    for (const by of ['phone', 'PBX'] as const) {
      await phone.tell('dial', `sip:desk@${foreignDomain}`);
      const incoming = await pbx.nextCall();
      incoming.ring();
      incoming.answer(sessionDescription(foreign.pbx, 46_002));
      await incoming.transaction.ack();
      if (by === 'phone') {
        await phone.tell('hangup');
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } else expect((await incoming.dialog.bye()).status).toBe(200);
    }
  });
});
