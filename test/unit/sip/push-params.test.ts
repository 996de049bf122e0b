import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseContact } from '../../../lib/sip/contact.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { apnsApp, readPush, stripPush, stripPushParams, topicOf } from '../../../lib/sip/push-params.ts';

const piece = fc.constantFrom(
  'sip:',
  '1001@',
  '10.0.0.1',
  ':5060',
  ';',
  '=',
  '&',
  ':',
  '.',
  '%',
  '%3D',
  '<',
  '>',
  '"',
  ',',
  ' ',
  '?',
  'pn-provider',
  'PN-Provider',
  'apns',
  'apns.dev',
  'fcm',
  'webpush',
  'pn-prid',
  'pn-param',
  'pn-purr',
  'pn-tok',
  'pn-type',
  'app-id',
  'pn-uri',
  'fcm-token',
  'apple',
  'voip',
  'remote',
  'TEAM.bundle',
  'https://push',
  'ab12',
  'transport=tcp',
  'pn-silent=1',
);
const anyText = fc.oneof(
  fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join('')),
  fc.string({ unit: 'binary' }),
);
const secret = /;\s*(?:pn-(?!purr(?:[=;]|$))[^;]*|(?:app-id|fcm-token)(?:[=;]|$))/i;

describe('push parameters', () => {
  test('any Contact is read without a throw, and a push always has tokens', () => {
    fc.assert(
      fc.property(anyText, fc.option(anyText, { nil: undefined }), (text, mpush) => {
        const headers = mpush === undefined ? Headers.empty() : Headers.of([['X-MPUSH', mpush]]);
        for (const value of [text, `<${text}>`, `<sip:1001@10.0.0.1;${text}>`, `<sip:1001@10.0.0.1>;${text}`]) {
          const contact = parseContact(value);
          if (contact === undefined) continue;
          const ask = readPush(contact, headers);
          expect(['none', 'query', 'push', 'incomplete', 'malformed']).toContain(ask.is);
          if (ask.is !== 'push') continue;
          expect(ask.tokens.length).toBeGreaterThan(0);
          for (const { token } of ask.tokens) expect(token).not.toBe('');
          if (ask.provider === 'apns') for (const { token } of ask.tokens) expect(token).toMatch(/^[0-9A-Fa-f]+$/);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('none is left once they are stripped, and nothing else is lost', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const uri = `sip:1001@10.0.0.1;transport=tcp;${pieces.join('').replace(/[<>"@,?\s]/g, '')}`;
        const stripped = stripPush(uri);
        expect(stripped).not.toMatch(secret);
        expect(stripPush(stripped)).toBe(stripped);
        const kept = uri
          .split(';')
          .filter((part, at) => at === 0 || !/^(?:pn-(?!purr(?:=|$))|(?:app-id|fcm-token)(?:=|$))/i.test(part));
        expect(stripped).toBe(kept.join(';'));
        expect(stripPushParams(`<${uri}>;pn-prid=x;q=1`)).toBe(stripPushParams(`<${stripped}>;q=1`));
      }),
      { numRuns: 500 },
    );
  });

  test('stripping never throws', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(stripPush(text).length).toBeLessThanOrEqual(text.length);
        expect(stripPushParams(text)).toBeTypeOf('string');
      }),
      { numRuns: 500 },
    );
  });

  test('long values are read in time that grows with their length only', () => {
    const long = 'ab;pn-x=%41&:'.repeat(5000);
    const contact = parseContact(`<sip:1001@10.0.0.1;pn-provider=fcm;pn-param=p;pn-prid=${long}>`);
    expect(contact).toBeDefined();
    expect(contact && readPush(contact, Headers.empty()).is).toBe('push');
    expect(stripPush(contact?.uriText ?? '')).toBe('sip:1001@10.0.0.1');
  });
});

describe('an APNs app', () => {
  test.each([
    ['AB12CD34EF.com.example.phone.voip', 'AB12CD34EF', 'com.example.phone', ['voip']],
    ['T.com.example.phone.voip&remote', 'T', 'com.example.phone', ['voip', 'remote']],
    ['T.com.example.phone', 'T', 'com.example.phone', ['remote']],
    ['T.com.example.phone.', 'T', 'com.example.phone', []],
    ['.com.example.phone.voip', undefined, 'com.example.phone', ['voip']],
  ])('%s', (param, team, bundle, services) => {
    expect(apnsApp(param)).toEqual({ team, bundle, services });
  });

  test.each(['', 'TEAM', 'T.', 'T.a/b', 'T.voip&other', '../x'])('is not "%s"', (param) => {
    expect(apnsApp(param)).toBeUndefined();
  });

  test('has a topic for each kind of push', () => {
    expect(topicOf('T.com.example.phone.voip&remote', 'voip')).toBe('com.example.phone.voip');
    expect(topicOf('T.com.example.phone.voip&remote', 'alert')).toBe('com.example.phone');
    expect(topicOf('nonsense', 'voip')).toBeUndefined();
  });
});

describe('stripping', () => {
  test.each([
    ['sip:1001@h;transport=tls;pn-provider=apns;pn-param=T.b.voip;pn-prid=ab', 'sip:1001@h;transport=tls'],
    ['sip:1001@h;PN-Prid=ab;pn-purr=cd;ob', 'sip:1001@h;pn-purr=cd;ob'],
    ['sip:1001@h;pn-provider', 'sip:1001@h'],
    ['sip:1001@h;app-id=a;pn-type=apple;pn-tok=b;pn-uri=c;fcm-token=d?x=;pn-prid=1', 'sip:1001@h?x=;pn-prid=1'],
    ['sip:h;pn-silent=1;lr', 'sip:h;lr'],
    ['sip:bob;pn-x=1@h;lr', 'sip:bob;pn-x=1@h;lr'],
    ['tel:+49123', 'tel:+49123'],
  ])('%s', (uri, left) => {
    expect(stripPush(uri)).toBe(left);
  });

  test('works on header values: in the URI, after it, in lists, and on what cannot be read', () => {
    expect(stripPushParams('"B" <sip:a@h;pn-prid=x>;pn-param=y;expires=3, <sip:b@h>')).toBe(
      '"B" <sip:a@h>;expires=3, <sip:b@h>',
    );
    expect(stripPushParams('sip:a@h;pn-prid=x;q=1')).toBe('<sip:a@h>;q=1');
    expect(stripPushParams('<sip:edge;lr;pn-purr=ab>')).toBe('<sip:edge;lr;pn-purr=ab>');
    expect(stripPushParams('<sip:a@h;pn-prid=x')).toBe('<sip:a@h');
    expect(stripPushParams('<sip:a@h>')).toBe('<sip:a@h>');
  });
});
