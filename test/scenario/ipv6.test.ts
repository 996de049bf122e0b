/** Everything over IPv6: listeners, Contacts, stored flows, the PBX by an address in brackets, and by a name with a server that fails. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { DnsServer } from '../support/dns-server.ts';
import { anOffer, Bed } from '../support/test-bed.ts';
import { SipPeer } from '../support/sip-peer.ts';

const answerSdp = sessionDescription('::1', 41_000);
const listen = ['udp://[::1]:0', 'tcp://[::1]:0'];

describe.skipIf(onDrachtio).each(['udp', 'tcp'] as const)('EDGE over ::1 on %s', (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ transport, pbx: { address: '::1' }, config: { sip: { listen } } });
  });
  afterAll(() => bed.close());

  it('[EDGE-TRN-01] [EDGE-RPT-01] registers upstream with a Contact in brackets, wakes the phone, carries the call and ends it', async () => {
    const phone = await bed.sleeper('alice', { transport, address: '::1' });
    const registered = bed.pbx.ua.seen('in', 'REGISTER').at(-1)?.message.headers.get('Contact') ?? '';
    expect(registered).toMatch(new RegExp(`^<sip:[^@]+@\\[::1\\]:\\d+;transport=${transport}`));
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.headers.get('Via')).toMatch(/^SIP\/2\.0\/(UDP|TCP) \[::1\]:\d+/);
    expect(incoming.request.headers.get('Contact')).toContain('[::1]:');
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });

  it('rings a phone over the flow it registered over, and it hangs up', async () => {
    const phone = bed.phone('berta', { transport, address: '::1', plain: true, behindNat: '[fd77::20]:5060' });
    expect((await phone.register()).status).toBe(200);
    const call = bed.pbx.call('berta', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.uri).toContain('[fd77::20]:5060');
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
  });
});

describe.skipIf(onDrachtio).each(['udp', 'tcp'] as const)('a phone on IPv4 and a PBX on IPv6, %s', (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({
      transport,
      pbx: { address: '::1' },
      config: { sip: { listen: [...listen, `udp://${places.edge}:0`, `tcp://${places.edge}:0`] } },
    });
  });
  afterAll(() => bed.close());

  it('call each other, and each is told an address of its own family', async () => {
    const phone = bed.phone('carla', { transport, plain: true });
    expect((await phone.register()).status).toBe(200);
    const out = phone.call('4711', { body: anOffer() });
    const answered = out.answer();
    const incoming = await bed.pbx.nextCall();
    expect(incoming.request.headers.get('Contact')).toContain('[::1]:');
    incoming.answer(answerSdp);
    const answer = await answered;
    expect(answer.status).toBe(200);
    expect(answer.headers.get('Contact')).toContain(`${places.edge}:`);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await out.dialog?.ended)?.method).toBe('BYE');
    const back = bed.pbx.call('carla', { body: anOffer() });
    const picked = back.answer();
    const ringing = await phone.nextCall();
    ringing.answer(answerSdp);
    expect((await picked).status).toBe(200);
    await ringing.transaction.ack();
    expect((await back.dialog?.bye())?.status).toBe(200);
  });
});

describe.skipIf(onDrachtio)('a PBX by its name', () => {
  it('RFC 3263 4.3: the second server takes what the first refuses, and may call phones as well', async () => {
    const dns = await DnsServer.open();
    const broken = await SipPeer.open('udp', '127.0.30.5');
    broken.on('REGISTER', (request, from) => void broken.send(broken.answer(request, 503), from));
    const port = await freePort(places.pbx);
    dns.srv('_sip._udp.pbx.test', 'one.pbx.test', broken.port, 1);
    dns.srv('_sip._udp.pbx.test', 'two.pbx.test', port, 2);
    dns.address('one.pbx.test', broken.address);
    dns.address('two.pbx.test', places.pbx);
    const bed = await Bed.open({
      pbx: { port },
      upstream: 'sip:pbx.test',
      config: { sip: { listen: ['udp://127.0.30.1:0'], dns_servers: [dns.at] } },
    });
    const phone = await bed.sleeper('alice');
    expect(broken.received.length).toBeGreaterThan(0);
    const left = (await bed.edge.process.metrics())
      .split('\n')
      .filter((line) => /_failovers_total\{.*"refused"\} [1-9]/.test(line));
    expect(left.length).toBeGreaterThan(0);
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    await bed.close();
    await broken.close();
    dns.stop();
  });
});
