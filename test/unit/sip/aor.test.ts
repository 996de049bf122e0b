import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { aorOf, canonicalUser } from '../../../lib/sip/aor.ts';
import { parseUri } from '../../../lib/sip/uri.ts';
import { sameUri } from '../../../lib/sip/uri-compare.ts';

describe('an address-of-record', () => {
  test.each([
    ['sip:1001@example.com', '1001@example.com'],
    ['sips:1001:secret@EXAMPLE.com:5061;transport=tls?a=b', '1001@example.com'],
    ['sip:%31001@example.com;x=y', '1001@example.com'],
    ['sip:*21%23@h', '*21%23@h'],
    ['sip:*21#@h', '*21%23@h'],
    ['sip:a%3ab@h', 'a%3Ab@h'],
    ['sip:a%3bb@h', 'a;b@h'],
    ['sip:Bob@h', 'Bob@h'],
    ['sip:%C3%a9@h', '%C3%A9@h'],
    ['sip:é@h', '%C3%A9@h'],
    ['sip:+1(5)@[2001:DB8::1]', '+1(5)@[2001:db8::1]'],
    ['sip:50%off@h', '50%25off@h'],
  ])('of %s is %s', (uri, aor) => {
    expect(aorOf(uri)).toBe(aor);
  });

  test.each(['sip:example.com', 'tel:+4912345', 'hello', '', 'sip:a@h h'])('there is none in "%s"', (uri) => {
    expect(aorOf(uri)).toBeUndefined();
  });

  test('is one URI again that names itself', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'binary' }), (user) => {
        const aor = aorOf(`sip:${user}@h`);
        if (aor === undefined) return;
        expect(aor).toMatch(/^[\x21-\x7e]+$/);
        expect(aorOf(`sip:${aor}`)).toBe(aor);
      }),
    );
  });

  test('is equal for users that RFC 3261 calls equal', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^(?:[a-c%;+]|%4[0-9A-Fa-f]|%2[0-9A-F]){1,8}$/),
        fc.stringMatching(/^(?:[A-C]|%4[0-9a-f]){1,8}$/),
        (a, b) => {
          const one = parseUri(`sip:${a}@h`);
          const other = parseUri(`sip:${b}@h`);
          const same = one !== undefined && other !== undefined && sameUri(one, other);
          expect(!same || canonicalUser(a) === canonicalUser(b)).toBe(true);
        },
      ),
    );
  });
});

test('a URI is the same as itself, also with a parameter written twice', () => {
  const uri = parseUri('sip:a@h;tag=1;tag=2')!;
  expect(sameUri(uri, uri)).toBe(true);
  expect(sameUri(uri, parseUri('sip:a@h;tag=2')!)).toBe(false);
});

test('two URIs with thousands of parameters are compared in the time of their length', () => {
  const many = (count: number): string => Array.from({ length: count }, (_, at) => `;p${at}=x`).join('');
  const [one, other] = [parseUri(`sip:a@h${many(10_000)}`)!, parseUri(`sip:a@h;first${many(10_000)}`)!];
  const from = performance.now();
  expect(sameUri(one, other)).toBe(true);
  // the product of the lengths is a hundred million comparisons
  expect(performance.now() - from).toBeLessThan(500);
});
