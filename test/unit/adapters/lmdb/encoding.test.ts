import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAor, decodeBindings, decodeKeepUntil, encode, keyOf } from '../../../../lib/adapters/lmdb/encoding.ts';
import { aBinding } from '../../../support/a-binding.ts';

describe('encoding', () => {
  const text = fc.string({ unit: 'binary', maxLength: 80 });
  const contactParts = fc.array(
    fc.constantFrom('<', 'AAAAAA', 'BBBBBB', 'CCCCCC', 'DDDDDD', '\u007f', '\u0080', '\0', 'x'),
  );

  it('reads back any set under any AOR, also one whose contact looks like our own marks', () => {
    fc.assert(
      fc.property(text, fc.maxSafeNat(), contactParts, text, text, (aor, keepUntil, parts, target, unknown) => {
        const [push] = [aBinding().push].flatMap((one) => one ?? []);
        const bindings = [
          aBinding({ aor, contact: parts.join(''), target: 'AAAAAA', instanceId: 'BBBBBB' }),
          aBinding({ aor: 'other@x', contact: parts.join(''), target: 'AAA\u0080AAA', instanceId: 'AAAAAA' }),
          aBinding({ contact: target + parts.join(''), target, instanceId: target, q: 0, path: ['', aor] }),
          {
            ...aBinding({ contact: parts.join(''), flow: { transport: 'wss', address: '::1', port: 0, engine: '' } }),
            push: {
              ...(push ?? expect.fail()),
              param: 'DDDDDD',
              providerAsSent: 'apns.dev',
              wakesItself: true,
              deadSince: 7,
              tokens: [
                { kind: 'fcm' as const, token: 'CCCCCC' },
                { kind: 'voip' as const, token: target },
              ],
              later: unknown,
            },
            later: { unknown },
          },
        ];
        const key = keyOf(aor);
        const stored = encode(aor, key, bindings, keepUntil);
        expect(decodeBindings(aor, stored)).toEqual(bindings);
        expect(decodeAor(key, stored)).toBe(aor);
        expect(decodeKeepUntil(stored)).toBe(keepUntil);
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(400);
      }),
    );
  });

  it('reads back a binding that has only what it must have', () => {
    const { instanceId, regId, push, upstreamExpiresAt, userAgent, ...least } = aBinding();
    expect([instanceId, regId, push, upstreamExpiresAt, userAgent]).not.toContain(undefined);
    const stored = encode('x@x', 'x@x', [least], 1);
    expect(decodeBindings('x@x', stored)).toStrictEqual([least]);
  });

  it('writes a binding with a push token of 64 digits in less than 700 octets', () => {
    expect(Buffer.byteLength(encode('alice@example.com', 'alice@example.com', [aBinding()], 1.79e12))).toBeLessThan(
      700,
    );
  });

  it.each(['', '[', '[]', '{}', 'null', '[1,2]', '[1,[null]]', '[1,[{}]]', '["x",[]', '\0\0'])(
    'takes %j for an empty set that may go',
    (text) => {
      expect(decodeBindings('x@x', text)).toEqual([]);
      expect(decodeKeepUntil(text)).toBeLessThan(Date.now());
      expect(decodeAor(keyOf('ü'.repeat(1000)), text)).toBeUndefined();
    },
  );
});
