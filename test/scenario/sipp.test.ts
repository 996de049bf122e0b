/** SIPp on either side: an independent PBX that calls, an independent phone that registers and is called. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  if (transport === 'tcp') return;
  it('as the phone: registers with push parameters, wakes on the push, is rung once and answers', async () => {
    const phone = bed.phone('berta', { transport, instanceId: `urn:uuid:${randomUUID()}` });
    const port = await freePort(phone.options.address);
    const registers = (): Program =>
      sipp([
        '-sf',
        fileURLToPath(new URL('sipp/register.xml', import.meta.url)),
        '-i',
        phone.options.address,
        '-p',
        String(port),
        '-m',
        '1',
        '-au',
        'berta',
        '-ap',
        phone.options.password ?? '',
        '-key',
        'user',
        'berta',
        '-key',
        'domain',
        pbxDomain,
        '-key',
        'pn',
        `transport=${transport};pn-provider=apns;pn-param=${phone.push?.param};pn-prid=${phone.push?.prid}`,
        '-key',
        'instance',
        phone.options.instanceId ?? '',
      ]);
    const first = registers();
    expect(await first.ended, first.printed.slice(-1500)).toBe(0);
    const call = bed.pbx.call('berta', { body: anOffer() });
    const answered = call.answer();
    await bed.nextPush(phone);
    const second = registers();
    expect(await second.ended, second.printed.slice(-1500)).toBe(0);
    const answering = new Program(
      'sipp',
      [
        '-sn',
        'uas',
        '-i',
        phone.options.address,
        '-p',
        String(port),
        '-m',
        '1',
        '-nostdin',
        '-t',
        'u1',
        '-timeout',
        '20s',
        '-timeout_error',
      ],
      { cwd: dir },
    );
    expect((await answered).status).toBe(200);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(await answering.ended, answering.printed.slice(-1500)).toBe(0);
  });
});
