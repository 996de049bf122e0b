import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DialogNames, translateReferTo, translateReplaces, twinNames } from '../../../lib/core/dialog-names.ts';

const phone = { callId: 'c-phone', localTag: 'edge-p', remoteTag: 'phone' };
const pbx = { callId: 'c-pbx', localTag: 'edge-x', remoteTag: 'pbx' };
const translate = (names: DialogNames): DialogNames | undefined => twinNames(names, phone, pbx);

test('a phone that transfers names the call as the far end knows it', () => {
  // written by the phone for whoever holds the other end: to-tag is the edge's tag on the phone's side
  expect(twinNames({ callId: 'c-phone', toTag: 'edge-p', fromTag: 'phone' }, phone, pbx)).toEqual({
    callId: 'c-pbx',
    toTag: 'pbx',
    fromTag: 'edge-x',
  });
  expect(twinNames({ callId: 'c-phone', toTag: 'phone', fromTag: 'edge-p' }, phone, pbx)).toEqual({
    callId: 'c-pbx',
    toTag: 'edge-x',
    fromTag: 'pbx',
  });
});

test('what is not ours stays as it is', () => {
  for (const names of [
    { callId: 'other', toTag: 'edge-p', fromTag: 'phone' },
    { callId: 'c-phone', toTag: 'edge-p', fromTag: 'stranger' },
  ]) {
    expect(translate(names)).toBeUndefined();
  }
  for (const value of [
    '',
    ';',
    'c-phone',
    'c-phone;to-tag=edge-p',
    'other;to-tag=a;from-tag=b',
    'c-phone ;to-tag = x',
  ]) {
    expect(translateReplaces(value, translate)).toBe(value);
  }
});

test('going there and back again is the same dialog', () => {
  fc.assert(
    fc.property(fc.boolean(), (receiver) => {
      const names = receiver
        ? { callId: 'c-phone', toTag: 'edge-p', fromTag: 'phone' }
        : { callId: 'c-phone', toTag: 'phone', fromTag: 'edge-p' };
      expect(twinNames(twinNames(names, phone, pbx) as DialogNames, pbx, phone)).toEqual(names);
    }),
  );
});

test('Replaces keeps its other parameters', () => {
  expect(translateReplaces('c-phone;from-tag=phone;to-tag=edge-p;early-only', translate)).toBe(
    'c-pbx;to-tag=pbx;from-tag=edge-x;early-only',
  );
});

test('Refer-To: only the embedded Replaces changes', () => {
  expect(
    translateReferTo(
      '"Carol" <sip:carol@x;method=INVITE?Subject=hi&Replaces=c-phone%3Bto-tag%3Dedge-p%3Bfrom-tag%3Dphone>;p=1',
      translate,
    ),
  ).toBe('"Carol" <sip:carol@x;method=INVITE?Subject=hi&Replaces=c-pbx%3Bto-tag%3Dpbx%3Bfrom-tag%3Dedge-x>;p=1');
  for (const value of [
    '<sip:carol@x>',
    'sip:carol@x',
    '<sip:carol@x?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>',
    '<sip:carol@x?Replaces=%zz>',
    '<broken',
  ]) {
    expect(translateReferTo(value, translate)).toBe(value);
  }
});
