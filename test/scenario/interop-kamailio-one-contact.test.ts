/** Kamailio with max_contacts 1: whatever a phone changes, it is the same Contact there, and no second one is ever asked for. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Kamailio } from '../support/kamailio.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('kamailio');
const answerSdp = sessionDescription(foreign.phones, 43_000);

it.skipIf(why !== undefined)(
  titled(
    '[EDGE-REG-16] new port, new token, new Call-ID, another transport, and a new installation stay one Contact',
    why,
  ),
  async () => {
    const kamailio = await Kamailio.start(foreign.pbx, foreignDomain, { oneContact: true });
    const world = await World.open({ upstream: `sip:${kamailio.address}:${kamailio.port};transport=udp` });
    world.secrets.set(kamailio.password, 'the password');
    const phones: Phone[] = [];
    world.atEnd(async () => {
      await Promise.all(phones.map((phone) => phone.sleep()));
      await kamailio.stop();
    });
    const phone = (
      transport: 'udp' | 'tcp',
      prid: string,
      instance: string,
      address: string = foreign.phones,
    ): Phone => {
      const made = new Phone({
        user: 'anna',
        domain: foreignDomain,
        password: kamailio.password,
        address,
        edge: world.edge.at(transport),
        push: { provider: 'apns', param: world.pushParam, prid },
        instanceId: `urn:uuid:${instance}`,
      });
      phones.push(made);
      return made;
    };
    const [instance, token] = [randomUUID(), world.token()];
    const first = phone('udp', token, instance);
    expect((await first.register()).status).toBe(200);
    await first.sleep();
    await first.open();
    expect((await first.register()).status, 'a new port').toBe(200);
    await first.sleep();
    const renewed = world.token();
    expect((await phone('udp', renewed, instance).register()).status, 'a new token and Call-ID').toBe(200);
    expect((await phone('tcp', renewed, instance, foreign.others).register()).status, 'another network').toBe(200);
    const installed = phone('tcp', renewed, randomUUID());
    expect((await installed.register()).status, 'installed anew, the token is the same').toBe(200);

    const contacts = [...kamailio.program.output.matchAll(/registered anna at <?(sip:[^>;\s]+)/g)].map(
      ([, uri]) => uri,
    );
    expect(contacts.length).toBeGreaterThanOrEqual(5);
    expect(new Set(contacts).size).toBe(1);

    const desk = new Phone({
      user: 'desk',
      domain: foreignDomain,
      password: kamailio.password,
      address: foreign.caller,
      edge: kamailio.at('udp'),
    });
    phones.push(desk);
    await desk.register();
    const call = desk.call('anna', { body: sessionDescription(foreign.caller, 42_000) });
    const answered = call.answer();
    (await installed.nextCall()).answer(answerSdp);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
    await world.close();
  },
  60_000,
);
