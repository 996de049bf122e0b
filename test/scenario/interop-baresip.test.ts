/**
 * baresip as phone, over UDP and TCP: registers through the edge with push parameters behind its Contact, is called while it runs, and is
 * started anew by a push after it was killed. The PBX is the demo's.
 */
import { describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Baresip, type BaresipOptions } from '../support/baresip.ts';
import { foreignPhones } from '../support/interop-phones.ts';
import { foreign, foreignDomain } from '../support/interop-world.ts';
import { needs, needsNetwork, titled } from '../support/needs.ts';

const why = needs('baresip') ?? needsNetwork();
const phones = foreignPhones<Baresip, BaresipOptions>(why, (facts) => Baresip.start({ answers: 'auto', ...facts }));

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(titled('baresip on %s', why), (transport) => {
  const at = phones(transport);

  it('[DIA-07] registers with push parameters outside the brackets, and rings on its living flow without a push', async () => {
    const token = at.world.token();
    const phone = await at.start('anna', token);
    await phone.registered();
    expect(phone.program.output).toContain('Feature-Caps: *;+sip.pns="apns"');
    const call = at.call('anna');
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
    expect(at.world.pushesFor(token)).toBe(0);
  });

  it('[PN-PROXY-06] is started by the push after it was killed, rings once and answers; the caller hangs up', async () => {
    const token = at.world.token();
    const { woken } = await at.asleep('bert', token);
    const call = at.call('bert');
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
    expect(at.world.pushesFor(token)).toBe(1);
    // its Contact has another user part after each start; the PBX knows one contact all the same
    expect(at.pbx.bindings(at.named('bert'))).toHaveLength(1);
  });

  it('[PN-PROXY-06] is woken and hangs up itself', async () => {
    const token = at.world.token();
    const { woken } = await at.asleep('carl', token);
    const call = at.call('carl');
    expect((await call.answer()).status).toBe(200);
    const phone = await woken;
    await phone.tell('hangup');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });

  it('[PN-REG-02] rings at once without any push parameters, and is promised none', async () => {
    const phone = await at.start('frank');
    await phone.registered();
    expect(phone.program.output).not.toContain('Feature-Caps');
    const call = at.call('frank');
    expect((await call.answer()).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toBe(1);
  });

  it('stops ringing when the caller gives up, and may decline', async () => {
    const phone = await at.start('dora', at.world.token(), { answers: 'manual' });
    await phone.registered();
    const first = at.call('dora');
    const given = first.answer();
    await first.provisional(180);
    first.cancel();
    expect((await given).status).toBe(487);
    // what it is told next is about the newest call it knows
    await phone.program.says(/session closed/);
    const second = at.call('dora');
    const declined = second.answer();
    await second.provisional(180);
    await phone.tell('hangup');
    expect((await declined).status).toBe(486);
  });

  it('calls out: the challenge of the PBX comes back to it, and both sides can hang up', async () => {
    const phone = await at.start('emil', at.world.token());
    await phone.registered();
    for (const by of ['phone', 'PBX'] as const) {
      await phone.tell('dial', `sip:desk@${foreignDomain}`);
      const incoming = await at.pbx.nextCall();
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
