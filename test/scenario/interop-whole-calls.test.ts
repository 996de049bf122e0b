/**
 * Linphone and baresip as phones through the edge, Kamailio as PBX, a desk phone at Kamailio on the other side: hold and resume from both
 * sides, a blind transfer by the phone, and a PBX that has been restarted and knows nobody any more.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Dialog } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import type { WireTransport } from '../../apps/demo/wire.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { Baresip } from '../support/baresip.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Kamailio } from '../support/kamailio.ts';
import { Linphone } from '../support/linphone.ts';
import { needs, needsNetwork, titled } from '../support/needs.ts';

const sdpType = Headers.of([['Content-Type', 'application/sdp']]);

interface Device {
  registered(): Promise<void>;
  /** resolves with the function that waits until it is done for the phone itself */
  hold(): Promise<() => Promise<unknown>>;
  resume(): Promise<() => Promise<unknown>>;
  transfer(to: string): Promise<void> | void;
  dial(to: string): Promise<void> | void;
  stop(): Promise<unknown>;
}

interface Facts {
  readonly user: string;
  readonly password: string;
  readonly transport: WireTransport;
  readonly world: World;
}

const atOnce = (): Promise<void> => Promise.resolve();

const devices = {
  async linphone({ user, password, transport, world }: Facts): Promise<Device> {
    const phone = new Linphone({
      ...{ user, password, domain: foreignDomain, address: foreign.phones },
      ...{ edge: world.place(transport), dir: world.dir },
    });
    const told = async (command: string, state: RegExp): Promise<() => Promise<unknown>> => {
      const from = phone.program.output.length;
      phone.tell(command);
      return () => phone.program.says(state, 8000, from);
    };
    return {
      registered: () => phone.registered(),
      // it resumes nothing before it has paused it
      hold: () => told('call-pause', /to LinphoneCallPaused/),
      resume: () => told('call-resume 1', /to LinphoneCallStreamsRunning/),
      transfer: (to) => phone.tell(`call-transfer 1 ${to}`),
      dial: (to) => phone.tell(`call ${to}`),
      stop: () => phone.stop(),
    };
  },
  async baresip({ user, password, transport, world }: Facts): Promise<Device> {
    const phone = await Baresip.start({
      ...{ user, password, domain: foreignDomain, address: foreign.phones },
      ...{ edge: world.place(transport), dir: world.dir, answers: 'auto' },
    });
    return {
      registered: () => phone.registered(),
      hold: () => phone.tell('hold').then(() => atOnce),
      resume: () => phone.tell('resume').then(() => atOnce),
      transfer: (to) => phone.tell('transfer', to),
      dial: (to) => phone.tell('dial', to),
      stop: () => phone.stop(),
    };
  },
};

const noPbx = needs('kamailio');
const why = { linphone: noPbx ?? needs('linphone-daemon'), baresip: noPbx ?? needs('baresip') ?? needsNetwork() };
/** The TLS certificate of a drachtio-server is its owner's. */
const secure = onDrachtio
  ? []
  : ([
      ['linphone', 'tls'],
      ['baresip', 'tls'],
    ] as const);

describe.each([['linphone', 'udp'], ['linphone', 'tcp'], ...secure, ['baresip', 'udp'], ['baresip', 'tcp']] as const)(
  'whole calls of %s on %s',
  (kind, transport) => {
    let world: World;
    let kamailio: Kamailio;
    let desk: Phone;
    const running: Device[] = [];

    beforeAll(async () => {
      if (why[kind] !== undefined) return;
      kamailio = await Kamailio.start(foreign.pbx, foreignDomain);
      world = await World.open({
        upstream: `sip:${kamailio.address}:${kamailio.port};transport=${transport === 'udp' ? 'udp' : 'tcp'}`,
        everywhere: !onDrachtio,
        wake: { udp_flow_awake_ms: 60_000 },
      });
      world.secrets.set(kamailio.password, 'the password');
      world.atEnd(() => kamailio.stop());
      desk = new Phone({
        ...{ user: 'desk', domain: foreignDomain, password: kamailio.password },
        ...{ address: foreign.caller, edge: kamailio.at('udp') },
      });
      world.atEnd(() => desk.sleep());
      expect((await desk.register()).status).toBe(200);
    });
    afterEach(async () => {
      await Promise.all(running.splice(0).map((device) => device.stop()));
    });
    afterAll(() => (why[kind] === undefined ? world.close() : undefined));

    async function start(user: string): Promise<Device> {
      const device = await devices[kind]({ user, password: kamailio.password, transport, world });
      running.push(device);
      await device.registered();
      return device;
    }

    async function talk(user: string): Promise<Dialog> {
      const call = desk.call(user, { body: sessionDescription(foreign.caller, 42_000) });
      expect((await call.answer()).status).toBe(200);
      return call.dialog as Dialog;
    }

    async function follows(dialog: Dialog, asked: RegExp, answer: string): Promise<void> {
      const change = await dialog.next('INVITE', 8000);
      expect(change.request.body).toMatch(asked);
      dialog.accept(change, sessionDescription(foreign.caller, 42_000, 2).replace('sendrecv', answer));
      await change.ack();
    }

    it.skipIf(why[kind] !== undefined)(
      titled('are held and resumed from both sides, and transferred by the phone', why[kind]),
      async () => {
        const phone = await start('anna');
        const dialog = await talk('anna');
        const held = await phone.hold();
        await follows(dialog, /a=(?:sendonly|inactive)/, 'recvonly');
        await held();
        const resumed = await phone.resume();
        await follows(dialog, /^(?![\s\S]*a=(?:sendonly|inactive|recvonly))/, 'sendrecv');
        await resumed();
        for (const [version, direction, answered] of [
          [3, 'sendonly', /a=(?:recvonly|inactive)/],
          [4, 'sendrecv', /^(?![\s\S]*a=(?:sendonly|inactive|recvonly))/],
        ] as const) {
          const body = sessionDescription(foreign.caller, 42_000, version).replace('sendrecv', direction);
          // the phone's own ACK may still be on its way to the edge (491)
          let change = dialog.request('INVITE', sdpType, body);
          let answer = await change.answer(8000);
          for (let again = 0; answer.status === 491 && again < 50; again++) {
            change = dialog.request('INVITE', sdpType, body);
            answer = await change.answer(8000);
          }
          expect(answer.status).toBe(200);
          expect(answer.body).toMatch(answered);
          dialog.ack(change);
        }
        await phone.transfer(`sip:third@${foreignDomain}`);
        // some hold the call before they send it away
        const asked = await dialog.next('REFER', 8000);
        expect(asked.request.headers.get('Refer-To')).toContain(`sip:third@${foreignDomain}`);
        asked.respond(202);
        const tell = () =>
          dialog.request(
            'NOTIFY',
            Headers.of([
              ['Event', 'refer'],
              ['Subscription-State', 'terminated;reason=noresource'],
              ['Content-Type', 'message/sipfrag;version=2.0'],
            ]),
            'SIP/2.0 200 OK\r\n',
          );
        // Linphone takes no request while its REFER has no answer
        let heard = await tell().answer(8000);
        for (let again = 0; heard.status === 491 && again < 50; again++) heard = await tell().answer(8000);
        expect(heard.status).toBe(200);
        if (!dialog.over) await Promise.race([dialog.ended, dialog.bye()]);
      },
    );

    it.skipIf(why[kind] !== undefined)(
      titled('go on after a restart of the PBX, which has forgotten everybody', why[kind]),
      async () => {
        const first = await start('bert');
        expect((await (await talk('bert')).bye()).status).toBe(200);
        await kamailio.stop();
        kamailio = await Kamailio.start(foreign.pbx, foreignDomain, { like: kamailio });
        expect((await desk.register()).status).toBe(200);
        // out of the phone without a new REGISTER
        await first.dial(`sip:desk@${foreignDomain}`);
        const incoming = await desk.nextCall();
        incoming.answer(sessionDescription(foreign.caller, 42_000));
        await incoming.transaction.ack();
        expect((await incoming.dialog.bye()).status).toBe(200);
        // and to it with the next one
        await running.splice(0)[0]?.stop();
        await start('bert');
        expect((await (await talk('bert')).bye()).status).toBe(200);
      },
    );
  },
);
