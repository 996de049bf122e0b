import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openContact, sealContact } from '../../../lib/core/contact-token.ts';

const key = createHash('sha256').update('test key').digest();
const name = { aor: '1001@pbx.example.com', bindingId: '0123456789abcdef0123' };
const anyName = fc.record({
  aor: fc.string({ maxLength: 60, unit: 'grapheme' }),
  bindingId: fc.oneof(fc.stringMatching(/^[0-9a-f]{20}$/), fc.string({ minLength: 1, maxLength: 30 })),
});

describe('the user part towards the PBX', () => {
  test('opens to what was sealed, whatever happened to its case', () => {
    fc.assert(
      fc.property(anyName, (some) => {
        const sealed = sealContact(key, some);
        // another key object knows nothing of what this one has sealed
        const elsewhere = Buffer.from(key);
        expect(openContact(elsewhere, sealed)).toEqual(some);
        expect(openContact(elsewhere, sealed.toUpperCase())).toEqual(some);
        expect(openContact(key, sealed)).toEqual(some);
      }),
    );
  });

  test('is the same every time, short, a letter and then base32', () => {
    const sealed = sealContact(key, name);
    expect(sealContact(Buffer.from(key), name)).toBe(sealed);
    expect(sealed).toMatch(/^v[a-z2-7]+$/);
    expect(sealed.length).toBeLessThan(75);
  });

  test('shows nothing of what two devices of one user have in common', () => {
    const a = sealContact(key, name);
    const b = sealContact(key, { ...name, bindingId: '0123456789abcdef0124' });
    let equal = 0;
    for (let at = 1; at < a.length; at++) if (a[at] === b[at]) equal++;
    // one in 32 by chance
    expect(equal).toBeLessThan(a.length / 4);
  });

  test('is refused after any change of one character', () => {
    const sealed = sealContact(key, name);
    for (let at = 0; at < sealed.length; at++) {
      for (const c of 'abcdefghijklmnopqrstuvwxyz0123456789-_') {
        if (c === sealed[at]) continue;
        expect(openContact(key, sealed.slice(0, at) + c + sealed.slice(at + 1))).toBeUndefined();
      }
      expect(openContact(key, sealed.slice(0, at))).toBeUndefined();
      expect(openContact(key, sealed.slice(0, at) + sealed.slice(at + 1))).toBeUndefined();
    }
    expect(openContact(key, `${sealed}a`)).toBeUndefined();
  });

  test('is refused under another key', () => {
    expect(openContact(createHash('sha256').update('other').digest(), sealContact(key, name))).toBeUndefined();
  });

  test('any other text is refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.stringMatching(/^v[a-z2-7]{0,120}$/),
          fc.stringMatching(/^\+?\d{1,15}$/),
        ),
        (text) => {
          expect(openContact(key, text)).toBeUndefined();
        },
      ),
    );
  });
});
