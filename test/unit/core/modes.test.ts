import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { load } from '../../../lib/config/load.ts';
import { type Facing, modes, registrationOf, type UpstreamMode } from '../../../lib/core/modes.ts';

const facings: readonly Facing[] = ['path', 'mid-registrar', 'registrar'];
const upstreams: readonly UpstreamMode[] = ['pass_through', 'throttled', 'on_behalf', 'trunk'];

describe('the ways upstream', () => {
  it('each row has the way upstream that was asked for', () => {
    for (const facing of facings)
      for (const upstream of upstreams) {
        const registration = registrationOf(facing, upstream);
        if (registration !== undefined) expect(modes[registration].upstream).toBe(upstream);
      }
    expect(upstreams.every((one) => facings.some((facing) => registrationOf(facing, one) !== undefined))).toBe(true);
  });

  it('without upstream_mode a domain is served as its registration says', () => {
    expect(facings.map((facing) => registrationOf(facing, undefined))).toEqual(facings);
  });

  it('the config refuses what the table does not know', () => {
    const folder = mkdtempSync(join(tmpdir(), 'modes-'));
    const file = join(folder, 'edge.yaml');
    try {
      for (const facing of facings)
        for (const upstream of upstreams) {
          const domain = `{ name: a.example, upstream: 'sip:192.0.2.1:5060', registration: ${facing}, upstream_mode: ${upstream} }`;
          writeFileSync(file, `domains: [${domain}]\n`);
          const read = (): unknown => load({ file, env: {} });
          if (registrationOf(facing, upstream) === undefined)
            expect(read, `${facing} ${upstream}`).toThrow(/upstream_mode/);
          else expect(read, `${facing} ${upstream}`).not.toThrow();
        }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
