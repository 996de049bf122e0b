import { describe, expect, test } from 'vitest';
import {
  canBePushed,
  decideRegister,
  type RegisterDecision,
  type RegisterPolicy,
  shortestPushed,
} from '../../lib/core/register-decision.ts';
import { parseContact } from '../../lib/sip/contact.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { readPush } from '../../lib/sip/push-params.ts';

const accept: RegisterPolicy = {
  supports: (provider, param) =>
    provider === 'apns' && param === 'T.b.voip'
      ? 'ios'
      : provider === 'fcm' && param === 'p'
        ? 'android'
        : provider === 'webpush'
          ? 'web'
          : undefined,
  providers: ['apns', 'fcm', 'webpush'],
  unsupportedPush: 'accept',
  minExpires: 600,
  pushLeadSeconds: 300,
  slackSeconds: 30,
};
const reject: RegisterPolicy = { ...accept, unsupportedPush: 'reject' };
const apns = ';pn-provider=apns;pn-param=T.b.voip;pn-prid=ab';
const plain: RegisterDecision = { is: 'plain' };

function decide(
  params: string,
  { expires = 3600, indicated = [] as string[], after = '', policy = accept } = {},
): RegisterDecision {
  const contact = parseContact(`<sip:1001@10.0.0.7:49152${params}>${after}`);
  if (contact === undefined) throw new Error(params);
  return decideRegister({ ask: readPush(contact, Headers.empty()), expires, indicated }, policy);
}

describe('the decision table of REGISTER (modes M and R)', () => {
  test('[PN-REG-02] row 1: without pn-provider it is plain SIP, whatever is indicated', () => {
    expect(decide('')).toEqual(plain);
    expect(decide('', { indicated: ['apns'] })).toEqual(plain);
    expect(decide('', { expires: 60 })).toEqual(plain);
  });

  test('[PN-REG-10] row 2: a supported type is pushed and announced as the phone spells it', () => {
    expect(decide(apns)).toEqual({ is: 'push', app: 'ios', announce: 'apns', pnsreg: false });
    expect(decide(';pn-provider=firebase;pn-param=p;pn-prid=t')).toMatchObject({
      app: 'android',
      announce: 'firebase',
    });
  });

  test('[PN-WP-02] row 2: webpush needs no pn-param and minds none', () => {
    expect(decide(';pn-provider=webpush;pn-prid=https://p.example/a')).toMatchObject({ is: 'push', app: 'web' });
    expect(decide(';pn-provider=webpush;pn-param=x;pn-prid=https://p.example/a')).toMatchObject({
      is: 'push',
      app: 'web',
    });
  });

  test('[PN-REG-13] row 2: sip.pnsreg only for a phone that sent +sip.pnsreg', () => {
    expect(decide(apns, { after: ';+sip.pnsreg' })).toMatchObject({ pnsreg: true });
    expect(decide(apns)).toMatchObject({ pnsreg: false });
  });

  test('[DIA-05] row 2: a legacy phone is pushed and told nothing', () => {
    expect(decide(';app-id=p;pn-type=google;pn-tok=t', { after: ';+sip.pnsreg' })).toEqual({
      is: 'push',
      app: 'android',
      announce: undefined,
      pnsreg: false,
    });
  });

  test('[PN-REG-06] row 3: too short an expiry is 423, or plain by policy, never pushed', () => {
    expect(decide(apns, { expires: 60 })).toEqual({ is: 'refuse', status: 423, minExpires: 600 });
    expect(decide(apns, { expires: 60, policy: { ...accept, tooShort: 'accept-plain' } })).toEqual(plain);
  });

  test('[PN-INT-14] row 3: 423 names the minimum and is never sent for an hour or more', () => {
    const long = { ...accept, minExpires: 7200 };
    expect(decide(apns, { expires: 3599, policy: long })).toEqual({ is: 'refuse', status: 423, minExpires: 7200 });
    expect(decide(apns, { expires: 3600, policy: long })).toEqual(plain);
    expect(decide(apns, { expires: 7200, policy: long })).toMatchObject({ is: 'push' });
    expect(decide('', { expires: 30, policy: { ...accept, minPlainExpires: 60 } })).toEqual({
      is: 'refuse',
      status: 423,
      minExpires: 60,
    });
  });

  test('[PN-REG-07] row 3: too short is what ends before a push could lead to a refresh', () => {
    const times = { minExpires: 0, pushLeadSeconds: 120, slackSeconds: 30 };
    expect(canBePushed(150, times)).toBe(false);
    expect(canBePushed(600, times)).toBe(true);
    expect(shortestPushed(times)).toBe(151);
    expect(shortestPushed({ ...times, minExpires: 600 })).toBe(600);
    expect(decide(apns, { expires: 150, policy: { ...accept, ...times } })).toEqual({
      is: 'refuse',
      status: 423,
      minExpires: 151,
    });
    expect(decide(apns, { expires: 151, policy: { ...accept, ...times } })).toMatchObject({ is: 'push' });
  });

  test('[PN-REG-09] row 4: the same question is asked for the expiry that was granted', () => {
    expect(canBePushed(60, accept)).toBe(false);
    expect(canBePushed(331, accept)).toBe(true);
  });

  test.each([
    ';pn-provider=foo;pn-prid=x',
    ';pn-provider=apns;pn-prid=ab',
    ';pn-provider=apns;pn-param=T.other.voip;pn-prid=ab',
    ';pn-provider=fcm;pn-param=p;pn-prid',
  ])('[PN-REG-04] row 5: %s is accepted as an ordinary registration', (params) => {
    const decision = decide(params);
    expect(decision.is === 'plain' || decision.is === 'query').toBe(true);
  });

  test.each([
    ';pn-provider=foo;pn-prid=x',
    ';pn-provider=apns;pn-prid=ab',
    ';pn-provider=apns;pn-param=T.other.voip;pn-prid=ab',
  ])('[PN-REG-05] row 5: %s is 555 where nobody else could push it', (params) => {
    expect(decide(params, { policy: reject })).toEqual({ is: 'refuse', status: 555 });
  });

  test('[PN-PARAM-12] row 5: an app that is not configured is not pushed', () => {
    expect(decide(';pn-provider=apns;pn-param=T.other.voip;pn-prid=ab')).toEqual(plain);
  });

  test('[PN-QRY-02] row 6: a query for a supported type gets that type', () => {
    expect(decide(';pn-provider=fcm')).toEqual({ is: 'query', announce: ['fcm'] });
    expect(decide(';pn-provider=fcm;pn-param=p', { indicated: ['apns'] })).toEqual({ is: 'query', announce: ['fcm'] });
  });

  test('[DIA-01] row 6: in the words of the phone', () => {
    expect(decide(';pn-provider=apns.dev')).toEqual({ is: 'query', announce: ['apns.dev'] });
  });

  test('[PN-QRY-03] row 7: a query for another type passes when somebody pushes for the phone', () => {
    expect(decide(';pn-provider=foo', { indicated: ['bar'], policy: reject })).toEqual(plain);
  });

  test('[PN-QRY-04] row 8: a query for another type is plain, or 555 by policy', () => {
    expect(decide(';pn-provider=foo')).toEqual(plain);
    expect(decide(';pn-provider=foo', { policy: reject })).toEqual({ is: 'refuse', status: 555 });
  });

  test('[PN-QRY-05] row 8: never 555 unless configuration says that nobody else supports the type', () => {
    for (const params of [';pn-provider=foo', ';pn-provider=foo;pn-prid=x', ';pn-provider']) {
      expect(decide(params, { policy: { ...accept, providers: [] } })).toEqual(plain);
    }
  });

  test('[PN-QRY-06] row 9: a query for all gets every type', () => {
    expect(decide(';pn-provider')).toEqual({ is: 'query', announce: ['apns', 'fcm', 'webpush'] });
  });

  test('[PN-555-04] row 9: no type at all is 555 by policy', () => {
    expect(decide(';pn-provider', { policy: { ...reject, providers: [] } })).toEqual({ is: 'refuse', status: 555 });
  });

  test('[PN-REG-03] row 10: a proxy nearer to the phone pushes it', () => {
    expect(decide(apns, { indicated: ['apns'] })).toEqual(plain);
    expect(decide(';pn-provider=foo;pn-prid=x', { indicated: ['foo'], policy: reject })).toEqual(plain);
  });

  test.each(['', ';pn-provider=apns', ';pn-provider', apns, ';pn-provider=foo;pn-prid=x'])(
    '[PN-DEREG-01] row 11: expiry 0 removes, also with "%s"',
    (params) => {
      expect(decide(params, { expires: 0, policy: reject })).toEqual({ is: 'remove' });
    },
  );

  test('[PN-PARAM-05] a repeated parameter is 400', () => {
    expect(decide(';pn-provider=apns;pn-provider=fcm')).toEqual({ is: 'refuse', status: 400 });
  });

  test('[PN-555-03] a type that is supported is never 555', () => {
    expect(decide(apns, { policy: reject })).toMatchObject({ is: 'push' });
    expect(decide(apns, { policy: reject, expires: 60 })).toMatchObject({ status: 423 });
  });
});
