/** Bencoding: what is written is read again as it was, octets of any kind are read or refused, and never more than once. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bencoded, decode, encode } from '../../../../lib/adapters/rtpengine/bencode.ts';

const { value } = fc.letrec<{ value: Bencoded }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    fc.maxSafeInteger(),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('bencode', () => {
  it('writes what the description of the format says', () => {
    expect(encode({ spam: ['a', 'é'], n: -3, z: {} }).toString('utf8')).toBe('d1:ni-3e4:spaml1:a2:ée1:zdee');
  });

  it('reads what it has written', () => {
    fc.assert(
      fc.property(value, (one) => {
        expect(decode(encode(one))).toEqual(Object.is(one, -0) ? 0 : one);
      }),
    );
  });

  it('refuses what is cut off and what goes on behind the end', () => {
    fc.assert(
      fc.property(value, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (one, cut, more) => {
        const octets = encode(one);
        expect(decode(octets.subarray(0, cut % octets.length))).toBeUndefined();
        expect(decode(Buffer.concat([octets, more]))).toBeUndefined();
      }),
    );
  });

  it('throws at no octets', () => {
    const some = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((octets) => Buffer.from(octets)),
      fc.stringMatching(/^[dlie0-9:-]{0,40}$/).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(some, (octets) => {
        expect(() => decode(octets)).not.toThrow();
      }),
    );
  });

  it.each(['i03e', 'i-0e', 'ie', '-1:a', '01:a', '5:abcd', 'd1:ae', 'di1ei2ee', `${'l'.repeat(50)}${'e'.repeat(50)}`])(
    'refuses %s',
    (text) => {
      expect(decode(Buffer.from(text))).toBeUndefined();
    },
  );
});
