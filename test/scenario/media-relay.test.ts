/**
 * The media of calls through a real rtpengine: descriptions name it both ways, packets go through it, it forgets a call that ends. And
 * calls without its help: what an rtpengine that is silent or refuses costs, and that nothing is touched where none is wanted.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Media, sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { encode } from '../../lib/adapters/rtpengine/bencode.ts';
import { places } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { Rtpengine } from '../support/rtpengine.ts';
import { Bed } from '../support/test-bed.ts';

const why = needs('rtpengine');
const relayAt = '127.0.30.40';
const sdpType = Headers.of([['Content-Type', 'application/sdp']]);
const addressIn = (sdp: string): string | undefined => /^c=IN IP4 (\S+)/m.exec(sdp)?.[1];

describe.skipIf(why !== undefined)(titled('media through rtpengine', why), () => {
  let rtpengine: Rtpengine;
  let bed: Bed;
  let atPbx: Media;
  let atPhone: Media;

  beforeAll(async () => {
    rtpengine = await Rtpengine.start(relayAt);
    bed = await Bed.open({ config: { media: { rtpengine: [rtpengine.where], when: 'always', timeout_ms: 5000 } } });
    atPbx = await Media.open(places.pbx);
    atPhone = await Media.open(places.phones);
  });
  afterAll(async () => {
    atPbx.close();
    atPhone.close();
    await bed.close();
    await rtpengine.stop();
  });

  /** rtpengine has let go of a call that it had when its output was this long. */
  const forgotten = async (from: number): Promise<void> => {
    await rtpengine.program.says(/Deleting (?:entire )?call|Final packet stats/, 5000, from);
    expect(await rtpengine.calls()).toEqual([]);
  };

  it('wakes a phone, carries the packets both ways, follows a hold from either side, and ends with the BYE', async () => {
    const phone = await bed.sleeper('anna');
    bed.wakesOnPush(phone);
    const from = rtpengine.program.output.length;
    const call = bed.pbx.call('anna', { body: atPbx.sdp() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(addressIn(incoming.request.body)).toBe(relayAt);
    incoming.ring();
    incoming.answer(atPhone.sdp());
    const answer = await answered;
    expect(addressIn(answer.body)).toBe(relayAt);
    await incoming.transaction.ack();
    expect(await rtpengine.calls()).toHaveLength(1);
    expect(atPhone.talkTo(incoming.request.body)).toBe(true);
    await atPbx.first;
    atPbx.talkTo(answer.body);
    await atPhone.first;

    const dialog = call.dialog;
    if (dialog === undefined) throw new Error('no dialog');
    for (const [asks, hears, own, others] of [
      [dialog, incoming.dialog, atPbx, atPhone],
      [incoming.dialog, dialog, atPhone, atPbx],
    ] as const) {
      const held = asks.request('INVITE', sdpType, own.sdp().replace('sendrecv', 'sendonly'));
      const arrived = await hears.next('INVITE');
      expect(addressIn(arrived.request.body)).toBe(relayAt);
      expect(arrived.request.body).toContain('a=sendonly');
      hears.accept(arrived, others.sdp().replace('sendrecv', 'recvonly'));
      const said = await held.answer();
      expect([addressIn(said.body), said.body.includes('a=recvonly')]).toEqual([relayAt, true]);
      asks.ack(held);
      await arrived.ack();
      const resumed = asks.request('UPDATE', sdpType, own.sdp());
      const update = await hears.next('UPDATE');
      expect(addressIn(update.request.body)).toBe(relayAt);
      update.respond(200, { headers: sdpType, body: others.sdp() });
      expect(addressIn((await resumed.answer()).body)).toBe(relayAt);
    }
    expect((await dialog.bye()).status).toBe(200);
    await incoming.dialog.ended;
    await forgotten(from);
  });

  it('carries a late offer: offer in the 200, answer in the ACK, and the same in a re-INVITE of the phone', async () => {
    const phone = bed.phone('bert', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('bert');
    const incoming = await phone.nextCall();
    expect(incoming.request.body).toBe('');
    incoming.answer(atPhone.sdp());
    const answer = await call.transaction.answer();
    expect(addressIn(answer.body)).toBe(relayAt);
    const dialog = call.early(answer);
    dialog.ack(call.transaction, atPbx.sdp());
    const ack = await incoming.transaction.ack();
    expect(addressIn(ack.body)).toBe(relayAt);

    const asked = incoming.dialog.request('INVITE');
    const arrived = await dialog.next('INVITE');
    expect(arrived.request.body).toBe('');
    dialog.accept(arrived, atPbx.sdp());
    const offered = await asked.answer();
    expect(addressIn(offered.body)).toBe(relayAt);
    incoming.dialog.ack(asked, atPhone.sdp());
    expect(addressIn((await arrived.ack()).body)).toBe(relayAt);
    const from = rtpengine.program.output.length;
    await incoming.dialog.bye();
    await forgotten(from);
  });

  it('carries early media, and lets go of a call that is cancelled or refused', async () => {
    const phone = bed.phone('carl', { transport: 'tcp' });
    await phone.register();
    const cancelled = bed.pbx.call('carl', { body: atPbx.sdp() });
    const over = cancelled.answer();
    const ringing = await phone.nextCall();
    ringing.progress(183, { body: atPhone.sdp() });
    expect(addressIn((await cancelled.provisional(183)).body)).toBe(relayAt);
    let from = rtpengine.program.output.length;
    cancelled.cancel();
    await ringing.transaction.cancel();
    expect((await over).status).toBe(487);
    await forgotten(from);
    from = rtpengine.program.output.length;
    const refused = bed.pbx.call('carl', { body: atPbx.sdp() });
    const no = refused.answer();
    (await phone.nextCall()).reject(486);
    expect((await no).status).toBe(486);
    await forgotten(from);
  });

  it('carries a call of a phone, and a description that is one part of a body', async () => {
    const phone = bed.phone('dora', { transport: 'tcp' });
    await phone.register();
    const body = `--b1\r\nContent-Type: application/x-mark\r\n\r\nkeep me\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n${atPhone.sdp()}\r\n--b1--\r\n`;
    const call = phone.call('desk', {
      body,
      headers: Headers.of([['Content-Type', 'multipart/mixed;boundary=b1']]),
    });
    const answered = call.answer();
    const incoming = await bed.pbx.nextCall();
    const [before, after] = incoming.request.body.split(/v=0[\s\S]*\r\n(?=\r\n--b1--)/);
    expect(addressIn(incoming.request.body)).toBe(relayAt);
    expect(`${before}|${after}`).toBe(`${body.slice(0, body.indexOf('v=0'))}|\r\n--b1--\r\n`);
    incoming.answer(atPbx.sdp());
    expect(addressIn((await answered).body)).toBe(relayAt);
    await incoming.transaction.ack();
    const from = rtpengine.program.output.length;
    await call.dialog?.bye();
    await forgotten(from);
  });
});

describe('media.when: behind_nat', () => {
  it.skipIf(why !== undefined)(
    titled('helps phones behind a NAT only, and touches no other description', why),
    async () => {
      const rtpengine = await Rtpengine.start(relayAt);
      const bed = await Bed.open({
        config: { media: { rtpengine: [rtpengine.where], when: 'behind_nat', timeout_ms: 5000 } },
      });
      try {
        const offer = sessionDescription('192.168.7.7', 45_000);
        const open = bed.phone('anna', { transport: 'tcp' });
        await open.register();
        const direct = bed.pbx.call('anna', { body: offer });
        const answered = direct.answer();
        const incoming = await open.nextCall();
        expect(incoming.request.body).toBe(offer);
        const answer = sessionDescription('10.1.2.3', 45_002);
        incoming.answer(answer);
        expect((await answered).body).toBe(answer);
        await direct.dialog?.bye();

        const hidden = bed.phone('bert', { behindNat: '192.168.7.8:5060', transport: 'tcp' });
        await hidden.register();
        const helped = bed.pbx.call('bert', { body: offer });
        const over = helped.answer();
        const rings = await hidden.nextCall();
        expect(addressIn(rings.request.body)).toBe(relayAt);
        rings.answer(answer);
        expect(addressIn((await over).body)).toBe(relayAt);
        await helped.dialog?.bye();
        const out = hidden.call('desk', { body: offer });
        const done = out.answer();
        const called = await bed.pbx.nextCall();
        expect(addressIn(called.request.body)).toBe(relayAt);
        called.answer(answer);
        expect(addressIn((await done).body)).toBe(relayAt);
        await out.dialog?.bye();
      } finally {
        await bed.close();
        await rtpengine.stop();
      }
    },
  );
});

describe('without the help of an rtpengine', () => {
  const standIns: Socket[] = [];
  afterAll(() => {
    for (const socket of standIns) socket.close();
  });

  /** Says this to every question, or nothing; what it was asked. */
  async function standIn(answer?: Buffer): Promise<{ readonly where: string; readonly asked: string[] }> {
    const socket = createSocket('udp4');
    standIns.push(socket);
    socket.bind(0, relayAt);
    await once(socket, 'listening');
    const asked: string[] = [];
    socket.on('message', (datagram, { port, address }) => {
      const text = datagram.toString('latin1');
      asked.push(text);
      if (answer !== undefined)
        socket.send(Buffer.concat([Buffer.from(text.slice(0, text.indexOf(' ') + 1)), answer]), port, address);
    });
    const { address, port } = socket.address() as AddressInfo;
    return { where: `${address}:${port}`, asked };
  }

  it.each(['silent', 'refused', 'unreadable'] as const)(
    'a call goes on as it is where rtpengine is %s, and that is counted and logged',
    async (how) => {
      const answers = {
        silent: undefined,
        refused: encode({ result: 'error', 'error-reason': 'no more ports' }),
        unreadable: Buffer.from('x'),
      };
      const { where, asked } = await standIn(answers[how]);
      const bed = await Bed.open({
        config: { media: { rtpengine: [where], when: 'always', timeout_ms: 200, attempts: 2 } },
      });
      try {
        const phone = bed.phone('anna', { transport: 'tcp' });
        await phone.register();
        const offer = sessionDescription(places.pbx, 45_000);
        const answer = sessionDescription(places.phones, 45_002);
        const call = bed.pbx.call('anna', { body: offer });
        const answered = call.answer();
        const incoming = await phone.nextCall();
        expect(incoming.request.body).toBe(offer);
        incoming.answer(answer);
        expect((await answered).body).toBe(answer);
        const outcome = how === 'silent' ? 'silent' : 'refused';
        expect(await bed.metric(`reveille_media_relay_total{command="offer",outcome="${outcome}"}`)).toBe(1);
        await bed.edge.process.child.next(
          (line) => line['msg'] === 'no help from rtpengine; the call goes on without',
          3000,
          'the line',
        );
        // asked again under the same cookie, and of the answer not at all
        expect(asked).toHaveLength(how === 'silent' ? 2 : 1);
        expect(new Set(asked).size).toBe(1);
        expect((await call.dialog?.bye())?.status).toBe(200);
      } finally {
        await bed.close();
      }
    },
  );

  it.skipIf(why !== undefined)(
    titled('takes the next one while the first is silent, and does not ask that one for a while', why),
    async () => {
      const rtpengine = await Rtpengine.start(relayAt);
      const { where, asked } = await standIn();
      const bed = await Bed.open({
        config: { media: { rtpengine: [where, rtpengine.where], when: 'always', timeout_ms: 300, attempts: 1 } },
      });
      try {
        const phone = bed.phone('anna', { transport: 'tcp' });
        await phone.register();
        for (let count = 0; count < 2; count++) {
          const call = bed.pbx.call('anna', { body: sessionDescription(places.pbx, 45_000) });
          const answered = call.answer();
          const incoming = await phone.nextCall();
          expect(addressIn(incoming.request.body)).toBe(relayAt);
          incoming.answer(sessionDescription(places.phones, 45_002));
          expect(addressIn((await answered).body)).toBe(relayAt);
          await call.dialog?.bye();
        }
        expect(asked).toHaveLength(1);
      } finally {
        await bed.close();
        await rtpengine.stop();
      }
    },
  );
});
