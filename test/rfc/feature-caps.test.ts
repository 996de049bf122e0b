import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PushFeatures, printFeatureCaps, readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import { Headers } from '../../lib/sip/headers.ts';

const read = (...values: string[]): readonly PushFeatures[] =>
  readFeatureCaps(Headers.of(values.map((value) => ['Feature-Caps', value])));

describe('Feature-Caps', () => {
  test('[PN-FC-04] has a star, plus signs and quotes', () => {
    expect(printFeatureCaps({ pns: 'apns', pnsreg: 180 })).toBe('*;+sip.pns="apns";+sip.pnsreg="180"');
  });

  test('[PN-QRY-11] of a query says no more than the type', () => {
    expect(printFeatureCaps({ pns: 'apns' })).toBe('*;+sip.pns="apns"');
  });

  test('[PN-FC-02] keeps all indicators of one type in one value', () => {
    expect(printFeatureCaps({ pns: 'webpush', vapid: 'BAbc', pnsreg: 130, pnspurr: 'ab12' })).toBe(
      '*;+sip.pns="webpush";+sip.vapid="BAbc";+sip.pnsreg="130";+sip.pnspurr="ab12"',
    );
  });

  test('[PN-FC-11] never has a character outside of the grammar, whatever the phone called its provider', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (pns) => {
        expect(printFeatureCaps({ pns })).toMatch(/^\*;\+sip\.pns="[A-Za-z0-9\-.%*_+'~`]*"$/);
      }),
    );
  });

  test('[PN-FC-13] is read without a star, in any order, with several values and unknown indicators', () => {
    expect(read('+sip.pns="fcm";+sip.pnsreg="130"')).toEqual([{ pns: 'fcm', pnsreg: 130 }]);
    expect(
      read('*;+g.x;+sip.vapid="BA";+sip.PNS="webpush" , *;+sip.pns="apns"', '*;+other="x"', '*;+sip.pnsreg="9"'),
    ).toEqual([{ pns: 'webpush', vapid: 'BA' }, { pns: 'apns' }]);
    expect(read('*;+sip.pns="apns,fcm"')).toEqual([{ pns: 'apns' }, { pns: 'fcm' }]);
    expect(read('*;+sip.pns=apns;+sip.pnsreg="soon"')).toEqual([{ pns: 'apns' }]);
  });

  test('comes back as it was printed', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9\-.%*_+'~`]{1,20}$/);
    const features = fc.record(
      { pns: word, vapid: word, pnsreg: fc.nat(999_999_999), pnspurr: word },
      { requiredKeys: ['pns'] },
    );
    fc.assert(
      fc.property(fc.array(features, { maxLength: 3 }), (list) => {
        expect(read(...list.map(printFeatureCaps))).toEqual(list);
      }),
    );
  });

  test('any text is read', () => {
    const piece = fc.constantFrom('*', ';', '+sip.pns', '=', '"', ',', '\\', '<', '>', 'apns', ' ');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          expect(read(text).every(({ pns }) => pns !== '')).toBe(true);
        },
      ),
    );
  });
});
