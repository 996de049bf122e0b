/** SIPp as a static trunk: it calls a number, proves itself by its address or by a password, and a sleeping phone rings. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { places } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { Sipp } from '../support/sipp.ts';
import { Bed, pbxDomain } from '../support/test-bed.ts';

const why = needs('sipp');
const answerSdp = sessionDescription(places.phones, 41_000);

describe.skipIf(why !== undefined)(titled('SIPp as a static trunk', why), () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  it.each([
    ['ip', places.pbx, 'udp', 'caller-hangs-up'],
    ['ip', places.pbx, 'tcp', 'caller-hangs-up'],
    ['digest', places.stranger, 'udp', 'trunk-proves-itself'],
    ['digest', places.stranger, 'tcp', 'trunk-proves-itself'],
  ] as const)('proved by %s, from %s over %s', async (auth, address, transport, scenario) => {
    const bed = await Bed.open({
      domain: {
        registration: 'registrar',
        // all that SIPp 3.6 knows
        algorithms: ['MD5'],
        users: [
          { name: '101', password: 'what 101 says' },
          { name: 'trunk', password: 'what-the-trunk-says' },
        ],
        trunk: {
          auth,
          users: ['trunk'],
          routes: [{ domain: '192.0.2.77', prefix: '+4930123', strip: 8, to_domain: pbxDomain }],
        },
      },
    });
    ends.push(() => bed.close());
    const dir = mkdtempSync(join(tmpdir(), 'reveille-trunk-'));
    ends.push(() => rmSync(dir, { recursive: true, force: true }));
    const phone = await bed.sleeper('101', { password: 'what 101 says' });
    bed.wakesOnPush(phone);
    const trunk = new Sipp({
      scenario,
      address,
      transport,
      dir,
      port: await freePort(address),
      to: bed.edge.at(transport),
      keys: {
        domain: '192.0.2.77',
        target: 'sip:+4930123101@192.0.2.77',
        user: auth === 'digest' ? 'trunk' : '+4930123101',
        ...(auth === 'digest' ? { password: 'what-the-trunk-says' } : {}),
      },
    });
    ends.push(() => trunk.stop());
    const incoming = await phone.nextCall();
    incoming.ring();
    incoming.answer(answerSdp);
    expect(await trunk.verdict()).toBe('as it should be');
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
    expect(phone.invites).toHaveLength(1);
    expect(bed.pushesFor(phone)).toHaveLength(1);
  });
});
