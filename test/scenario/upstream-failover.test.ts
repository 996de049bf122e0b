/** A PBX of two servers behind one name: SRV records, probes, a server that dies and comes back. Over UDP, TCP and TLS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { DnsServer } from '../support/dns-server.ts';
import { listen, onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const second = '127.0.30.4';
const answerSdp = sessionDescription(places.pbx, 41_000);
const why = onDrachtio
  ? 'the edge is told which DNS server to ask, a drachtio-server resolves nothing here'
  : undefined;

/** Fast enough for a test; what the times are by default is in docs/operations.md. */
const availability = {
  probe_seconds: 1,
  probe_timeout_ms: 400,
  down_after: 2,
  up_after: 1,
  try_ms: 600,
  rest_seconds: 5,
};

describe.skipIf(why !== undefined).each(['udp', 'tcp', 'tls'] as const)(
  titled('RFC 3263: a PBX of two servers, over %s', why),
  (transport) => {
    let bed: Bed;
    let dns: DnsServer;
    let backup: Pbx;
    let port: number;

    beforeAll(async () => {
      dns = await DnsServer.open();
      port = await freePort(places.pbx);
      const backupPort = await freePort(second);
      dns.srv(transport === 'tls' ? '_sips._tcp.pbx.test' : `_sip._${transport}.pbx.test`, 'a.pbx.test', port, 10);
      dns.srv(
        transport === 'tls' ? '_sips._tcp.pbx.test' : `_sip._${transport}.pbx.test`,
        'b.pbx.test',
        backupPort,
        20,
      );
      dns.address('a.pbx.test', places.pbx);
      dns.address('b.pbx.test', second);
      // for the name that is asked for, not for the servers it leads to (RFC 5922 4)
      const identity = makeServerIdentity({ hosts: ['pbx.test'], addresses: [] });
      bed = await Bed.open({
        transport,
        everywhere: transport === 'tls',
        upstream: `sip:pbx.test;transport=${transport}`,
        domain: { availability },
        pbx: { port, ...(transport === 'tls' ? { secure: identity } : {}) },
        config: {
          sip: {
            dns_servers: [dns.at],
            ...(transport === 'tls' ? {} : listen(await freePort(places.edge))),
          },
        },
      });
      backup = await Pbx.open({ ...bed.pbx.options, address: second, port: backupPort });
    });
    afterAll(async () => {
      await bed.close();
      await backup.close();
      dns.stop();
    });

    it('[EDGE-TRN-08] leaves a dead server within the time of a request, comes back when it answers, and keeps the binding', async () => {
      const phone = bed.phone('alice', { transport: 'tcp' });
      expect((await phone.register()).status).toBe(200);
      expect(bed.pbx.bindings('alice')).toHaveLength(1);
      const { contact } = bed.pbx.bindings('alice')[0]!;

      await bed.pbx.close();
      expect((await phone.register()).status).toBe(200);
      expect(backup.bindings('alice')[0]?.contact).toBe(contact);

      const call = phone.call('4711', { body: anOffer() });
      const answered = call.answer();
      const incoming = await backup.nextCall();
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);

      // the first server is there again: probes find it, new registrations go there, the call stays where it is
      const again = await Pbx.open({ ...bed.pbx.options, port });
      try {
        await expect
          .poll(async () => (await phone.register()) && again.bindings('alice').length, { timeout: 10_000 })
          .toBe(1);
        expect(again.bindings('alice')[0]?.contact).toBe(contact);
        expect((await call.dialog?.bye())?.status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } finally {
        await again.close();
      }
      const failovers = (await bed.edge.process.metrics())
        .split('\n')
        .filter((line) => line.startsWith('reveille_upstream_failovers_total') && !line.endsWith(' 0'));
      expect(failovers.join('\n')).toContain('domain="pbx.example.com"');
      expect(bed.edge.process.logs.some(({ msg }) => msg === 'server of the PBX is up again')).toBe(true);
    }, 60_000);
  },
);

describe.skipIf(why !== undefined)(titled('upstreams of a domain', why), () => {
  it('moves a REGISTER on after 503, honours Retry-After, and loses no binding when all are away', async () => {
    const port = await freePort(places.pbx);
    const backupPort = await freePort(second);
    const bed = await Bed.open({
      pbx: { port },
      domain: {
        upstream: undefined,
        availability: { ...availability, probe_seconds: 0 },
        upstreams: [
          { uri: `sip:${places.pbx}:${port};transport=udp`, priority: 1 },
          { uri: `sip:${second}:${backupPort};transport=tcp`, priority: 2 },
        ],
      },
      config: { registration: { answer_seconds: 5 } },
    });
    const backup = await Pbx.open({ ...bed.pbx.options, transport: 'tcp', address: second, port: backupPort });
    const phone = bed.phone('berta', { transport: 'tcp' });
    let refused = 0;
    bed.pbx.onRegister = () => {
      refused++;
      return [503, { headers: Headers.of([['Retry-After', '600']]) }];
    };
    expect((await phone.register()).status).toBe(200);
    // it is told the place of ours that its own transport leads to
    expect(backup.bindings('berta')[0]?.contact).toMatch(/;transport=tcp$/);
    expect((await phone.register()).status).toBe(200);
    expect(refused).toBe(1);
    bed.pbx.onRegister = () => 'silent';
    await backup.close();
    const dead = await phone.register();
    expect([dead.status, Number(dead.headers.get('Retry-After')) > 0]).toEqual([503, true]);
    await bed.pbx.close();

    // the binding is as it was: whoever has the Contact reaches the phone
    const back = await Pbx.open({ ...bed.pbx.options, port });
    backup.handOver(back);
    const call = back.call('berta', { body: anOffer() });
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    await back.close();
    await bed.close();
  }, 60_000);

  it('sends everything through the outbound proxy, and takes calls from it', async () => {
    const proxy = await freePort(second);
    const behind = 'sip:192.0.2.55:5070;transport=udp';
    const bed = await Bed.open({
      domain: {
        upstream: undefined,
        upstreams: [{ uri: behind, outbound_proxy: `sip:${second}:${proxy};transport=udp` }],
      },
    });
    const pbx = await Pbx.open({ ...bed.pbx.options, address: second, port: proxy });
    const phone = bed.phone('cora', { transport: 'tcp' });
    expect((await phone.register()).status).toBe(200);
    const call = pbx.call('cora', { body: anOffer() });
    const answered = call.answer();
    (await phone.nextCall()).answer(answerSdp);
    expect((await answered).status).toBe(200);
    await call.dialog?.bye();
    await pbx.close();
    await bed.close();
  });

  it('is not ready without a server when the config says so', async () => {
    const bed = await Bed.open({
      domain: { availability: { ...availability, ready: true, down_after: 1 } },
    });
    const ready = async (): Promise<number> => (await fetch(`http://${bed.edge.http}/readyz`)).status;
    expect(await ready()).toBe(200);
    await bed.pbx.close();
    await expect.poll(ready, { timeout: 10_000 }).toBe(503);
    const again = await Pbx.open({ ...bed.pbx.options, port: bed.pbx.ua.local.port });
    await expect.poll(ready, { timeout: 10_000 }).toBe(200);
    expect(
      await bed.metric(
        `reveille_upstream_up{domain="pbx.example.com",upstream="sip:${places.pbx}:${bed.pbx.ua.local.port};transport=udp"}`,
      ),
    ).toBe(1);
    await again.close();
    await bed.close();
  }, 40_000);
});
