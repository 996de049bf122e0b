/** Phones that change to another node, asleep, while they ring and in the middle of a call, as when a mobile network becomes a WLAN. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Headers } from '../../lib/sip/headers.ts';
import { answerSdp, Fleet, hangUp, heard, offerSdp, take, whyNoFleet } from '../support/fleet.ts';
import { titled } from '../support/needs.ts';

const why = whyNoFleet();

describe.skipIf(why !== undefined)(titled('a phone that changes to another node', why), () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b', 'c'], holdSeconds: 8 });
  });
  afterAll(() => fleet?.close());

  it('in the middle of a hold, before it has come: it rings once where it comes', async () => {
    const phone = await fleet.sleeper('b', 'tcp');
    const coming = take(fleet.dial('a', phone), phone);
    await fleet.nextPush(phone);
    fleet.turn(phone, 'c', 'tls');
    await phone.wake({ address: fleet.hosts.anAddress() });
    await hangUp(await coming);
    expect(phone.invites).toHaveLength(1);
  });

  it('with REGISTERs at two nodes at once: it rings once', async () => {
    const phone = await fleet.sleeper('b', 'tcp');
    const coming = take(fleet.dial('a', phone), phone);
    await fleet.nextPush(phone);
    const first = await phone.open();
    fleet.turn(phone, 'c');
    const second = await phone.open();
    await Promise.all([phone.register({ agent: first }), phone.register({ agent: second, callId: 'another one' })]);
    const up = await coming;
    await heard(up);
    await hangUp(up);
    expect(phone.invites).toHaveLength(1);
  });

  // these two side by side: each waits ten seconds for the old connection
  it.concurrent('while it rings: the leg that its old connection took along is made up for, and the call is answered where it is', async ({
    expect,
  }) => {
    const phone = await fleet.awake('b', 'tcp');
    const call = fleet.dial('a', phone);
    const answered = call.answer();
    const first = await phone.nextCall();
    first.ring();
    await call.provisional(180);
    fleet.turn(phone, 'c');
    await phone.wake({ address: fleet.hosts.anAddress() });
    // the engine waits 20 T1 for its answer to come another way (RFC 3261 18.1.2)
    const incoming = await phone.nextCall(20_000);
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    await heard({ call, incoming });
    await hangUp({ call, incoming });
    expect(phone.invites).toHaveLength(2);
  });

  it.concurrent('in the middle of a call: a re-INVITE of the caller fails, and the call goes on', async ({
    expect,
  }) => {
    const phone = await fleet.awake('b', 'tcp');
    const { call, incoming } = await take(fleet.dial('a', phone), phone);
    fleet.turn(phone, 'c');
    incoming.moved(await phone.move(fleet.hosts.anAddress()));
    expect((await phone.register()).status).toBe(200);
    const again = call.dialog?.request('INVITE', Headers.of([['Content-Type', 'application/sdp']]), answerSdp);
    // over the connection it had: to be pushed for, and not to be found there
    expect((await again?.answer(35_000))?.status).toBe(480);
    const info = call.dialog?.request('INFO');
    (await incoming.dialog.next('INFO')).respond(200);
    expect((await info?.answer())?.status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });

  it.each(['tcp', 'udp', 'tls'] as const)(
    'in the middle of a call over %s: what the caller says in it comes over its new connection, and the BYE, too',
    async (transport) => {
      const phone = await fleet.sleeper('b', transport);
      const coming = take(fleet.dial('a', phone), phone);
      await fleet.nextPush(phone);
      await phone.wake();
      const { call, incoming } = await coming;
      fleet.turn(phone, 'c');
      incoming.moved(await phone.move(fleet.hosts.anAddress()));
      expect((await phone.register()).status).toBe(200);
      // b hears of the REGISTER over Redis
      const info = call.dialog?.request(
        'INFO',
        Headers.of([['Content-Type', 'application/dtmf-relay']]),
        'Signal=5\r\n',
      );
      const asked = await incoming.dialog.next('INFO');
      expect(asked.remote.address).toBe(fleet.node('c').host.address);
      asked.respond(200);
      expect((await info?.answer())?.status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      expect(phone.invites).toHaveLength(1);
    },
  );

  it.each(['tcp', 'tls'] as const)(
    'in the middle of a call over %s: a re-INVITE of the caller comes over its new connection, and the call is there from then on',
    async (transport) => {
      const phone = await fleet.awake('b', transport);
      const { call, incoming } = await take(fleet.dial('a', phone), phone);
      fleet.turn(phone, 'c');
      incoming.moved(await phone.move(fleet.hosts.anAddress()));
      expect((await phone.register()).status).toBe(200);
      // one by our own count before it
      const first = call.dialog?.request('INFO');
      (await incoming.dialog.next('INFO')).respond(200);
      expect((await first?.answer())?.status).toBe(200);
      const again = call.dialog?.request('INVITE', Headers.of([['Content-Type', 'application/sdp']]), offerSdp);
      const changed = await incoming.dialog.next('INVITE');
      expect([changed.remote.address, changed.request.body]).toEqual([fleet.node('c').host.address, offerSdp]);
      incoming.dialog.accept(changed, answerSdp);
      const answer = await again?.answer();
      expect([answer?.status, answer?.body]).toEqual([200, answerSdp]);
      if (again !== undefined) call.dialog?.ack(again);
      await changed.ack();
      // both ways, the phone's own words too: it was told where the edge is
      await heard({ call, incoming });
      expect(phone.invites).toHaveLength(1);
      expect(fleet.pushesFor(phone)).toHaveLength(0);
      // the node the call began at is nobody's any more
      await fleet.node('b').process.kill();
      await heard({ call, incoming });
      await hangUp({ call, incoming });
      await fleet.node('b').process.restart();
      await fleet.knowEachOther();
    },
  );

  it('in the middle of a call, with its old node dead: the caller is hung up on', async () => {
    const phone = await fleet.awake('b', 'tcp');
    const { call, incoming } = await take(fleet.dial('a', phone), phone);
    await fleet.node('b').process.kill();
    fleet.turn(phone, 'c');
    incoming.moved(await phone.move(fleet.hosts.anAddress()));
    expect((await phone.register()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    await fleet.node('b').process.restart();
    await fleet.knowEachOther();
  });
});
