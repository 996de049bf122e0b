import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openPurr, sealPurr } from '../../../lib/core/purr.ts';

const key = createHash('sha256').update('key').digest();
const name = fc.record({ aor: fc.string({ maxLength: 80 }), bindingId: fc.stringMatching(/^[0-9a-f]{0,40}$/) });

test('[PN-PURR-01] [PN-PURR-02] [PN-PURR-17] leads back to its binding, in characters that survive everywhere', () => {
  fc.assert(
    fc.property(name, fc.nat(), (one, period) => {
      const purr = sealPurr(key, one, period);
      expect(purr).toMatch(/^[0-9a-f]{32,}$/);
      expect(openPurr(key, purr)).toEqual(one);
      expect(openPurr(key, purr.toUpperCase())).toEqual(one);
    }),
  );
});

test('[PN-PURR-05] whatever is changed in it, it is no longer one; another key opens none', () => {
  const purr = sealPurr(key, { aor: 'alice@example.com', bindingId: 'ab12' }, 7);
  for (let at = 0; at < purr.length; at++) {
    const changed = purr.slice(0, at) + (Number.parseInt(purr[at] as string, 16) ^ 1).toString(16) + purr.slice(at + 1);
    expect(openPurr(key, changed), `digit ${at}`).toBeUndefined();
  }
  expect(openPurr(createHash('sha256').update('other').digest(), purr)).toBeUndefined();
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(openPurr(key, text)).toBeUndefined();
    }),
  );
});

test('[PN-PURR-03] [PN-PURR-05] of each period another one, and two of one phone have no part in common', () => {
  const seen = new Set<string>();
  const one = { aor: 'alice@example.com', bindingId: 'ab12' };
  for (let period = 0; period < 2000; period++) {
    const purr = sealPurr(key, one, period);
    for (let at = 0; at + 16 <= purr.length; at += 16) seen.add(purr.slice(at, at + 16));
  }
  const parts = Math.floor(sealPurr(key, one, 1).length / 16);
  expect(seen.size).toBe(2000 * parts);
  expect(sealPurr(key, one, 5)).toBe(sealPurr(key, one, 5));
  // as long as that of anybody else
  expect(sealPurr(key, { ...one, aor: 'al@example.com' }, 5)).toHaveLength(sealPurr(key, one, 5).length);
});
