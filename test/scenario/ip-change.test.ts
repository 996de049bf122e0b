/**
 * A phone that changes its network (what PJSIP does in pjsua_handle_ip_change) in each state it can be in: it registers from the new
 * address, takes the old Contact back before, with or after it, and says so in its calls by re-INVITE or UPDATE, or does not.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dialog, IncomingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const why = onDrachtio
  ? 'a drachtio-server cannot be told that the peer of a dialog or an INVITE has moved'
  : undefined;
const sdp = Headers.of([['Content-Type', 'application/sdp']]);
const atPhone = (port: number, version = 1): string => sessionDescription(places.phones, port, version);

describe.skipIf(why !== undefined).each(['udp', 'tcp', 'tls'] as const)(
  titled('a phone on %s that changes its network', why),
  (transport) => {
    let bed: Bed;
    let count = 0;
    let addresses = 0;
    beforeAll(async () => {
      bed = await Bed.open({ everywhere: true });
    });
    afterAll(() => bed.close());

    const newAddress = (): string => `127.31.${transport.length + transport.charCodeAt(1)}.${(addresses += 1)}`;
    const newUser = (): string => `mover${transport}${(count += 1)}`;

    async function awake(): Promise<Phone> {
      const phone = bed.phone(newUser(), { transport });
      expect((await phone.register()).status).toBe(200);
      return phone;
    }

    async function sleeping(): Promise<Phone> {
      return bed.sleeper(newUser(), { transport });
    }

    /** A call from the PBX that the phone has answered. */
    async function talking(): Promise<{ phone: Phone; incoming: IncomingCall; pbx: Dialog }> {
      const phone = await sleeping();
      const call = bed.pbx.call(phone.options.user, { body: anOffer() });
      const answered = call.answer();
      await bed.nextPush(phone);
      await phone.register();
      const incoming = await phone.nextCall();
      incoming.answer(atPhone(41_000));
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      const pbx = call.dialog as Dialog;
      // once this is through so is the ACK, and a re-INVITE of the phone cannot meet it
      const info = pbx.request('INFO');
      (await incoming.dialog.next('INFO')).respond(200);
      await info.answer();
      return { phone, incoming, pbx };
    }

    /** Moves the phone with all it has in mind and registers it from there. */
    async function moves(phone: Phone, incoming?: IncomingCall): Promise<string> {
      const contact = await phone.move(newAddress());
      incoming?.moved(contact);
      expect((await phone.register()).status).toBe(200);
      return contact;
    }

    async function rings(phone: Phone): Promise<void> {
      const call = bed.pbx.call(phone.options.user, { body: anOffer() });
      const answered = call.answer();
      if (transport === 'udp') {
        // nobody knows whether a phone on UDP still listens
        await bed.nextPush(phone);
        await phone.register();
      }
      const incoming = await phone.nextCall();
      incoming.answer(atPhone(41_000));
      expect((await answered).status).toBe(200);
      await call.dialog?.bye();
    }

    describe('asleep', () => {
      it.each(['the new one first', 'the old one first', 'both at once, old first', 'both at once, new first'])(
        'takes its old Contact back, %s: it has one binding, the PBX the same Contact, and the next call finds it',
        async (order) => {
          const phone = await awake();
          const { user } = phone.options;
          const [before] = bed.pbx.bindings(user);
          const old = phone.contact();
          await phone.move(newAddress());
          const gone = `${old};expires=0`;
          const fresh = phone.contact();
          const steps: readonly string[] = {
            'the new one first': [fresh, gone],
            'the old one first': [gone, fresh],
            'both at once, old first': [`${gone}, ${fresh}`],
            'both at once, new first': [`${fresh}, ${gone}`],
          }[order] as string[];
          for (const contact of steps) expect((await phone.register({ contact })).status, contact).toBe(200);
          expect(bed.pbx.bindings(user).map(({ contact }) => contact)).toEqual([before?.contact]);
          // a fetch lists what there is
          const listed = await phone.register({ contact: '' });
          expect(listed.headers.list('Contact').filter((value) => value.includes(`${user}@`))).toHaveLength(1);
          await rings(phone);
          expect(phone.invites).toHaveLength(1);
        },
      );

      it('unregisters for good from where it is', async () => {
        const phone = await awake();
        await moves(phone);
        expect((await phone.register({ expires: 0 })).status).toBe(200);
        expect(bed.pbx.bindings(phone.options.user)).toEqual([]);
      });

      it('where the edge is the registrar, the new Contact first', async () => {
        const phone = bed.phone('frieda', { transport, domain: homeDomain, instanceId: `urn:x:${transport}` });
        await phone.register();
        const old = phone.contact();
        await phone.move(newAddress());
        await phone.register();
        await phone.register({ contact: `${old};expires=0` });
        const listed = await phone.register({ contact: '' });
        const mine = listed.headers.list('Contact').filter((value) => value.includes(phone.ua.local.address));
        expect(mine).toHaveLength(1);
        await phone.register({ expires: 0 });
      });
    });

    it('pushed: takes the old Contact back before it registers anew, and the call waits for that', async () => {
      const phone = await sleeping();
      const old = phone.crossings
        .findLast(
          ({ direction, message }) =>
            direction === 'out' && message.kind === 'request' && message.method === 'REGISTER',
        )
        ?.message.headers.get('Contact');
      const call = bed.pbx.call(phone.options.user, { body: anOffer() });
      const answered = call.answer();
      await bed.nextPush(phone);
      await phone.open();
      expect((await phone.register({ contact: `${old};expires=0` })).status).toBe(200);
      expect((await phone.register()).status).toBe(200);
      const incoming = await phone.nextCall();
      incoming.answer(atPhone(41_000));
      expect((await answered).status).toBe(200);
      await call.dialog?.bye();
      expect(phone.invites).toHaveLength(1);
    });

    describe('ringing', () => {
      async function ringing() {
        const phone = await sleeping();
        bed.wakesOnPush(phone);
        const call = bed.pbx.call(phone.options.user, { body: anOffer() });
        const incoming = await phone.nextCall();
        incoming.ring();
        await call.provisional(180);
        return { phone, call, incoming };
      }

      it('answers from there: the call stands, one INVITE, nothing else at the PBX', async () => {
        const { phone, call, incoming } = await ringing();
        await moves(phone, incoming);
        const answered = call.answer();
        incoming.answer(atPhone(41_000));
        expect((await answered).status).toBe(200);
        await incoming.transaction.ack();
        const info = (call.dialog as Dialog).request('INFO');
        (await incoming.dialog.next('INFO')).respond(200);
        expect((await info.answer()).status).toBe(200);
        expect((await call.dialog?.bye())?.status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
        expect(phone.invites).toHaveLength(1);
        expect(bed.pbx.ua.seen('in', 'INVITE')).toHaveLength(0);
      });

      it('hears the CANCEL there', async () => {
        const { phone, call, incoming } = await ringing();
        await moves(phone, incoming);
        call.cancel(Headers.of([['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]));
        expect((await call.answer()).status).toBe(487);
        await vi.waitFor(() => expect(incoming.transaction.cancelled).toBe(true), 5000);
        const cancel = phone.seen('in', 'CANCEL').at(-1)?.message;
        expect(cancel?.headers.get('Reason')).toContain('cause=200');
      });

      it('hears the CANCEL there that came while it was nowhere', async () => {
        const { phone, call, incoming } = await ringing();
        incoming.moved(await phone.move(newAddress()));
        call.cancel();
        expect((await call.answer()).status).toBe(487);
        expect(incoming.transaction.cancelled).toBe(false);
        expect((await phone.register()).status).toBe(200);
        await vi.waitFor(() => expect(incoming.transaction.cancelled).toBe(true), 5000);
      });

      it('declines from there', async () => {
        const { phone, call, incoming } = await ringing();
        await moves(phone, incoming);
        const answered = call.answer();
        incoming.reject(603);
        expect((await answered).status).toBe(603);
        await incoming.transaction.ack();
      });

      it.skipIf(transport === 'udp')(
        titled(
          'has lost the call with its connection: the same INVITE comes once more over the new one',
          transport === 'udp' ? 'nobody can tell over UDP' : undefined,
        ),
        async () => {
          const { phone, call, incoming } = await ringing();
          await phone.sleep();
          await phone.wake();
          const again = await phone.nextCall();
          const via = (one: IncomingCall): string | undefined => one.request.headers.get('Via');
          expect(via(again)).toBe(via(incoming));
          expect(again.request.headers.get('Call-ID')).toBe(incoming.request.headers.get('Call-ID'));
          const answered = call.answer();
          again.answer(atPhone(41_000));
          expect((await answered).status).toBe(200);
          await call.dialog?.bye();
          expect(phone.invites).toHaveLength(2);
        },
      );
    });

    describe('in a call', () => {
      it('only registers: whatever the PBX says then goes there, a re-INVITE too, and nothing over the old flow', async () => {
        const { phone, incoming, pbx } = await talking();
        await moves(phone, incoming);
        const info = pbx.request(
          'INFO',
          Headers.of([['Content-Type', 'application/dtmf-relay']]),
          'Signal=5\r\nDuration=160\r\n',
        );
        (await incoming.dialog.next('INFO', 3000)).respond(200);
        expect((await info.answer()).status).toBe(200);
        const again = pbx.request('INVITE', sdp, anOffer(7));
        incoming.dialog.accept(await incoming.dialog.next('INVITE', 3000), atPhone(43_000, 2));
        expect((await again.answer()).body).toBe(atPhone(43_000, 2));
        pbx.ack(again);
        expect((await pbx.bye()).status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      });

      it.each(['INVITE', 'UPDATE'])(
        'refreshes the target by %s: it passes as it is, the PBX sees no other Contact, and then finds the phone there',
        async (method) => {
          const { phone, incoming, pbx } = await talking();
          const contact = await moves(phone, incoming);
          const asked = incoming.dialog.request(method, sdp, atPhone(44_000, 2));
          const arrived = await pbx.next(method, 3000);
          expect(arrived.request.body).toBe(atPhone(44_000, 2));
          expect(arrived.request.headers.get('Contact')).not.toContain(phone.ua.local.address);
          pbx.accept(arrived, anOffer(8));
          expect((await asked.answer()).body).toBe(anOffer(8));
          if (method === 'INVITE') incoming.dialog.ack(asked);
          if (method === 'INVITE') await arrived.ack();
          const mark = pbx.request('INFO');
          const info = await incoming.dialog.next('INFO', 3000);
          expect(`<${info.request.uri}>`).toBe(contact);
          info.respond(200);
          await mark.answer();
          const again = pbx.request('INVITE', sdp, anOffer(9));
          const reinvite = await incoming.dialog.next('INVITE', 3000);
          expect(`<${reinvite.request.uri}>`).toBe(contact);
          incoming.dialog.accept(reinvite, atPhone(45_000, 3));
          expect((await again.answer()).status).toBe(200);
          pbx.ack(again);
          await pbx.bye();
        },
      );

      it('is on hold, and resumes from the new network', async () => {
        const { phone, incoming, pbx } = await talking();
        const held = (text: string): string => `${text}a=sendonly\r\n`;
        const hold = incoming.dialog.request('INVITE', sdp, held(atPhone(41_000, 2)));
        const arrived = await pbx.next('INVITE', 3000);
        expect(arrived.request.body).toBe(held(atPhone(41_000, 2)));
        pbx.accept(arrived, `${anOffer(2)}a=recvonly\r\n`);
        expect((await hold.answer()).body).toContain('a=recvonly');
        incoming.dialog.ack(hold);
        await arrived.ack();
        const mark = incoming.dialog.request('INFO');
        (await pbx.next('INFO')).respond(200);
        await mark.answer();
        await moves(phone, incoming);
        const resume = incoming.dialog.request('INVITE', sdp, atPhone(46_000, 3));
        const resumed = await pbx.next('INVITE', 3000);
        expect(resumed.request.body).toBe(atPhone(46_000, 3));
        pbx.accept(resumed, anOffer(3));
        expect((await resume.answer()).status).toBe(200);
        incoming.dialog.ack(resume);
        await resumed.ack();
        expect((await pbx.bye()).status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      });

      it('has made the call itself', async () => {
        const phone = await awake();
        const call = phone.call('bob', { body: anOffer() });
        const answered = call.answer();
        const atPbx = await bed.pbx.nextCall();
        atPbx.answer(anOffer(2));
        expect((await answered).status).toBe(200);
        await atPbx.transaction.ack();
        const contact = await phone.move(newAddress());
        call.dialog?.moved(contact);
        expect((await phone.register()).status).toBe(200);
        const again = atPbx.dialog.request('INVITE', sdp, anOffer(4));
        call.dialog?.accept(await (call.dialog as Dialog).next('INVITE', 3000), atPhone(47_000, 2));
        expect((await again.answer()).status).toBe(200);
        atPbx.dialog.ack(again);
        expect((await atPbx.dialog.bye()).status).toBe(200);
        expect((await call.dialog?.ended)?.method).toBe('BYE');
      });
    });

    it('hung up by the PBX while it was nowhere: the BYE finds it in its new network', async () => {
      const { phone, incoming, pbx } = await talking();
      incoming.moved(await phone.move(newAddress()));
      const bye = pbx.bye();
      expect((await phone.register()).status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      expect((await bye).status).toBe(200);
      // and nothing is left of the call: the next one rings there
      await rings(phone);
    });
  },
);
