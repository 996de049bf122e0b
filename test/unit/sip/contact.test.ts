import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { askedExpires, type Contact, parseContact, parseContacts } from '../../../lib/sip/contact.ts';
import { Headers } from '../../../lib/sip/headers.ts';

const read = (value: string): Contact => {
  const contact = parseContact(value);
  if (contact === undefined) throw new Error(`cannot be read: ${value}`);
  return contact;
};

describe('a Contact', () => {
  test('is taken apart', () => {
    const text =
      '"Bob, \\"b\\"" <sip:1001@10.0.0.7:49152;transport=tls>;+sip.instance="<urn:uuid:0C6B6A5E>";reg-id=1;q=0.25;expires=3600';
    expect(read(text)).toMatchObject({
      text,
      uriText: 'sip:1001@10.0.0.7:49152;transport=tls',
      instanceId: 'urn:uuid:0c6b6a5e',
      regId: 1,
      q: 250,
      expires: 3600,
    });
  });

  test('has no more than it says', () => {
    const contact = read('sip:1001@10.0.0.7');
    expect(contact.q).toBe(1000);
    expect(contact).not.toHaveProperty('expires');
    expect(contact).not.toHaveProperty('instanceId');
    expect(contact).not.toHaveProperty('regId');
  });

  test('without brackets keeps its parameters outside of the URI', () => {
    const contact = read('sip:1001@10.0.0.7;expires=60;transport=tcp');
    expect(contact.uriText).toBe('sip:1001@10.0.0.7');
    expect(contact.expires).toBe(60);
  });

  test.each([
    ['abc', 3600],
    ['-1', 3600],
    ['', 3600],
    ['99999999999999999999', 3600],
    ['4294967296', 3600],
    ['4294967295', 0xffff_ffff],
    ['00000000000060', 60],
    ['0', 0],
  ])('reads expires=%s as %d', (text, seconds) => {
    expect(read(`<sip:a@h>;expires=${text}`).expires).toBe(seconds);
  });

  test.each([
    ['1', 1000],
    ['1.000', 1000],
    ['0', 0],
    ['0.5', 500],
    ['0.001', 1],
    ['1.1', 1000],
    ['.5', 1000],
    ['much', 1000],
  ])('reads q=%s as %d', (text, q) => {
    expect(read(`<sip:a@h>;q=${text}`).q).toBe(q);
  });

  test.each(['0', '2147483648', 'x', ''])('has no reg-id when it is "%s"', (text) => {
    expect(read(`<sip:a@h>;reg-id=${text}`)).not.toHaveProperty('regId');
  });

  test('of another scheme is kept as text', () => {
    expect(read('<tel:+4912345>')).toMatchObject({ uri: undefined, uriText: 'tel:+4912345' });
  });

  test.each(['<sip:>', '<sip:a@h', 'hello', '<>', '<sip:a@h b>', '"x <sip:a@h>', '<sip:a@h>x', ''])(
    'is not "%s"',
    (text) => {
      expect(parseContact(text)).toBeUndefined();
    },
  );
});

describe('the Contacts of a message', () => {
  const of = (...values: string[]) => parseContacts(Headers.of(values.map((value) => ['Contact', value])));

  test('come from every line and from lists', () => {
    const contacts = of('<sip:a@h>, "x, y" <sip:b@h;a=1,2>', 'sip:c@h');
    expect(contacts).toHaveLength(3);
  });

  test('none, star and nonsense are told apart', () => {
    expect(of()).toEqual([]);
    expect(of('*')).toBe('*');
    expect(of('')).toBe('malformed');
    expect(of('<sip:a@h>', '<sip:b@')).toBe('malformed');
  });

  test('ask for their own expiry, else that of the message, else the default', () => {
    const headers = Headers.of([['Expires', '600']]);
    expect(askedExpires(read('<sip:a@h>;expires=60'), headers, 3600)).toBe(60);
    expect(askedExpires(read('<sip:a@h>'), headers, 3600)).toBe(600);
    expect(askedExpires(read('<sip:a@h>'), Headers.empty(), 3600)).toBe(3600);
    expect(askedExpires(read('<sip:a@h>'), Headers.of([['Expires', 'soon']]), 3600)).toBe(3600);
  });

  test('any text is read or refused', () => {
    const piece = fc.constantFrom(
      '<',
      '>',
      '"',
      '\\',
      ';',
      ',',
      '=',
      '*',
      ' ',
      'sip:',
      'a@h',
      'q=',
      'expires=',
      '+sip.instance=',
      '%',
      '[',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          const contacts = of(text);
          if (typeof contacts === 'string') {
            expect(['malformed', '*']).toContain(contacts);
            return;
          }
          expect(contacts.length).toBeLessThanOrEqual(text.length);
          for (const contact of contacts) expect(parseContact(contact.text)).toEqual(contact);
        },
      ),
    );
  });
});
