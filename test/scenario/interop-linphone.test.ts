/**
 * Linphone as phone, over UDP, TCP and TLS: it registers through the edge with the push parameters of its settings, is called while it runs,
 * and is started anew by a push after it was killed, as the system does with an app. The PBX is the demo's.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Linphone } from '../support/linphone.ts';
import { onDrachtio } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('linphone-daemon');
/** A drachtio-server has the certificate of whoever runs it. */
const transports = onDrachtio ? (['udp', 'tcp'] as const) : (['udp', 'tcp', 'tls'] as const);
const offer = sessionDescription(foreign.pbx, 44_000);

describe.skipIf(why !== undefined).each(transports)(titled('Linphone on %s', why), (transport) => {
  let world: World;
  let pbx: Pbx;
  const users: Record<string, string> = {};
  /** installations by user */
  const uuids = new Map<string, string>();
  let running: Linphone[] = [];

  beforeAll(async () => {
    pbx = await Pbx.open({ transport: 'udp', address: foreign.pbx, domain: foreignDomain, users });
    world = await World.open({
      upstream: `sip:${foreign.pbx}:${pbx.ua.local.port};transport=udp`,
      // a Linphone that runs answers on its UDP flow; a killed one does not, and is pushed after the silence
      everywhere: !onDrachtio,
      wake: { udp_flow_awake_ms: 60_000, silent_flow_ms: 500 },
    });
    world.atEnd(() => pbx.close());
  });
  afterEach(async () => {
    await Promise.all(running.map((phone) => phone.stop()));
    running = [];
  });
  afterAll(() => world.close());

  function start(user: string, contactUriParameters?: string): Linphone {
    const password = (users[user] ??= world.password());
    const uuid = uuids.get(user) ?? randomUUID();
    uuids.set(user, uuid);
    const phone = new Linphone({
      user,
      password,
      domain: foreignDomain,
      address: foreign.phones,
      edge: world.place(transport),
      dir: world.dir,
      uuid,
      ...(contactUriParameters === undefined ? {} : { contactUriParameters }),
    });
    running.push(phone);
    return phone;
  }

  /** Registers and is killed; a push for this token starts it again. */
  async function asleep(
    user: string,
    token: string,
    parameters = world.pushParams(token),
  ): Promise<{ readonly first: Linphone; readonly woken: Promise<Linphone> }> {
    const first = start(user, parameters);
    await first.registered();
    await first.program.kill();
    const woken = new Promise<Linphone>((done) => {
      world.onPush(token, () => done(start(user, parameters)));
    });
    return { first, woken };
  }

  it('registers, and rings on its living flow without a push; the caller hangs up', async () => {
    const token = world.token();
    const phone = start('anna', world.pushParams(token));
    await phone.registered();
    expect(phone.program.output).toContain('Feature-Caps: *;+sip.pns="apns"');
    const call = pbx.call('anna', { body: offer });
    const answer = await call.answer();
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('m=audio');
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(world.pushesFor(token)).toBe(0);
  });

  it('[PN-PROXY-06] is started by the push after it was killed, rings once and answers; the caller hangs up', async () => {
    const token = world.token();
    const { first, woken } = await asleep('bert', token);
    const call = pbx.call('bert', { body: offer });
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect(phone.instanceId).toBe(first.instanceId);
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(world.pushesFor(token)).toBe(1);
  });

  it('[PN-PROXY-06] answers once when it was frozen with its sockets open and the push thaws it', async () => {
    const token = world.token();
    const phone = start('hans', world.pushParams(token));
    await phone.registered();
    phone.program.freeze();
    world.onPush(token, () => phone.program.thaw());
    const call = pbx.call('hans', { body: offer });
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(world.pushesFor(token)).toBe(1);
  });

  it('[PN-PROXY-06] is woken and hangs up itself', async () => {
    const token = world.token();
    const { woken } = await asleep('carl', token);
    const call = pbx.call('carl', { body: offer });
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    await phone.program.says(/LinphoneCallStreamsRunning/);
    phone.tell('terminate');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    await phone.program.says(/LinphoneCallReleased/);
  });

  it('[PN-DEREG-04] is woken when it was installed anew and comes back with another instance-id', async () => {
    const token = world.token();
    const { first, woken } = await asleep('gero', token);
    uuids.delete('gero');
    const call = pbx.call('gero', { body: offer });
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect(phone.instanceId).not.toBe(first.instanceId);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(pbx.bindings('gero')).toHaveLength(1);
  });

  it.each([
    [
      'both tokens of an iPhone',
      'dora',
      (token: string, team: string) =>
        `pn-provider=apns;pn-param=${team}.com.example.phone.voip&remote;pn-prid=${token}:voip&${'ab'.repeat(32)}:remote;pn-silent=1;pn-timeout=0`,
    ],
    [
      'the form before RFC 8599',
      'doris',
      (token: string) => `app-id=com.example.phone.voip;pn-type=apple;pn-tok=${token};pn-timeout=0`,
    ],
  ])('is woken with %s', async (_, user, parameters) => {
    const token = world.token();
    const { woken } = await asleep(user, token, parameters(token, world.lab.credentials.teamId));
    const call = pbx.call(user, { body: offer });
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await woken).invites).toBe(1);
  });

  it('calls out: the challenge of the PBX comes back to it, and both sides can hang up', async () => {
    const phone = start('emil', world.pushParams(world.token()));
    await phone.registered();
    for (const by of ['phone', 'PBX'] as const) {
      const from = phone.program.output.length;
      phone.tell(`call sip:desk@${foreignDomain}`);
      const incoming = await pbx.nextCall();
      // what others may not see
      expect(incoming.request.headers.get('Contact')).not.toContain('pn-');
      incoming.ring();
      incoming.answer(sessionDescription(foreign.pbx, 44_002));
      await incoming.transaction.ack();
      await phone.program.says(/LinphoneCallStreamsRunning/, 10_000, from);
      if (by === 'phone') {
        phone.tell('terminate');
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } else expect((await incoming.dialog.bye()).status).toBe(200);
      await phone.program.says(/LinphoneCallReleased/, 10_000, from);
    }
  });

  it('takes its binding away when it is closed by its user', async () => {
    const phone = start('fred', world.pushParams(world.token()));
    await phone.registered();
    phone.tell('unregister ALL');
    await phone.program.says(/LinphoneRegistrationCleared/);
    expect(pbx.bindings('fred')).toHaveLength(0);
  });
});
