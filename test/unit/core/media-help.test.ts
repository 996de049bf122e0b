/** Who is behind a NAT, and whose media is relayed then. */
import { describe, expect, it } from 'vitest';
import { isBehindNat, wantsMediaHelp } from '../../../lib/core/media-help.ts';

describe('isBehindNat', () => {
  it.each([
    ['sip:a@192.0.2.7:5060', '192.0.2.7', false],
    ['sip:a@[2001:DB8::1]:5060;transport=tcp', '2001:db8::1', false],
    ['sip:a@192.168.1.2', '192.0.2.7', true],
    ['sip:a@phone.example.com', '192.0.2.7', true],
    ['sip:a@df7jal23ls0d.invalid;transport=ws', '192.0.2.7', true],
    ['*', '192.0.2.7', true],
  ])('%s from %s: %s', (contact, source, behind) => {
    expect(isBehindNat(contact, source)).toBe(behind);
  });
});

describe('wantsMediaHelp', () => {
  it('is never, always, or for phones behind a NAT', () => {
    expect(
      (['never', 'always', 'behind_nat'] as const).map((when) => [true, false].map((nat) => wantsMediaHelp(when, nat))),
    ).toEqual([
      [false, false],
      [true, true],
      [true, false],
    ]);
  });
});
