/**
 * pjsua (PJSIP) as phone, over UDP, TCP and TLS: registers through the edge with push parameters in the URI of its Contact, is called while
 * it runs, and is started anew by a push after it was killed. The PBX is the demo's.
 */
import { describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreignPhones } from '../support/interop-phones.ts';
import { foreign, foreignDomain } from '../support/interop-world.ts';
import { needs, titled } from '../support/needs.ts';
import { Pjsua, type PjsuaOptions } from '../support/pjsua.ts';

const why = needs('pjsua');
/** The TLS certificate of a drachtio-server is its owner's. */
const transports = onDrachtio ? (['udp', 'tcp'] as const) : (['udp', 'tcp', 'tls'] as const);
const phones = foreignPhones<Pjsua, PjsuaOptions>(why, (facts) => new Pjsua({ answers: 200, ...facts }));

describe.skipIf(why !== undefined).each(transports)(titled('pjsua on %s', why), (transport) => {
  const at = phones(transport);

  it.each(['registers', 'every contact'] as const)(
    '[DIA-01] registers with push parameters in the Contact of %s, and rings on its living flow without a push',
    async (where) => {
      const token = at.world.token();
      const user = `anna-${where.slice(0, 5)}`;
      const phone = await at.start(user, token, { in: where });
      await phone.registered();
      expect(phone.program.output).toContain('+sip.pns="apns"');
      const call = at.call(user);
      expect((await call.answer()).status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect(phone.invites).toBe(1);
      expect(at.world.pushesFor(token)).toBe(0);
    },
  );

  it('[PN-PROXY-06] is started by the push after it was killed, rings once and answers; either side hangs up', async () => {
    for (const by of ['caller', 'phone'] as const) {
      const token = at.world.token();
      const { woken } = await at.asleep(`bert-${by}`, token);
      const call = at.call(`bert-${by}`);
      expect((await call.answer()).status).toBe(200);
      const phone = await woken;
      if (by === 'caller') expect((await call.dialog?.bye())?.status).toBe(200);
      else {
        phone.hangUp();
        expect((await call.dialog?.ended)?.method).toBe('BYE');
      }
      expect(phone.invites).toBe(1);
      expect(at.world.pushesFor(token)).toBe(1);
      // its Contact has another port after each start; the PBX knows one contact all the same
      expect(at.pbx.bindings(at.named(`bert-${by}`))).toHaveLength(1);
    }
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
    const phone = await at.start('dora', at.world.token(), { answers: 180 });
    await phone.registered();
    const first = at.call('dora');
    const given = first.answer();
    await first.provisional(180);
    first.cancel();
    expect((await given).status).toBe(487);
    await phone.program.says(/is DISCONNECTED/);
    const second = at.call('dora');
    const declined = second.answer();
    await second.provisional(180);
    phone.answer(486);
    expect((await declined).status).toBe(486);
  });

  it('holds, resumes and sends its caller to somebody else, and the PBX sees it', async () => {
    const phone = await at.start('gerd', at.world.token());
    await phone.registered();
    const call = at.call('gerd');
    expect((await call.answer()).status).toBe(200);
    const { dialog } = call;
    if (dialog === undefined) throw new Error('no dialog');
    for (const [before, does, version, asked, answered] of [
      [/is CONFIRMED|changed to CONFIRMED/, 'hold', 2, 'sendonly', 'recvonly'],
      [/[Ll]ocal hold/, 'resume', 3, 'sendrecv', 'sendrecv'],
    ] as const) {
      // it changes nothing before the change before is over for itself
      await phone.program.says(before);
      phone[does]();
      const change = await dialog.next('INVITE');
      expect(change.request.body).toContain(`a=${asked}`);
      dialog.accept(change, sessionDescription(foreign.pbx, 46_000, version).replace('sendrecv', answered));
      await change.ack();
    }
    phone.transfer(`sip:third@${foreignDomain}`);
    const asked = await dialog.next('REFER');
    expect(asked.request.headers.get('Refer-To')).toContain(`sip:third@${foreignDomain}`);
    asked.respond(202);
    const how = Headers.of([
      ['Event', 'refer'],
      ['Subscription-State', 'terminated;reason=noresource'],
      ['Content-Type', 'message/sipfrag;version=2.0'],
    ]);
    expect((await dialog.request('NOTIFY', how, 'SIP/2.0 200 OK\r\n').answer()).status).toBe(200);
    expect(['BYE', undefined]).toContain(
      (await Promise.race([dialog.ended, dialog.bye().then(() => undefined)]))?.method,
    );
  });

  it('calls out: the challenge of the PBX comes back to it, and both sides can hang up', async () => {
    const phone = await at.start('emil', at.world.token());
    await phone.registered();
    for (const by of ['phone', 'PBX'] as const) {
      phone.call(`sip:desk@${foreignDomain}`);
      const incoming = await at.pbx.nextCall();
      incoming.ring();
      incoming.answer(sessionDescription(foreign.pbx, 46_002));
      await incoming.transaction.ack();
      if (by === 'phone') {
        phone.hangUp();
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } else expect((await incoming.dialog.bye()).status).toBe(200);
    }
  });
});
