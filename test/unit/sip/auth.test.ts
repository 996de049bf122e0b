import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { authParam, parseAuth, printAuth, quote, unquote } from '../../../lib/sip/auth.ts';

describe('authentication values', () => {
  test('are taken apart at commas outside of quotes', () => {
    const auth = parseAuth('Digest username="bob, \\"b\\"",realm = "x" , nc=00000001,qop=auth, uri="sip:h;a=1,2"');
    expect(auth?.scheme).toBe('Digest');
    expect(auth && ['username', 'REALM', 'nc', 'qop', 'uri', 'none'].map((name) => authParam(auth, name))).toEqual([
      'bob, "b"',
      'x',
      '00000001',
      'auth',
      'sip:h;a=1,2',
      undefined,
    ]);
  });

  test('tolerate stray commas and a scheme alone', () => {
    expect(parseAuth('Digest ,, a=1,')?.params).toHaveLength(1);
    expect(parseAuth('Negotiate')).toEqual({ scheme: 'Negotiate', params: [] });
  });

  test.each([
    '',
    ',',
    'Digest a',
    'Digest a="x',
    'Digest a="x"b',
    'Digest a=1 b=2',
    'Dig"est',
    'Digest =1',
    'Basic QWxh/ZGRpbg==',
  ])('are not "%s"', (text) => {
    expect(parseAuth(text)).toBeUndefined();
  });

  const token = fc.stringMatching(/^[A-Za-z0-9\-.!%*_+`'~]{1,12}$/);
  const param = fc.oneof(
    fc.record({ name: token, value: fc.string(), quoted: fc.constant(true) }),
    fc.record({ name: token, value: token, quoted: fc.constant(false) }),
  );

  test('come back as they were printed', () => {
    fc.assert(
      fc.property(token, fc.array(param, { maxLength: 8 }), (scheme, params) => {
        expect(parseAuth(printAuth({ scheme, params }))).toEqual({ scheme, params });
      }),
    );
  });

  test('quotes come off as they went on', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(unquote(quote(text))).toBe(text);
      }),
    );
  });

  test('any text is read or refused, in time that grows with its length only', () => {
    const piece = fc.constantFrom('Digest ', 'a', '=', '"', '\\', ',', ' ', '\t', 'realm="x"');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          const read = parseAuth(text);
          expect(read === undefined || read.scheme !== '').toBe(true);
        },
      ),
    );
  });
});
