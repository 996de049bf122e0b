// The vectors of RFC 6979 A.2.5 for P-256 with SHA-256, and node's own check of what we sign.
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signDeterministically } from '../../../../lib/adapters/apns/deterministic-signature.ts';

const octets = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url');
const key = createPrivateKey({
  format: 'jwk',
  key: {
    kty: 'EC',
    crv: 'P-256',
    d: octets('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721'),
    x: octets('60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6'),
    y: octets('7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299'),
  },
});

describe('deterministic ES256', () => {
  it.each([
    [
      'sample',
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716',
      'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ],
    [
      'test',
      'F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367',
      '019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083',
    ],
  ])('signs %s as RFC 6979 A.2.5 does', (text, r, s) => {
    expect(signDeterministically(key, Buffer.from(text)).toString('hex').toUpperCase()).toBe(r + s);
  });

  it('makes signatures that node finds good, the same each time', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const text = Buffer.from(bytes);
        const signature = signDeterministically(privateKey, text);
        const check = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' } as const;
        expect(verify('sha256', text, check, signature)).toBe(true);
        expect(signDeterministically(privateKey, text)).toEqual(signature);
      }),
      { numRuns: 30 },
    );
  });
});
