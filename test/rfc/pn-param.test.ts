import { describe, expect, test } from 'vitest';
import { type Contact, parseContact } from '../../lib/sip/contact.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { type PushAsk, readPush, stripPush, stripPushParams } from '../../lib/sip/push-params.ts';

function read(text: string): Contact {
  const contact = parseContact(text);
  if (contact === undefined) throw new Error(text);
  return contact;
}

const ask = (params: string, after = ''): PushAsk => readPush(read(`<sip:a@h${params}>${after}`), Headers.empty());
const tokenOf = (found: PushAsk): string | undefined => (found.is === 'push' ? found.tokens[0]?.token : undefined);
const fcm = (prid: string): PushAsk => ask(`;pn-provider=fcm;pn-param=p;pn-prid=${prid}`);

describe('push parameters (RFC 8599 8.7)', () => {
  test('[PN-PARAM-01] are read from the URI', () => {
    expect(ask(';pn-provider=apns;pn-param=T.com.example.voip;pn-prid=00fc13adff78512')).toEqual({
      is: 'push',
      provider: 'apns',
      providerAsSent: 'apns',
      environment: undefined,
      param: 'T.com.example.voip',
      tokens: [{ kind: 'voip', token: '00fc13adff78512' }],
      wakesItself: false,
      legacy: false,
    });
  });

  test('[PN-REG-02] without pn-provider there is nothing to do', () => {
    expect(ask('')).toEqual({ is: 'none' });
    expect(ask(';pn-prid=abc;pn-param=x')).toEqual({ is: 'none' });
  });

  test('[PN-PARAM-02] pn-provider alone asks for all types', () => {
    expect(ask(';pn-provider')).toEqual({ is: 'query', provider: undefined, providerAsSent: '' });
  });

  test('[PN-PARAM-03] an empty value is a missing one', () => {
    for (const prid of [';pn-prid', ';pn-prid=']) {
      expect(ask(`;pn-provider=fcm;pn-param=p${prid}`)).toEqual({
        is: 'query',
        provider: 'fcm',
        providerAsSent: 'fcm',
      });
    }
    expect(ask(';pn-provider=fcm;pn-param=;pn-prid=x')).toMatchObject({ is: 'incomplete', provider: 'fcm' });
  });

  test('[PN-PARAM-04] pn-provider= reads as pn-provider', () => {
    expect(ask(';pn-provider=')).toEqual(ask(';pn-provider'));
  });

  test('[PN-PARAM-05] one name twice is malformed', () => {
    expect(ask(';pn-provider=apns;pn-provider=fcm').is).toBe('malformed');
    expect(ask(';pn-provider=fcm;pn-param=p;pn-prid=a;PN-PRID=b').is).toBe('malformed');
  });

  test('[PN-PARAM-06] escaped and unescaped characters reach the push service as meant', () => {
    expect(tokenOf(fcm('ab:c_d-e'))).toBe('ab:c_d-e');
    expect(tokenOf(fcm('abc%3D%3D'))).toBe('abc==');
    expect(tokenOf(fcm("-_.!~*'()[]/:&+$"))).toBe("-_.!~*'()[]/:&+$");
  });

  test('[PN-PARAM-07] escapes are undone exactly once', () => {
    expect(tokenOf(fcm('x%2541'))).toBe('x%41');
  });

  test('[PN-PARAM-08] a raw = stays in the value', () => {
    expect(tokenOf(fcm('abc=='))).toBe('abc==');
  });

  test('[PN-PARAM-09] names have no case and no order', () => {
    expect(ask(';PN-Prid=a%2Db;pn-param=p;Pn-PROVIDER=fcm')).toEqual(ask(';pn-provider=fcm;pn-param=p;pn-prid=a-b'));
  });

  test('[PN-PARAM-10] the provider has no case, the token has', () => {
    expect(ask(';pn-provider=FCM;pn-param=p;pn-prid=aB')).toMatchObject({
      provider: 'fcm',
      providerAsSent: 'FCM',
      tokens: [{ kind: 'fcm', token: 'aB' }],
    });
  });

  test('[PN-PARAM-11] a private type is passed on by its name', () => {
    expect(ask(';pn-provider=Acme;pn-prid=x')).toMatchObject({
      is: 'push',
      provider: 'acme',
      tokens: [{ kind: 'webhook', token: 'x' }],
    });
  });

  test('[PN-PARAM-13] long values come through whole', () => {
    const url = `https://push.example.net/${'a'.repeat(3000)}`;
    expect(tokenOf(ask(`;pn-provider=webpush;pn-prid=${url}`))).toBe(url);
  });

  test('[PN-PARAM-14] unknown parameters disturb nothing', () => {
    const text = '<sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=x;pn-silent=1;pn-timeout=0;pn-msg-str=IM_MSG>';
    expect(tokenOf(readPush(read(text), Headers.empty()))).toBe('x');
    expect(read(text).text).toBe(text);
  });

  test('[PN-QRY-01] a provider without pn-prid is a query, with or without pn-param', () => {
    expect(ask(';pn-provider=fcm;pn-param=p')).toEqual({ is: 'query', provider: 'fcm', providerAsSent: 'fcm' });
  });

  test('[PN-FC-14] +sip.pnsreg counts with and without a value', () => {
    const params = ';pn-provider=fcm;pn-param=p;pn-prid=x';
    expect(ask(params, ';+sip.pnsreg')).toMatchObject({ wakesItself: true });
    expect(ask(params, ';+sip.pnsreg="120"')).toMatchObject({ wakesItself: true });
    expect(ask(params)).toMatchObject({ wakesItself: false });
  });
});

describe('push services', () => {
  test('[PN-APNS-01] pn-prid is the device token', () => {
    expect(tokenOf(ask(';pn-provider=apns;pn-param=T.b.voip;pn-prid=Ab01'))).toBe('Ab01');
  });

  test.each(['../x', 'xyz', 'ab%2Fcd', 'ab cd', `${'a'.repeat(201)}`])('[PN-APNS-04] "%s" is no APNs token', (prid) => {
    expect(ask(`;pn-provider=apns;pn-param=T.b.voip;pn-prid=${prid.replace(' ', '%20')}`)).toMatchObject({
      is: 'incomplete',
    });
  });

  test('[PN-APNS-05] the environment is left to configuration unless the phone says apns.dev', () => {
    expect(ask(';pn-provider=apns;pn-param=T.b.voip;pn-prid=ab')).toMatchObject({ environment: undefined });
    expect(ask(';pn-provider=apns.dev;pn-param=T.b.voip;pn-prid=ab')).toMatchObject({ environment: 'sandbox' });
  });

  test.each(['apns', 'fcm'])('[PN-REG-04] %s without pn-param lacks what is needed', (provider) => {
    expect(ask(`;pn-provider=${provider};pn-prid=ab`)).toMatchObject({ is: 'incomplete', provider });
  });

  test('[PN-FCM-01] pn-param is the project', () => {
    expect(ask(';pn-provider=fcm;pn-param=example-project;pn-prid=t:1')).toMatchObject({
      param: 'example-project',
      tokens: [{ kind: 'fcm', token: 't:1' }],
    });
  });

  test('[PN-FCM-02] a project number is taken as it is', () => {
    expect(ask(';pn-provider=fcm;pn-param=929724111839;pn-prid=t')).toMatchObject({ param: '929724111839' });
  });

  test('[PN-WP-01] pn-prid is the escaped subscription URI', () => {
    expect(ask(';pn-provider=webpush;pn-prid=https://push.example.net/p/v2/AbC%3Fx%3D1')).toMatchObject({
      tokens: [{ kind: 'webpush', token: 'https://push.example.net/p/v2/AbC?x=1' }],
    });
  });

  test('[PN-WP-02] pn-param is ignored for webpush', () => {
    expect(ask(';pn-provider=webpush;pn-param=x;pn-prid=https://p.example/a')).toMatchObject({
      is: 'push',
      param: undefined,
    });
  });

  test.each(['http://p.example/a', 'ftp://p.example/a', 'token', 'https://u@p.example/a', 'https://'])(
    '[PN-SEC-10] "%s" is no subscription',
    (prid) => {
      expect(ask(`;pn-provider=webpush;pn-prid=${prid.replace('@', '%40')}`)).toMatchObject({ is: 'incomplete' });
    },
  );
});

describe('what others see', () => {
  test('[PN-SEC-02] Contact, Refer-To and Record-Route values come without tokens', () => {
    const secret = ';pn-provider=apns;pn-param=T.b.voip;pn-prid=abcd';
    expect(stripPushParams(`<sip:a@h;transport=tls${secret}>;expires=3`)).toBe('<sip:a@h;transport=tls>;expires=3');
    expect(stripPushParams(`<sip:a@h${secret}?Replaces=x%3Bto-tag%3D1>`)).toBe('<sip:a@h?Replaces=x%3Bto-tag%3D1>');
    expect(stripPushParams(`<sip:p1;lr${secret}>, <sip:p2;lr>`)).toBe('<sip:p1;lr>, <sip:p2;lr>');
  });

  test('[PN-PROXY-19] the request-URI of a released request has none, and keeps pn-purr', () => {
    expect(stripPush('sip:1001@10.0.0.7:49152;transport=tls;pn-provider=apns;pn-param=x;pn-prid=y;pn-purr=z')).toBe(
      'sip:1001@10.0.0.7:49152;transport=tls;pn-purr=z',
    );
  });
});
