/**
 * Kamailio as the registrar behind mode P: it challenges the phone itself, keeps the phone's own Contact with its push parameters and our
 * URI as Path, and sends its calls along that Path.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Kamailio } from '../support/kamailio.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('kamailio');
/** drachtio-server keeps one dialog for each Call-ID and From tag and refuses the second (drachtio-protocol B.6) */
const oneDialog = onDrachtio ? 'drachtio-server refuses a second dialog with one Call-ID and From tag' : undefined;
const offer = sessionDescription(foreign.caller, 42_000);
const answerSdp = sessionDescription(foreign.phones, 43_000);

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(
  titled('Kamailio with Path on %s', why),
  (transport) => {
    let world: World;
    let kamailio: Kamailio;
    let desk: Phone;
    const phones: Phone[] = [];

    beforeAll(async () => {
      kamailio = await Kamailio.start(foreign.pbx, foreignDomain, { withPath: true });
      const upstream = `sip:${kamailio.address}:${kamailio.port};transport=${transport}`;
      world = await World.open({ upstream, domain: { registration: 'path' } });
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

    async function registered(user: string): Promise<Phone> {
      const phone = new Phone({
        user,
        domain: foreignDomain,
        password: kamailio.password,
        address: foreign.phones,
        edge: world.edge.at(transport),
        push: { provider: 'apns', param: world.pushParam, prid: world.token() },
        instanceId: `urn:uuid:${randomUUID()}`,
      });
      phones.push(phone);
      const answer = await phone.register();
      expect(answer.status).toBe(200);
      expect(answer.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
      expect(answer.headers.list('Contact').join()).toContain(phone.push?.prid);
      // Kamailio tells what it keeps
      expect(answer.headers.get('Path')).toContain(';lr>');
      return phone;
    }

    async function sleeper(user: string): Promise<Phone> {
      const phone = await registered(user);
      await phone.sleep();
      world.onPush(phone.push?.prid ?? '', () => {
        phone.wake({ restarted: true }).catch(() => undefined); // closed meanwhile
      });
      return phone;
    }

    it('[PN-REG-01] [PN-REG-08] Kamailio has the phone’s own Contact, push parameters and all, and our Path', async () => {
      const phone = await registered('anna');
      const kept = await kamailio.program.says(
        new RegExp(`registered anna at .*pn-prid=${phone.push?.prid}.* by <sip:`),
      );
      expect(kept).toBeDefined();
    });

    it('[PN-PROXY-02] [PN-PROXY-06] wakes a phone for a call along Path; one push, one INVITE, and the caller hangs up', async () => {
      const phone = await sleeper('bert');
      const call = desk.call('bert', { body: offer });
      const answered = call.answer();
      const incoming = await phone.nextCall();
      expect(incoming.request.body).toBe(offer);
      expect(incoming.request.uri).not.toContain('pn-');
      incoming.ring();
      await call.provisional(180);
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      expect(phone.invites).toHaveLength(1);
      expect(world.pushesFor(phone.push?.prid ?? '')).toBe(1);
    });

    it.skipIf(oneDialog !== undefined)(
      titled(
        '[EDGE-PRX-04] the phone has moved twice, Kamailio calls every Contact it knows, and it rings once',
        oneDialog,
      ),
      async () => {
        const phone = await sleeper('carl');
        await phone.wake({ restarted: true });
        await phone.wake({ restarted: true });
        const call = desk.call('carl', { body: offer });
        const answered = call.answer();
        const incoming = await phone.nextCall();
        incoming.answer(answerSdp);
        expect((await answered).status).toBe(200);
        await incoming.transaction.ack();
        expect((await incoming.dialog.bye()).status).toBe(200);
        expect((await call.dialog?.ended)?.method).toBe('BYE');
        expect(phone.invites).toHaveLength(1);
      },
    );

    it('[EDGE-AUTH-09] takes a call from a phone to Kamailio: its challenge and the credentials pass', async () => {
      const phone = await registered('dora');
      const call = phone.call('desk', { body: offer });
      const answered = call.answer();
      const incoming = await desk.nextCall();
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
    });

    it('passes a CANCEL on while the phone rings, and 487 back', async () => {
      const phone = await sleeper('emil');
      const call = desk.call('emil', { body: offer });
      const answered = call.answer();
      const incoming = await phone.nextCall();
      incoming.ring();
      await call.provisional(180);
      call.cancel();
      expect((await answered).status).toBe(487);
      await incoming.transaction.cancel();
    });
  },
);
