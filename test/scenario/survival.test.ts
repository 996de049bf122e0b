/** What the edge lives through: the power cord, a stop in the middle of calls, and octets that are no SIP on every port. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { newCallId } from '../../apps/demo/ua.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);

describe('after kill -9', () => {
  it.each(['udp', 'tcp'] as const)(
    'wakes a %s phone that had its 200 just before, by the contact the PBX knows',
    async (transport) => {
      const bed = await Bed.open();
      const phone = bed.phone('alice', { transport });
      expect((await phone.register()).status).toBe(200);
      await bed.edge.process.kill();
      await phone.sleep();
      await bed.edge.process.restart();
      bed.wakesOnPush(phone);
      const call = bed.pbx.call('alice', { body: anOffer() });
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await call.answer()).status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect(phone.invites).toHaveLength(1);
      await bed.close();
    },
  );

  it('pushes a phone whose old connection it cannot have any more, instead of trying it', async () => {
    const bed = await Bed.open();
    const phone = bed.phone('anna', { domain: homeDomain, transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    await bed.edge.process.kill();
    await bed.edge.process.restart();
    bed.wakesOnPush(phone);
    const call = bed.pbx.dial(`sip:anna@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    await bed.close();
  });

  it('does not forget a removal, nor a new token', async () => {
    const bed = await Bed.open();
    const gone = bed.phone('berta');
    await gone.register();
    const contact = bed.pbx.bindings('berta')[0]?.contact ?? '';
    await gone.register({ expires: 0 });
    const changed = bed.phone('cora');
    await changed.register();
    const old = changed.push?.prid;
    changed.push = { provider: 'apns', param: bed.pushParam, prid: '0f'.repeat(32) };
    bed.secrets.set('0f'.repeat(32), 'the new token of cora');
    await changed.register();
    await bed.edge.process.kill();
    await bed.edge.process.restart();
    expect((await bed.pbx.dial(contact, { body: anOffer() }).answer(3000)).status).toBe(480);
    await changed.sleep();
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(changed);
    call.cancel();
    await call.answer();
    expect(bed.lab.pushes().filter(({ token }) => token === old)).toHaveLength(0);
    await bed.close();
  });
});

describe('a graceful stop', () => {
  it('answers held calls, refuses new ones, lets a call go on, and ends with 0', async () => {
    const bed = await Bed.open({ config: { shutdown: { call_seconds: 20 } } });
    const talking = bed.phone('alice', { transport: 'tcp' });
    await talking.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await talking.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    const sleeper = await bed.sleeper('berta');
    const held = bed.pbx.call('berta', { body: anOffer() });
    await bed.nextPush(sleeper);

    const stopped = bed.edge.process.stop(30_000);
    const { status } = await held.answer(3000);
    expect([480, 503]).toContain(status);
    expect(await bed.edge.process.readyz()).not.toBe(200);
    expect((await bed.pbx.call('berta', { body: anOffer() }).answer(3000)).status).toBe(503);
    // the call that was up still works, both ways, and may end by itself
    const info = call.dialog?.request('INFO');
    (await incoming.dialog.next('INFO')).respond(200);
    expect((await info?.answer(3000))?.status).toBe(200);
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect(await stopped).toBe(0);
    const { logs } = bed.edge.process;
    expect(logs.at(-1)?.['msg']).toBe('stopped');
    expect(await bed.leaks()).toEqual([]);
    await bed.close().catch((error: unknown) => expect(String(error)).toContain('ended with 0'));
  });

  it('answers held calls when there is nothing else to wait for', async () => {
    const bed = await Bed.open();
    const phone = await bed.sleeper('alice');
    const held = [1, 2, 3].map((mark) => bed.pbx.call('alice', { body: anOffer(mark) }));
    await bed.nextPush(phone);
    await Promise.all(held.map((call) => call.provisional(100)));
    const stopped = bed.edge.process.stop();
    for (const call of held) expect([480, 503]).toContain((await call.answer(3000)).status);
    expect(await stopped).toBe(0);
    await bed.close().catch((error: unknown) => expect(String(error)).toContain('ended with 0'));
  });

  it('ends calls that outlast the limit, with a BYE to both sides', async () => {
    const bed = await Bed.open({ config: { shutdown: { call_seconds: 1 } } });
    const phone = bed.phone('alice', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    const stopped = bed.edge.process.stop(15_000);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(await stopped).toBe(0);
    await bed.close().catch((error: unknown) => expect(String(error)).toContain('ended with 0'));
  });

  it('comes once although npm and the terminal both signal: a call goes on and ends in peace', async () => {
    const bed = await Bed.open({ config: { shutdown: { call_seconds: 20 } } });
    const phone = bed.phone('alice', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();
    const { child } = bed.edge.process;
    child.signal('SIGINT');
    await child.next(({ msg }) => msg === 'stopping: no new calls', 3000, 'the stop');
    child.signal('SIGINT');
    call.dialog?.request('INFO');
    (await incoming.dialog.next('INFO', 3000)).respond(200);
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect(await child.exited).toBe(0);
    expect(bed.edge.process.logs.at(-1)?.['msg']).toBe('stopped');
    await bed.close().catch((error: unknown) => expect(String(error)).toContain('ended with 0'));
  });
});

describe('octets that are no SIP', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open();
  });
  afterAll(() => bed.close());

  const register = (extra = '', body = ''): string =>
    [
      `REGISTER sip:${homeDomain} SIP/2.0`,
      'Via: SIP/2.0/UDP 127.0.30.3:5060;branch=z9hG4bKx',
      `From: <sip:anna@${homeDomain}>;tag=a`,
      `To: <sip:anna@${homeDomain}>`,
      `Call-ID: ${newCallId()}`,
      'CSeq: 1 REGISTER',
      ...(extra === '' ? [] : [extra]),
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n');

  const rubbish = (): readonly string[] => [
    '',
    '\r\n\r\n',
    '\0',
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'INVITE\r\n\r\n',
    'INVITE sip:a@b SIP/2.0\r\n\r\n',
    'INVITE sip:a@b SIP/7.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKq\r\n\r\n',
    'SIP/2.0 200 OK\r\n\r\n',
    'SIP/2.0 999 What\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKq\r\n\r\n',
    register().replace('\r\n\r\n', '\r\n'),
    register(`Contact: <sip:${'a'.repeat(30_000)}@x>`),
    register(`Contact: <sip:anna@x${';p=v'.repeat(5000)}>`),
    register(`Contact: ${'<sip:a@b>,'.repeat(3000)}<sip:a@b>`),
    register(`X-Long: ${'x'.repeat(60_000)}`),
    register(`${'X-Many: 1\r\n'.repeat(5000)}X-Last: 1`),
    register(`Authorization: Digest ${'a="b",'.repeat(2000)}`),
    register('Content-Length: -1'),
    register('Content-Length: 99999999999999999999'),
    register('CSeq: 99999999999999 REGISTER'),
    register('Contact: <sip:anna@[::1>;expires=x'),
    register('', 'x'.repeat(40_000)),
    register().replace('Call-ID', 'Call\0ID'),
    ...Array.from({ length: 40 }, () => randomBytes(1 + Math.floor(Math.random() * 3000)).toString('latin1')),
    // a good message with some octets turned over
    ...Array.from({ length: 40 }, () => {
      const octets = Buffer.from(register('Contact: <sip:anna@127.0.30.3:5060;pn-provider=apns;pn-prid=aa>'), 'latin1');
      for (let flips = 0; flips < 6; flips++)
        octets[Math.floor(Math.random() * octets.length)] = Math.floor(Math.random() * 256);
      return octets.toString('latin1');
    }),
  ];

  it('leaves a call alone that goes on meanwhile, on UDP, TCP and HTTP', async () => {
    const phone = bed.phone('alice', { transport: 'tcp' });
    await phone.register();
    const call = bed.pbx.call('alice', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await incoming.transaction.ack();

    const stranger = await bed.agent(places.stranger, 'udp');
    for (const octets of rubbish()) {
      if (octets.length < 65_000) stranger.sendRaw(octets, bed.edge.at('udp'));
      await thrown(bed.edge.at('tcp'), octets);
      await pause(0);
    }
    const [host = '', port = ''] = bed.edge.http.split(':');
    for (const octets of rubbish()) await thrown({ address: host, port: Number(port) }, octets);

    const info = call.dialog?.request('INFO');
    (await incoming.dialog.next('INFO')).respond(200);
    expect((await info?.answer(3000))?.status).toBe(200);
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect(await bed.edge.process.readyz()).toBe(200);
  });

  it('lets nobody fill its memory with messages that never end', async () => {
    const before = await bed.metric('process_resident_memory_bytes');
    const sockets = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const { address, port } = bed.edge.at('tcp');
        const socket = connect({ host: address, port, localAddress: places.stranger });
        socket.on('error', () => undefined);
        await new Promise((done) => socket.once('connect', done));
        for (let chunk = 0; chunk < 20 && !socket.destroyed; chunk++) {
          socket.write(`X-${chunk}: ${'x'.repeat(100_000)}\r\n`);
          await pause(1);
        }
        return socket;
      }),
    );
    const phone = bed.phone('berta', { transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    if (!onDrachtio) expect((await bed.metric('process_resident_memory_bytes')) - before).toBeLessThan(150e6);
  });
});

/** Sends octets on a connection of their own and waits until the other side closes it, or a moment. */
function thrown(to: { readonly address: string; readonly port: number }, octets: string): Promise<void> {
  return new Promise((done) => {
    const socket = connect({ host: to.address, port: to.port });
    socket.setTimeout(20, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => done());
    socket.on('connect', () => socket.end(Buffer.from(octets, 'latin1')));
    socket.resume();
  });
}
