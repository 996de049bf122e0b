/** SIPp on either side: an independent PBX that calls, an independent phone that registers and is called. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { places } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { Program } from '../support/program.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const why = needs('sipp');

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(titled('SIPp on %s', why), (transport) => {
  let bed: Bed;
  let dir: string;
  beforeAll(async () => {
    bed = await Bed.open({ transport });
    dir = mkdtempSync(join(tmpdir(), 'reveille-sipp-'));
  });
  afterAll(async () => {
    await bed.close();
    await Program.stopAll();
    rmSync(dir, { recursive: true, force: true });
  });

  const sipp = (args: readonly string[]): Program => {
    const { address, port } = bed.edge.at(transport);
    // -nostdin: no keyboard; TCP wants one connection for all calls of a run
    const usual = ['-nostdin', '-t', transport === 'udp' ? 'u1' : 't1', '-timeout', '20s', '-timeout_error'];
    return new Program('sipp', [...args, ...usual, `${address}:${port}`], { cwd: dir });
  };

  it('as the PBX: five calls, one after the other, each wakes the phone and is answered', async () => {
    const phone = await bed.sleeper('alice', { transport });
    bed.wakesOnPush(phone);
    const contact = parseUri(bed.pbx.bindings('alice')[0]?.contact ?? '');
    const caller = sipp([
      '-sn',
      'uac',
      '-s',
      contact?.user ?? '',
      '-i',
      places.pbx,
      '-m',
      '5',
      '-l',
      '1',
      '-r',
      '20',
      '-d',
      '50',
    ]);
    for (let count = 1; count <= 5; count++) {
      const incoming = await phone.nextCall(15_000);
      incoming.ring();
      incoming.answer(answerSdp);
      await incoming.transaction.ack();
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      if (count < 5) await phone.sleep();
    }
    expect(await caller.ended, caller.printed.slice(-1500)).toBe(0);
    expect(phone.invites).toHaveLength(5);
  });

  // two runs of SIPp, one that registers and one that answers, can share a UDP port but no TCP connection
  it('as the phone: registers with push parameters, is gone, comes back on the push, is rung and answers', async () => {
    const phone = bed.phone('berta', { transport, instanceId: `urn:uuid:${randomUUID()}` });
    const port = await freePort(phone.options.address);
    const file = (name: string): string => fileURLToPath(new URL(`sipp/${name}`, import.meta.url));
    const { push, options } = phone;
    const start = (): Program =>
      sipp(
        [
          [
            '-sf',
            file('register.xml'),
            '-oocsf',
            file('answer.xml'),
            '-i',
            options.address,
            '-p',
            String(port),
            '-m',
            '1',
          ],
          ['-au', 'berta', '-ap', options.password ?? '', '-key', 'user', 'berta', '-key', 'domain', pbxDomain],
          ['-key', 'pn', `transport=${transport};pn-provider=apns;pn-param=${push?.param};pn-prid=${push?.prid}`],
          ['-key', 'instance', options.instanceId ?? ''],
        ].flat(),
      );
    const first = start();
    while (bed.pbx.bindings('berta').length === 0) await pause(20);
    await pause(100); // its 200 is on the way
    await first.stop('SIGKILL');
    const call = bed.pbx.call('berta', { body: anOffer() });
    const answered = call.answer();
    await bed.nextPush(phone);
    const second = start();
    expect((await answered).status, second.printed.slice(-1500)).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(await second.ended, second.printed.slice(-1500)).toBe(0);
  });
});
