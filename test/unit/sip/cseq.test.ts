import { expect, test } from 'vitest';
import { parseCSeq } from '../../../lib/sip/cseq.ts';

test('reads number and method', () => {
  expect(parseCSeq('1 INVITE')).toEqual({ number: 1, method: 'INVITE' });
  expect(parseCSeq('0009 \t INVITE')).toEqual({ number: 9, method: 'INVITE' });
  expect(parseCSeq('4294967295 FOO')).toEqual({ number: 4_294_967_295, method: 'FOO' });
});

test.each(['', 'INVITE', '1', '-1 INVITE', '4294967296 INVITE', '36893488147419103232 INVITE', '1 INV ITE', '1.5 BYE'])(
  '`%s` cannot be read',
  (value) => {
    expect(parseCSeq(value)).toBeUndefined();
  },
);
