/** Phones on TLS, WS and WSS from their REGISTER to the last BYE, and certificates that are renewed under them. */
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { WireTransport } from '../../apps/demo/wire.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed, homeDomain, identityOfEdge } from '../support/test-bed.ts';

// its listeners and certificates are the operator's
const why = onDrachtio ? 'a drachtio-server has listeners of its own' : undefined;
const answerSdp = sessionDescription(places.phones, 41_000);

describe.skipIf(why !== undefined).each(['tls', 'ws', 'wss'] as const)(titled('a phone over %s', why), (transport) => {
  let bed: Bed;
  beforeAll(async () => {
    // longer than a call is held: whoever is pushed was not waited for
    bed = await Bed.open({ everywhere: true, config: { wake: { silent_flow_ms: 10_000 } } });
  });
  afterAll(() => bed.close());

  it('[PN-PROXY-06] [EDGE-WS-10] registers, sleeps with its connection closed, is pushed, comes back and gets one INVITE', async () => {
    const phone = await bed.sleeper('alice', { transport });
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    expect(incoming.request.body).toBe(anOffer());
    const via = incoming.request.headers.get('Via');
    expect(via).toMatch(new RegExp(`^SIP/2\\.0/${transport.toUpperCase()} `));
    const contact = parseNameAddr(incoming.request.headers.get('Contact') ?? '')?.uri;
    expect(contact).toMatch(transport === 'tls' ? /;transport=tls$/ : /;transport=ws$/);
    incoming.ring();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });

  it('[PN-PROXY-30] rings on its open connection without a push, and hangs up itself', async () => {
    const phone = bed.phone('berta', { transport });
    expect((await phone.register()).status).toBe(200);
    const call = bed.pbx.call('berta', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await incoming.dialog.bye()).status).toBe(200);
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it('[PN-INT-04] loses its connection, which the edge knows at once: pushed without waiting for the silence', async () => {
    const phone = bed.phone('cora', { transport });
    await phone.register();
    await phone.sleep();
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('cora', { body: anOffer() });
    await bed.nextPush(phone, 4000);
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[EDGE-WS-10] is 480 when it has gone and cannot be pushed', async () => {
    const phone = bed.phone('dina', { transport, plain: true });
    await phone.register();
    await phone.sleep();
    const call = bed.pbx.call('dina', { body: anOffer() });
    expect((await call.answer(4000)).status).toBe(480);
    expect(phone.invites).toHaveLength(0);
  });

  it('calls out, and both sides can hang up', async () => {
    const phone = bed.phone('edda', { transport });
    await phone.register();
    for (const by of ['phone', 'PBX'] as const) {
      const call = phone.call('desk', { body: anOffer() });
      const answered = call.answer();
      const incoming = await bed.pbx.nextCall();
      expect(incoming.request.headers.get('Contact')).not.toContain('.invalid');
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      if (by === 'phone') {
        expect((await call.dialog?.bye())?.status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } else {
        expect((await incoming.dialog.bye()).status).toBe(200);
        expect((await call.dialog?.ended)?.method).toBe('BYE');
      }
    }
  });

  it('registers at the edge itself, and is woken there', async () => {
    const phone = await bed.sleeper('anna', { transport, domain: homeDomain });
    bed.wakesOnPush(phone);
    const call = bed.pbx.dial(`sip:anna@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(phone.invites).toHaveLength(1);
  });
});

describe.skipIf(why !== undefined)(titled('certificates', why), () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ everywhere: true });
  });
  afterAll(() => bed.close());

  const shown = async (transport: WireTransport): Promise<string> => {
    const { address, port } = bed.place(transport);
    const socket = connect({ host: address, port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerX509Certificate()!;
    socket.destroy();
    return fingerprint256;
  };
  const reloads = (result: string): Promise<number> =>
    bed.metric(`reveille_certificate_reloads_total{result="${result}"}`);

  it('are renewed on SIGHUP and when the files change; connections that stand ring as before', async () => {
    const phones = (['tls', 'wss'] as const).map((transport) => bed.phone(`fay-${transport}`, { transport }));
    for (const phone of phones) expect((await phone.register()).status).toBe(200);
    const before = await shown('tls');
    bed.identity = identityOfEdge();
    bed.writeIdentity(bed.identity);
    bed.edge.process.child.signal('SIGHUP');
    await expect.poll(() => reloads('accepted')).toBe(1);
    const after = await shown('tls');
    expect(after).not.toBe(before);
    expect(await shown('wss')).toBe(after);
    expect(await bed.metric('reveille_certificate_expires_at_seconds')).toBeGreaterThan(Date.now() / 1000);
    for (const phone of phones) {
      const call = bed.pbx.call(phone.options.user, { body: anOffer() });
      (await phone.nextCall()).reject(486);
      expect((await call.answer()).status).toBe(486);
      expect(bed.pushesFor(phone)).toHaveLength(0);
    }
    // nobody says anything this time
    bed.identity = identityOfEdge();
    bed.writeIdentity(bed.identity);
    const renewed = new X509Certificate(bed.identity.certificate).fingerprint256;
    await expect.poll(() => shown('tls'), { timeout: 20_000 }).toBe(renewed);
  });

  it('that are wrong are counted and logged, and the old ones stay', async () => {
    const before = await shown('tls');
    const old = bed.identity!;
    const refused = await reloads('refused');
    bed.writeIdentity({ ...old, key: identityOfEdge().key });
    bed.edge.process.child.signal('SIGHUP');
    await expect.poll(() => reloads('refused')).toBeGreaterThan(refused);
    const line = bed.edge.process.logs.find(({ msg }) => String(msg).startsWith('the new certificates are wrong'));
    expect(line?.['reason']).toContain('key_file: expected the private key of the first certificate in cert_file');
    expect(await shown('tls')).toBe(before);
    bed.writeIdentity(old);
  });
});

describe.skipIf(why !== undefined)(titled('a PBX over TLS', why), () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open({ everywhere: true, transport: 'tls' });
  });
  afterAll(() => bed.close());

  it('[EDGE-TRN-09] registers, is called and calls over connections whose certificates were checked on both sides', async () => {
    const phone = await bed.sleeper('alice', { transport: 'wss' });
    expect(bed.pbx.bindings('alice')[0]?.contact).toContain('transport=tls');
    bed.wakesOnPush(phone);
    const call = bed.pbx.call('alice', { body: anOffer() });
    const answered = call.answer();
    const incoming = await phone.nextCall();
    incoming.answer(answerSdp);
    expect((await answered).status).toBe(200);
    await incoming.transaction.ack();
    expect((await call.dialog?.bye())?.status).toBe(200);
    const out = phone.call('desk', { body: anOffer() });
    const outAnswered = out.answer();
    const atDesk = await bed.pbx.nextCall();
    atDesk.answer(answerSdp);
    expect((await outAnswered).status).toBe(200);
    await atDesk.transaction.ack();
    expect((await out.dialog?.bye())?.status).toBe(200);
  });
});

describe.skipIf(why !== undefined)(titled('a PBX that shows another name', why), () => {
  it('[EDGE-TRN-09] is not spoken to: the REGISTER is refused and the refusal counted', async () => {
    const stranger = identityOfEdge();
    const bed = await Bed.open({
      everywhere: true,
      transport: 'tls',
      pbx: { secure: { certificate: stranger.certificate, key: stranger.key, ca: stranger.ca } },
    });
    try {
      const phone = bed.phone('alice', { transport: 'tls' });
      const answer = await phone.register();
      expect(answer.status).toBeGreaterThanOrEqual(500);
      expect(bed.pbx.ua.crossings).toEqual([]);
      expect(await bed.metric('reveille_engine_events_total{event="certificatesRefused"}')).toBe(1);
    } finally {
      await bed.close();
    }
  });
});
