import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BridgedDialogs } from '../../../lib/call/bridged-dialogs.ts';
import {
  type DialogNames,
  translateReferTo,
  translateReplaces,
  translateTargetDialog,
  twinNames,
} from '../../../lib/core/dialog-names.ts';

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

test('Target-Dialog names the twin by its own words, from the end it was named from', () => {
  expect(translateTargetDialog('c-phone;local-tag=phone;remote-tag=edge-p;x=1', translate)).toBe(
    'c-pbx;local-tag=edge-x;remote-tag=pbx;x=1',
  );
  expect(translateTargetDialog('c-phone;remote-tag=phone;local-tag=edge-p', translate)).toBe(
    'c-pbx;local-tag=pbx;remote-tag=edge-x',
  );
  for (const value of ['c-phone', 'c-phone;to-tag=edge-p;from-tag=phone', 'other;local-tag=a;remote-tag=b'])
    expect(translateTargetDialog(value, translate)).toBe(value);
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

test('the Contact by which the edge stands for somebody becomes that of whom it stands for, a user where it is a phone', () => {
  const edge = '<sip:192.0.2.1:5060;transport=tcp?Replaces=c-phone%3Bto-tag%3Dedge-p%3Bfrom-tag%3Dphone>';
  const left = (twin: object): string =>
    translateReferTo(edge, (names) => twinNames(names, phone, { ...pbx, ...twin }));
  const names = 'c-pbx%3Bto-tag%3Dpbx%3Bfrom-tag%3Dedge-x';
  expect(left({ remoteTarget: 'sip:bob@198.51.100.7' })).toBe(`<sip:bob@198.51.100.7?Replaces=${names}>`);
  expect(left({ remoteTarget: 'sip:bob@10.0.0.9', aor: 'bob@x' })).toBe(`<sip:bob@x?Replaces=${names}>`);
  expect(left({})).toBe(`<sip:192.0.2.1:5060;transport=tcp?Replaces=${names}>`);
});

test('a call that the PBX sends back to us has both its ends here: the receiver is the one who is named as such', () => {
  const dialogs = new BridgedDialogs();
  const middle = { callId: 'c-middle', localTag: 'edge-m', remoteTag: 'edge-n' };
  const callee = { callId: 'c-callee', localTag: 'edge-c', remoteTag: 'callee' };
  const other = { callId: 'c-middle', localTag: 'edge-n', remoteTag: 'edge-m' };
  dialogs.add(phone, middle);
  const forget = dialogs.add(other, callee);
  // what the first phone has written for the other one, after its first crossing
  const crossed = dialogs.translate({ callId: 'c-phone', toTag: 'edge-p', fromTag: 'phone' }) as DialogNames;
  expect(crossed).toMatchObject({ callId: 'c-middle', toTag: 'edge-n', fromTag: 'edge-m' });
  expect(dialogs.translate(crossed)).toMatchObject({ callId: 'c-callee', toTag: 'callee', fromTag: 'edge-c' });
  // and the other way
  const back = dialogs.translate({ callId: 'c-callee', toTag: 'edge-c', fromTag: 'callee' }) as DialogNames;
  expect(dialogs.translate(back)).toMatchObject({ callId: 'c-phone', toTag: 'phone', fromTag: 'edge-p' });
  forget();
  expect(dialogs.size).toBe(2);
});

test('a phone names users, not Contacts that lead nowhere from where it is read', () => {
  const dialogs = new BridgedDialogs((user) => (user === 'vsealed' ? 'alice@x' : undefined));
  expect(dialogs.towardsPhone('sip:vsealed@192.0.2.1:5060')).toBe('sip:alice@x');
  expect(dialogs.towardsPhone('sip:carol@x')).toBeUndefined();
  const side = { ...phone, remoteTarget: 'sip:alice@10.0.0.5:5060;ob', aor: 'alice@x' };
  expect(dialogs.ofPhone(side, 'sip:alice@10.0.0.5:5060')).toBe('sip:alice@x');
  expect(dialogs.ofPhone(side, 'sip:carol@10.0.0.5:5060')).toBeUndefined();
});
