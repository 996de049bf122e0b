import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headerKey, Headers, split, splitAtCommas, trimBlank } from '../../../lib/sip/headers.ts';

describe('Headers', () => {
  const some = (): Headers =>
    Headers.of([
      ['v', 'a'],
      ['Via', 'b, c'],
      ['m', '<sip:x>'],
      ['X-Any', '1'],
      ['x-any', '2'],
    ]);

  test('[EDGE-TRN-10] names match without case and in their compact form', () => {
    expect(headerKey('M')).toBe('contact');
    expect(headerKey('CoNtAcT')).toBe('contact');
    expect(some().get('VIA')).toBe('a');
    expect(some().lines('via')).toEqual(['a', 'b, c']);
    expect(some().list('via')).toEqual(['a', 'b', 'c']);
    expect(some().count('x-ANY')).toBe(2);
    expect(some().has('expires')).toBe(false);
  });

  test('prints known names as they are usually written, unknown ones as received', () => {
    expect(some().print()).toBe('Via: a\r\nVia: b, c\r\nContact: <sip:x>\r\nX-Any: 1\r\nx-any: 2\r\n');
  });

  test('prepend, set, replaceFirst and delete change what they say', () => {
    expect(some().prepend('Via', 'z').lines('Via')).toEqual(['z', 'a', 'b, c']);
    expect(some().prepend('Route', 'r').print().startsWith('Route: r\r\n')).toBe(true);
    expect(some().set('via', 'only').lines('Via')).toEqual(['only']);
    expect(some().set('Expires', '1').get('expires')).toBe('1');
    expect(some().replaceFirst('via', 'n').lines('Via')).toEqual(['n', 'b, c']);
    expect(some().delete('X-Any').size).toBe(3);
  });

  test('positions give name, key and value', () => {
    const headers = some();
    expect([headers.keyAt(2), headers.nameAt(2), headers.valueAt(2)]).toEqual(['contact', 'Contact', '<sip:x>']);
    expect([...headers.entries()].length).toBe(headers.size);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('a header called %s is a header', (name) => {
    expect(headerKey(name)).toBe(name.toLowerCase());
    expect(Headers.of([[name, 'x']]).get(name)).toBe('x');
  });

  test('an escaped name is noticed', () => {
    expect(Headers.of([['C%6Fntact', 'x']]).hasEscapedName()).toBe(true);
    expect(some().hasEscapedName()).toBe(false);
  });

  test('a copy is independent', () => {
    const headers = some();
    headers.copy().delete('via');
    expect(headers.count('via')).toBe(2);
  });
});

describe('splitting', () => {
  test('takes white space of SIP away, never half a letter', () => {
    expect(trimBlank(' \t a b\r\n ')).toBe('a b');
    const octets = Buffer.from('voil\u00e0').toString('latin1');
    expect(trimBlank(octets)).toBe(octets);
    expect(splitAtCommas(`${octets} , b`)).toEqual([octets, 'b']);
  });

  test('leaves quotes and brackets whole', () => {
    expect(splitAtCommas('"a,b" <sip:x,y;z>;q=1, <sip:c>')).toEqual(['"a,b" <sip:x,y;z>;q=1', '<sip:c>']);
    expect(splitAtCommas('"a\\",b", c')).toEqual(['"a\\",b"', 'c']);
    expect(split(';a="x;y";b', ';')).toEqual(['a="x;y"', 'b']);
  });

  test('joins again to the same pieces', () => {
    const piece = fc.stringMatching(/^[a-z<>;=]{1,8}$/).filter((text) => !/[<>]/.test(text));
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1 }), (pieces) => {
        expect(splitAtCommas(pieces.join(' , '))).toEqual(pieces);
      }),
    );
  });
});

test('a value of nothing but blanks holds no values', () => {
  expect(splitAtCommas('')).toEqual([]);
  expect(splitAtCommas(' \t')).toEqual([]);
  expect(splitAtCommas(' , ')).toEqual([]);
});
