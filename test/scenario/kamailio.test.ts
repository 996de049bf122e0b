/** Kamailio as the PBX: a registrar and record-routing proxy that nobody of us wrote. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OutgoingCall } from '../../apps/demo/calls.ts';
import { freePort } from '../../apps/demo/edge-process.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { UserAgent } from '../../apps/demo/ua.ts';
import type { Remote } from '../../apps/demo/wire.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { Program } from '../support/program.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const why = needs('kamailio');
/** Call-ID and From tag are the same on both sides of a proxy (drachtio-protocol B.6) */
const oneDialog = onDrachtio ? 'drachtio-server refuses a second dialog with one Call-ID and From tag' : undefined;

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(titled('Kamailio on %s', why), (transport) => {
  let bed: Bed;
  let kamailio: Program;
  let dir: string;
  let pbx: Remote;
  let bob: UserAgent;
  const password = randomBytes(12).toString('hex');

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'reveille-kamailio-'));
    pbx = { transport, address: places.pbx, port: await freePort(places.pbx) };
    bed = await Bed.open({ transport, upstream: `sip:${pbx.address}:${pbx.port};transport=${transport}` });
    const define = (name: string, value: string): readonly string[] => ['-A', `${name}=${value}`];
    kamailio = new Program('kamailio', [
      '-f',
      fileURLToPath(new URL('kamailio/kamailio.cfg', import.meta.url)),
      '-DD',
      '-E',
      '-w',
      dir,
      '-Y',
      dir,
      '-m',
      '64',
      '-M',
      '8',
      ...define('DOMAIN', `"${pbxDomain}"`),
      ...define('PASSWORD', `"${password}"`),
      ...define('EDGE', `"${bed.edge.at('udp').address}"`),
      ...define('LISTEN', `${transport}:${pbx.address}:${pbx.port}`),
    ]);
    bob = await bed.agent(places.stranger, transport, false);
    await listening();
  });
  afterAll(async () => {
    await bed.close();
    await kamailio.stop();
    await Program.stopAll();
    rmSync(dir, { recursive: true, force: true });
  });

  /** It answers an OPTIONS, with whatever. */
  async function listening(): Promise<void> {
    const headers = Headers.of([
      ['From', '<sip:x@y>;tag=1'],
      ['To', '<sip:x@y>'],
      ['Call-ID', 'up'],
      ['CSeq', '1 OPTIONS'],
    ]);
    for (let attempt = 0; attempt < 50; attempt++) {
      const probe = await bed.agent(places.stranger, transport, false);
      const found = await probe
        .request('OPTIONS', 'sip:x@y', { headers, to: pbx })
        .answer(200)
        .catch(() => undefined);
      if (found !== undefined) return;
    }
    throw new Error(`Kamailio does not answer: ${kamailio.printed.slice(-1500)}`);
  }

  /** bob calls through Kamailio. */
  const calls = (user: string): OutgoingCall =>
    new OutgoingCall(bob, `sip:${user}@${pbxDomain}`, {
      from: `"Bob" <sip:bob@${pbxDomain}>`,
      to: `<sip:${user}@${pbxDomain}>`,
      contact: `<${bob.uri('bob')}>`,
      body: anOffer(),
      remote: pbx,
    });

  it('accepts the phone with its password, calls it awake by a push, and both sides can hang up', async () => {
    const phone = bed.phone('alice', { transport, password });
    const registered = await phone.register();
    expect(registered.status).toBe(200);
    expect(registered.headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="apns"']);
    for (const by of ['caller', 'phone'] as const) {
      await phone.sleep();
      bed.wakesOnPush(phone);
      const call = calls('alice');
      const answered = call.answer();
      const incoming = await phone.nextCall();
      incoming.ring();
      incoming.answer(answerSdp);
      const answer = await answered;
      expect([answer.status, answer.body]).toEqual([200, answerSdp]);
      await incoming.transaction.ack();
      if (by === 'caller') {
        expect((await call.dialog?.bye())?.status).toBe(200);
        expect((await incoming.dialog.ended)?.method).toBe('BYE');
      } else {
        expect((await incoming.dialog.bye()).status).toBe(200);
        expect((await call.dialog?.ended)?.method).toBe('BYE');
      }
    }
    expect(phone.invites).toHaveLength(2);
    expect(bed.pushesFor(phone)).toHaveLength(2);
  });

  it('cancels a held call', async () => {
    const phone = await bed.sleeper('berta', { transport, password });
    const call = calls('berta');
    await call.provisional(100);
    await bed.nextPush(phone);
    call.cancel();
    expect((await call.answer(3000)).status).toBe(487);
    await phone.wake();
    expect(phone.invites).toHaveLength(0);
  });

  it('refuses a wrong password, removes what is de-registered', async () => {
    expect((await bed.phone('cora', { transport, password: 'not this one at all' }).register()).status).toBe(401);
    const phone = bed.phone('cora', { transport, password });
    expect((await phone.register()).status).toBe(200);
    expect((await phone.register({ expires: 0 })).status).toBe(200);
    expect((await calls('cora').answer(3000)).status).toBe(404);
  });

  it.skipIf(oneDialog !== undefined)(
    titled('takes a call of a phone after its 407 and brings it to another phone, which wakes for it', oneDialog),
    async () => {
      const callee = await bed.sleeper('dina', { transport, password });
      const caller = bed.phone('edda', { transport, password });
      await caller.register();
      bed.wakesOnPush(callee);
      const call = caller.call('dina', { body: anOffer() });
      const answered = call.answer();
      const incoming = await callee.nextCall();
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      await incoming.transaction.ack();
      expect((await incoming.dialog.bye()).status).toBe(200);
      // the proxy keeps Call-ID and tags, so the edge has both ends of one dialog
      const hungUp = call.dialog?.ended.then((bye) => bye?.method);
      expect(await Promise.race([hungUp, pause(5000, 'still talking')])).toBe('BYE');
      expect(callee.invites).toHaveLength(1);
    },
  );
});
