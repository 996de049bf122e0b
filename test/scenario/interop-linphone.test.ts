/**
 * Linphone as phone, over UDP, TCP and TLS: it registers through the edge with the push parameters of its settings, is called while it runs,
 * and is started anew by a push after it was killed, as the system does with an app. The PBX is the demo's.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreignPhones } from '../support/interop-phones.ts';
import { foreign, foreignDomain } from '../support/interop-world.ts';
import { Linphone } from '../support/linphone.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('linphone-daemon');
/** A drachtio-server has the certificate of whoever runs it. */
const transports = onDrachtio ? (['udp', 'tcp'] as const) : (['udp', 'tcp', 'tls'] as const);
/** installations by user */
const uuids = new Map<string, string>();
const phones = foreignPhones(why, ({ pushParameters, ...facts }) => {
  const uuid = uuids.get(facts.user) ?? randomUUID();
  uuids.set(facts.user, uuid);
  return new Linphone({
    ...facts,
    uuid,
    ...(pushParameters === undefined ? {} : { contactUriParameters: pushParameters }),
  });
});

describe.skipIf(why !== undefined).each(transports)(titled('Linphone on %s', why), (transport) => {
  const at = phones(transport);

  it('registers, and rings on its living flow without a push; the caller hangs up', async () => {
    const token = at.world.token();
    const phone = await at.start('anna', token);
    await phone.registered();
    expect(phone.program.output).toContain('Feature-Caps: *;+sip.pns="apns"');
    const call = at.call('anna');
    const answer = await call.answer();
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('m=audio');
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(at.world.pushesFor(token)).toBe(0);
  });

  it('[PN-PROXY-06] is started by the push after it was killed, rings once and answers; the caller hangs up', async () => {
    const token = at.world.token();
    const { first, woken } = await at.asleep('bert', token);
    const call = at.call('bert');
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect(phone.instanceId).toBe(first.instanceId);
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(at.world.pushesFor(token)).toBe(1);
  });

  it('[PN-PROXY-06] answers once when it was frozen with its sockets open and the push thaws it', async () => {
    const token = at.world.token();
    const phone = await at.start('hans', token);
    await phone.registered();
    phone.program.freeze();
    at.world.onPush(token, () => phone.program.thaw());
    const call = at.call('hans');
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    await phone.program.says(/LinphoneCallReleased/);
    expect(phone.invites).toBe(1);
    expect(at.world.pushesFor(token)).toBe(1);
  });

  it('[PN-PROXY-06] is woken and hangs up itself', async () => {
    const token = at.world.token();
    const { woken } = await at.asleep('carl', token);
    const call = at.call('carl');
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    await phone.program.says(/LinphoneCallStreamsRunning/);
    phone.tell('terminate');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    await phone.program.says(/LinphoneCallReleased/);
  });

  it('[PN-DEREG-04] is woken when it was installed anew and comes back with another instance-id', async () => {
    const token = at.world.token();
    const { first, woken } = await at.asleep('gero', token);
    uuids.delete(at.named('gero'));
    const call = at.call('gero');
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect(phone.instanceId).not.toBe(first.instanceId);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(at.pbx.bindings(at.named('gero'))).toHaveLength(1);
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
    const token = at.world.token();
    const { woken } = await at.asleep(user, token, {
      pushParameters: parameters(token, at.world.lab.credentials.teamId),
    });
    const call = at.call(user);
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await woken).invites).toBe(1);
  });

  it('calls out: the challenge of the PBX comes back to it, and both sides can hang up', async () => {
    const phone = await at.start('emil', at.world.token());
    await phone.registered();
    for (const by of ['phone', 'PBX'] as const) {
      const from = phone.program.output.length;
      phone.tell(`call sip:desk@${foreignDomain}`);
      const incoming = await at.pbx.nextCall();
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
    const phone = await at.start('fred', at.world.token());
    await phone.registered();
    phone.tell('unregister ALL');
    await phone.program.says(/LinphoneRegistrationCleared/);
    expect(at.pbx.bindings(at.named('fred'))).toHaveLength(0);
  });
});
