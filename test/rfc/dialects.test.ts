import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseContact } from '../../lib/sip/contact.ts';
import { Headers } from '../../lib/sip/headers.ts';
import {
  type Dialect,
  dialects,
  type PushAsk,
  readPush,
  stripPush,
  stripPushParams,
  topicOf,
} from '../../lib/sip/push-params.ts';

function ask(contact: string, mpush?: string, understood?: readonly Dialect[]): PushAsk {
  const parsed = parseContact(contact);
  if (parsed === undefined) throw new Error(contact);
  return readPush(parsed, mpush === undefined ? Headers.empty() : Headers.of([['X-MPUSH', mpush]]), understood);
}

const all = (...without: readonly Dialect[]): readonly Dialect[] => dialects.filter((one) => !without.includes(one));

/** A phone that says everything in a header field of its own. */
function said(name: string, value: string, understood?: readonly Dialect[]): PushAsk {
  const contact = parseContact('<sip:a@h>');
  if (contact === undefined) throw new Error('no contact');
  return readPush(contact, Headers.of([[name, value]]), understood);
}

const hex = 'ab12'.repeat(16);
const other = 'CD34'.repeat(16);
const extras =
  ';pn-silent=1;pn-timeout=0;pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf';
const bothTokens = [
  { kind: 'voip', token: hex },
  { kind: 'alert', token: other },
];

describe('client dialects', () => {
  test('[PN-APNS-02] PJSIP sample (D2)', () => {
    expect(
      ask(`<sip:1001@10.0.0.7:5060;ob;pn-provider=apns;pn-param=AB12CD34EF.com.example.phone.voip;pn-prid=${hex}>`),
    ).toMatchObject({
      is: 'push',
      provider: 'apns',
      param: 'AB12CD34EF.com.example.phone.voip',
      tokens: [{ kind: 'voip', token: hex }],
      wakesItself: false,
      legacy: false,
    });
  });

  test('[DIA-03] Linphone iOS, current (D3): a token for each service', () => {
    expect(
      ask(
        `<sip:1001@10.0.0.7;pn-prid=${hex}:voip&${other}:remote;pn-provider=apns;pn-param=ABCD1234.org.linphone.phone.voip&remote${extras}>`,
      ),
    ).toMatchObject({ is: 'push', provider: 'apns', environment: undefined, tokens: bothTokens });
  });

  test('[DIA-01] Linphone debug build (D3): apns.dev is the sandbox, echoed as sent', () => {
    expect(
      ask(
        `<sip:a@h;pn-prid=${hex}:voip&${other}:remote;pn-provider=apns.dev;pn-param=ABCD1234.org.linphone.phone.voip&remote${extras}>`,
      ),
    ).toMatchObject({ provider: 'apns', providerAsSent: 'apns.dev', environment: 'sandbox', tokens: bothTokens });
  });

  test('[DIA-02] Linphone 4.4 (D4): the other order says the same', () => {
    const found = ask(
      `<sip:a@h;pn-prid=${other}:remote&${hex}:voip;pn-provider=apns;pn-param=ABCD1234.org.linphone.phone.remote&voip>`,
    );
    expect(found).toMatchObject({ is: 'push', tokens: [...bothTokens].reverse() });
    expect(topicOf('ABCD1234.org.linphone.phone.remote&voip', 'voip')).toBe('org.linphone.phone.voip');
    expect(topicOf('ABCD1234.org.linphone.phone.remote&voip', 'alert')).toBe('org.linphone.phone');
  });

  test.each([
    ['T.org.linphone.phone.voip', `${hex}:voip`, 'voip'],
    ['T.org.linphone.phone.voip', hex, 'voip'],
    ['T.org.linphone.phone.remote', `${hex}:remote`, 'alert'],
    ['T.org.linphone.phone.remote', hex, 'alert'],
    ['T.org.linphone.phone', hex, 'alert'],
    ['T.org.linphone.phone', `${hex}:remote`, 'alert'],
  ])('[DIA-02] one service (D5): %s with %s', (param, prid, kind) => {
    expect(ask(`<sip:a@h;pn-provider=apns;pn-param=${param};pn-prid=${prid}>`)).toMatchObject({
      is: 'push',
      tokens: [{ kind, token: hex }],
    });
  });

  test.each([
    ['T.org.linphone.phone.voip&remote', hex],
    ['T.org.linphone.phone.voip&remote', `${hex}&${other}`],
    ['T.org.linphone.phone.voip&remote', `${hex}:voip&${other}:voip`],
    ['T.org.linphone.phone.voip&remote', `${hex}:voip&${other}:toast`],
    ['T.org.linphone.phone.voip', `${hex}:voip&${other}:remote`],
    ['T.org.linphone.phone.voip', `${hex}:remote`],
    ['T.org.linphone.phone.', hex],
    ['T', hex],
  ])('[DIA-03] %s with %s lacks what is needed', (param, prid) => {
    expect(ask(`<sip:a@h;pn-provider=apns;pn-param=${param};pn-prid=${prid}>`)).toMatchObject({
      is: 'incomplete',
      provider: 'apns',
    });
  });

  test('[PN-FCM-02] Linphone Android (D6): the project number and a token with a colon', () => {
    expect(
      ask('<sip:a@h;pn-prid=dQw4:APA91b_-x;pn-provider=fcm;pn-param=929724111839;pn-silent=1;pn-timeout=0>'),
    ).toMatchObject({
      provider: 'fcm',
      param: '929724111839',
      tokens: [{ kind: 'fcm', token: 'dQw4:APA91b_-x' }],
    });
  });

  test.each([
    ['.voip.dev', 'sandbox', 'voip', 'org.linphone.phone.voip'],
    ['.voip.prod', 'production', 'voip', 'org.linphone.phone.voip'],
    ['.voip', 'production', 'voip', 'org.linphone.phone.voip'],
    ['.dev', 'sandbox', 'alert', 'org.linphone.phone'],
  ] as const)('[DIA-04] Linphone iOS, legacy (D7): app-id ending %s', (ending, environment, kind, topic) => {
    const found = ask(`<sip:a@h;app-id=org.linphone.phone${ending};pn-type=apple;pn-tok=${hex}${extras}>`);
    expect(found).toMatchObject({
      is: 'push',
      provider: 'apns',
      environment,
      legacy: true,
      tokens: [{ kind, token: hex }],
    });
    expect(found.is === 'push' && topicOf(found.param ?? '', kind === 'voip' ? 'voip' : 'alert')).toBe(topic);
  });

  test.each(['google', 'firebase', 'android'])('[DIA-04] Linphone Android, legacy (D8): %s is fcm', (type) => {
    expect(ask(`<sip:a@h;app-id=929724111839;pn-type=${type};pn-tok=t:1;pn-timeout=0;pn-silent=1>`)).toMatchObject({
      provider: 'fcm',
      param: '929724111839',
      legacy: true,
      tokens: [{ kind: 'fcm', token: 't:1' }],
    });
  });

  test('[DIA-04] Windows Phone (D8) is a type of its own', () => {
    expect(ask('<sip:a@h;app-id=x;pn-type=wp10;pn-tok=t>')).toMatchObject({
      is: 'push',
      provider: 'wp10',
      param: 'x',
      legacy: true,
    });
  });

  test.each([
    ['firebase', 'fcm'],
    ['android', 'fcm'],
    ['apple', 'apns'],
    ['Apple', 'apns'],
  ])('[DIA-06] wrong provider name %s (D9) is %s, echoed as sent', (sent, provider) => {
    expect(ask(`<sip:a@h;pn-provider=${sent};pn-param=T.b.voip;pn-prid=ab>`)).toMatchObject({
      is: 'push',
      provider,
      providerAsSent: sent,
      legacy: false,
    });
    expect(ask(`<sip:a@h;pn-provider=${sent}>`)).toEqual({ is: 'query', provider, providerAsSent: sent });
  });

  test('[DIA-07] parameters outside the brackets (D10)', () => {
    const contact = `<sip:a@h;transport=ws>;pn-provider=apns;pn-param=T.b.voip;pn-prid="${hex}";expires=600`;
    expect(ask(contact)).toMatchObject({ is: 'push', tokens: [{ kind: 'voip', token: hex }], legacy: false });
    expect(parseContact(contact)?.text).toBe(contact);
    expect(ask(`sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=t`)).toMatchObject({ is: 'push', provider: 'fcm' });
    expect(ask(contact, undefined, all('outside-brackets'))).toEqual({ is: 'none' });
  });

  test('[DIA-07] those inside the brackets win', () => {
    expect(ask('<sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=in>;pn-provider=apns;pn-prid=out')).toMatchObject({
      tokens: [{ token: 'in' }],
    });
  });

  test('[DIA-08] Mizutech (D12): the token begins after the second colon', () => {
    expect(ask('<sip:a@h>', `i:com.example.phone:${hex}`)).toMatchObject({
      is: 'push',
      provider: 'apns',
      param: '.com.example.phone',
      legacy: true,
      tokens: [{ kind: 'alert', token: hex }],
    });
    expect(ask('<sip:a@h>', 'i:com.example.phone:fcm:token')).toMatchObject({ is: 'incomplete', provider: 'apns' });
    expect(ask('<sip:a@h>', 'nonsense')).toEqual({ is: 'none' });
    expect(ask('<sip:a@h>', `i:com.example.phone:${hex}`, all('x-mpush'))).toEqual({ is: 'none' });
  });

  test('[DIA-08] Mizutech on Android says `a`', () => {
    expect(said('X-MPUSH', 'a:com.example.phone:dQw4:APA91b')).toMatchObject({
      is: 'push',
      provider: 'fcm',
      param: 'com.example.phone',
      legacy: true,
      tokens: [{ kind: 'fcm', token: 'dQw4:APA91b' }],
    });
  });

  test.each(['X-Push', 'x-p-push', 'portsip-push'])('[DIA-04] PortSIP: %s', (name) => {
    const value = (os: string, token: string, calls = 'true'): string =>
      `device-os=${os};device-uid=${token};allow-call-push=${calls};allow-message-push=true;app-id=com.example.phone`;
    const ios = { is: 'push', provider: 'apns', legacy: true };
    expect(said(name, value('ios', hex))).toMatchObject({
      ...ios,
      param: '.com.example.phone.voip',
      tokens: [{ kind: 'voip', token: hex }],
    });
    expect(said(name, value('ios', `${hex}|${other}`))).toMatchObject({ ...ios, tokens: bothTokens });
    expect(said(name, value('ios', `|${other}`))).toMatchObject({ ...ios, tokens: [{ kind: 'alert', token: other }] });
    expect(said(name, value('android', 'dQw4:APA91b_-x'))).toMatchObject({
      provider: 'fcm',
      param: 'com.example.phone',
      tokens: [{ kind: 'fcm', token: 'dQw4:APA91b_-x' }],
    });
    // no pushes for calls; no token; no known system; not understood here
    expect(said(name, value('ios', hex, 'false'))).toEqual({ is: 'none' });
    expect(said(name, value('ios', ''))).toMatchObject({ is: 'incomplete' });
    expect(said(name, value('symbian', hex))).toEqual({ is: 'none' });
    expect(said(name, value('ios', hex), all('x-push'))).toEqual({ is: 'none' });
  });

  test('[DIA-09] what stands in the Contact wins over every header field', () => {
    const contact = parseContact('<sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=t>');
    if (contact === undefined) throw new Error('no contact');
    const fields = Headers.of([
      ['X-MPUSH', `i:com.example.phone:${hex}`],
      ['X-Push', `device-os=ios;device-uid=${hex};app-id=com.example.phone`],
    ]);
    expect(readPush(contact, fields)).toMatchObject({ provider: 'fcm', tokens: [{ token: 't' }] });
  });

  test('[DIA-10] a private parameter beside the RFC ones (D13) changes nothing', () => {
    expect(ask('<sip:a@h;pn-prid=t;pn-provider=fcm;pn-param=p;fcm-token=u>')).toEqual(
      ask('<sip:a@h;pn-prid=t;pn-provider=fcm;pn-param=p>'),
    );
  });

  test('[DIA-04] pn-uri of the draft (D14), with and without quotes', () => {
    const tokens = [{ kind: 'webhook', token: 'https://push.example/a' }];
    expect(ask('<sip:a@h;pn-type=acme;pn-uri="https://push.example/a">')).toMatchObject({
      is: 'push',
      provider: 'acme',
      tokens,
      legacy: true,
    });
    expect(ask('<sip:a@h;pn-type=acme;pn-uri=https://push.example/a>')).toMatchObject({ tokens });
    expect(ask('<sip:a@h>;pn-type=acme;pn-uri="https://push.example/a"')).toMatchObject({ tokens });
  });

  test('[DIA-09] RFC parameters win over legacy ones', () => {
    expect(ask(`<sip:a@h;app-id=x;pn-type=google;pn-tok=old;pn-provider=fcm;pn-param=p;pn-prid=new>`)).toMatchObject({
      legacy: false,
      tokens: [{ kind: 'fcm', token: 'new' }],
    });
  });

  test('[DIA-05] legacy parameters alone are marked as such', () => {
    expect(ask('<sip:a@h;app-id=x;pn-type=google;pn-tok=t>')).toMatchObject({ legacy: true });
    expect(ask('<sip:a@h;app-id=x;pn-type=google;pn-tok=t>', undefined, all('legacy'))).toEqual({
      is: 'none',
    });
  });

  test('[DIA-11] none of the names is left after stripping', () => {
    const uri = `sip:a@h;app-id=x;pn-type=apple;pn-tok=${hex};pn-uri=y;fcm-token=z;pn-silent=1;pn-purr=keep;lr`;
    expect(stripPush(uri)).toBe('sip:a@h;pn-purr=keep;lr');
    expect(stripPushParams(`<sip:a@h>;pn-type=acme;pn-uri="https://push.example/a";q=1`)).toBe('<sip:a@h>;q=1');
    expect(stripPushParams(`<sip:a@h;pn-type=acme;pn-uri="https://push.example/a;b">`)).toBe('<sip:a@h>');
  });
});

describe('whatever a phone sends', () => {
  const word = fc.oneof(
    fc.constantFrom(
      ...[
        'pn-provider',
        'pn-param',
        'pn-prid',
        'PN-PRID',
        'pn-type',
        'pn-tok',
        'pn-uri',
        'app-id',
        'apns',
        'apns.dev',
        'fcm',
      ],
      ...[
        ';',
        '=',
        '&',
        ':',
        '.',
        '%',
        '%41',
        '"',
        '<',
        '>',
        '?',
        '|',
        ',',
        'voip',
        'remote',
        'device-os=ios',
        'device-uid=',
      ],
    ),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );
  const text = fc.array(word, { maxLength: 20 }).map((words) => words.join(''));

  test('[PN-PARAM-08] nothing is thrown, and a token that is found is never empty', () => {
    fc.assert(
      fc.property(text, text, text, (inside, after, field) => {
        const contact = parseContact(`<sip:a@h;${inside}>;${after}`) ?? parseContact('<sip:a@h>');
        if (contact === undefined) return;
        const headers = Headers.of([
          ['X-MPUSH', field],
          ['X-Push', field],
        ]);
        const found = readPush(contact, headers);
        expect(['none', 'query', 'push', 'incomplete', 'malformed']).toContain(found.is);
        if (found.is !== 'push') return;
        expect(found.tokens.length).toBeGreaterThan(0);
        for (const { token } of found.tokens) expect(token).not.toBe('');
      }),
      { numRuns: 3000 },
    );
  });

  test('[DIA-11] nothing that asks for pushes is left after stripping', () => {
    fc.assert(
      fc.property(text, text, (inside, after) => {
        const once = stripPushParams(`<sip:a@h;${inside}>;${after}`);
        const contact = parseContact(once);
        if (contact !== undefined) expect(readPush(contact, Headers.empty()).is).toBe('none');
      }),
      { numRuns: 3000 },
    );
  });

  const escaped = (value: string): string =>
    [...Buffer.from(value, 'latin1')]
      .map((octet) => String.fromCharCode(octet))
      .map((c) => (/[A-Za-z0-9\-_.!~*'()[\]/:&+$]/.test(c) ? c : `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`))
      .join('');
  const value = fc
    .array(fc.integer({ min: 0x21, max: 0xff }), { minLength: 1, maxLength: 40 })
    .map((octets) => String.fromCharCode(...octets));
  const hexToken = fc.stringMatching(/^[0-9a-fA-F]{1,64}$/);

  test('[PN-PARAM-06] [PN-PARAM-07] what is printed as RFC 8599 says is read as it was meant', () => {
    fc.assert(
      fc.property(value, value, (param, prid) => {
        expect(ask(`<sip:a@h;pn-provider=fcm;pn-param=${escaped(param)};pn-prid=${escaped(prid)}>`)).toMatchObject({
          param,
          tokens: [{ kind: 'fcm', token: prid }],
        });
      }),
    );
  });

  test('[DIA-03] every dialect of one phone with two tokens says the same', () => {
    fc.assert(
      fc.property(hexToken, hexToken, (voip, remote) => {
        const tokens = [
          { kind: 'voip', token: voip },
          { kind: 'alert', token: remote },
        ];
        const bundle = 'com.example.phone';
        const asks = [
          ask(`<sip:a@h;pn-provider=apns;pn-param=T.${bundle}.voip&remote;pn-prid=${voip}:voip&${remote}:remote>`),
          ask(`<sip:a@h>;pn-provider=apns;pn-param=T.${bundle}.voip&remote;pn-prid="${voip}:voip&${remote}:remote"`),
          said('X-Push', `device-os=ios;device-uid=${voip}|${remote};app-id=${bundle}`),
        ];
        for (const found of asks) {
          expect(found).toMatchObject({ is: 'push', provider: 'apns', tokens });
          const param = found.is === 'push' ? (found.param ?? '') : '';
          expect([topicOf(param, 'voip'), topicOf(param, 'alert')]).toEqual([`${bundle}.voip`, bundle]);
        }
      }),
    );
  });
});
