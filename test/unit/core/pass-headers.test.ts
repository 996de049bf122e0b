import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isOwnOfEachSide,
  passAck,
  passAnswer,
  passInvite,
  passProgress,
  passRequest,
  passStandalone,
} from '../../../lib/core/pass-headers.ts';
import { Headers } from '../../../lib/sip/headers.ts';

type Fields = readonly (readonly [string, string])[];
const of = (fields: Fields): Headers => Headers.of(fields);
const fields = (headers: Headers): string[] => [...headers.entries()].map(([name, value]) => `${name}: ${value}`);

const dialogFields: Fields = [
  ['Via', 'SIP/2.0/UDP x;branch=z9hG4bK1'],
  ['Record-Route', '<sip:p;lr>'],
  ['Max-Forwards', '70'],
  ['From', '"Alice" <sip:alice@x>;tag=a1'],
  ['To', '<sip:bob@y>'],
  ['Call-ID', 'c1'],
  ['CSeq', '1 INVITE'],
  ['Contact', '<sip:alice@10.0.0.1;pn-prid=secret>'],
  ['Content-Length', '3'],
];

/** name, value as it comes, value as it leaves (undefined: it stays behind), towards whom it matters */
const table: readonly (readonly [name: string, came: string, left: string | undefined])[] = [
  // end to end, known or not
  ['Subject', 'a, b;c="d"', 'a, b;c="d"'],
  ['X-Anything', ' kept  as is', ' kept  as is'],
  ['Content-Type', 'application/sdp', 'application/sdp'],
  ['Content-Disposition', 'session;handling=optional', 'session;handling=optional'],
  ['Diversion', '<sip:carol@x>;reason=no-answer', '<sip:carol@x>;reason=no-answer'],
  ['History-Info', '<sip:a@b>;index=1, <sip:c@d>;index=1.1', '<sip:a@b>;index=1, <sip:c@d>;index=1.1'],
  ['Privacy', 'id;user', 'id;user'],
  ['P-Asserted-Identity', '"A" <sip:a@b>, <tel:+123>', '"A" <sip:a@b>, <tel:+123>'],
  ['Allow', 'INVITE, BYE', 'INVITE, BYE'],
  ['Accept', 'application/sdp', 'application/sdp'],
  ['Session-Expires', '1800;refresher=uac', '1800;refresher=uac'],
  ['Min-SE', '90', '90'],
  ['Expires', '60', '60'],
  ['Proxy-Authenticate', 'Digest realm="r", nonce="n"', 'Digest realm="r", nonce="n"'],
  ['Proxy-Authorization', 'Digest username="a"', 'Digest username="a"'],
  ['Authorization', 'Digest username="a"', 'Digest username="a"'],
  ['User-Agent', 'Phone/1', 'Phone/1'],
  ['Replaces', 'x;to-tag=1;from-tag=2', 'x;to-tag=1;from-tag=2'],
  ['Refer-To', '<sip:a@b?Replaces=x>', '<sip:a@b?Replaces=x>'],
  ['Resource-Priority', 'q735.1', 'q735.1'],
  // option tags of one hop
  ['Supported', 'timer,  replaces', 'timer,  replaces'],
  ['Supported', '', ''],
  ['Supported', 'path, timer, outbound, gruu', 'timer'],
  ['Supported', 'path', undefined],
  ['Require', 'timer', 'timer'],
  ['Require', '100rel, timer', 'timer'],
  ['Require', '100rel', undefined],
  // never
  ['Route', '<sip:p;lr>', undefined],
  ['Path', '<sip:p;lr>', undefined],
  ['Service-Route', '<sip:p;lr>', undefined],
  ['Feature-Caps', '*;+sip.pns="apns"', undefined],
  ['RSeq', '1', undefined],
  ['RAck', '1 1 INVITE', undefined],
  ['Proxy-Require', 'x', undefined],
  ['X-MPUSH', 'i:a:b', undefined],
  ['pn-prid', 'secret', undefined],
  // a copy of a registered contact must not betray its token
  ['Refer-To', '<sip:a@b;pn-provider=apns;pn-prid=secret;x=1>', '<sip:a@b;x=1>'],
  ['History-Info', '<sip:a@b;pn-prid=secret>;index=1', '<sip:a@b>;index=1'],
];

test.each(table)('%s: %s', (name, came, left) => {
  const expected = left === undefined ? [] : [left];
  const headers = of([...dialogFields, ['Content-Type', 'x/y'], [name, came]]);
  const key = name === 'Content-Type' ? 'x-none' : name;
  for (const passed of [
    passInvite(headers, {}),
    passRequest(headers),
    passAnswer(headers),
    passProgress(headers, true),
    passStandalone(headers, {}),
  ]) {
    expect(passed.lines(key)).toEqual(key === 'x-none' ? [] : expected);
    expect(fields(passed).join()).not.toContain('secret');
  }
});

const token = fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/);
const value = fc.stringMatching(/^[ -~]{0,40}$/).map((text) => text.trim());
const special =
  /^(?:supported|require|replaces|join|refer-to|referred-by|reply-to|p-.*|remote-party-id|diversion|history-info|call-info|alert-info|error-info|pn-.*|content-.*|mime-version|privacy|.)$/i;

test('[EDGE-PRX-06] unknown headers pass unchanged and in order, those of one hop never do', () => {
  const unknown = fc.tuple(
    token.filter((name) => !isOwnOfEachSide(name) && !special.test(name)),
    value,
  );
  const own = fc.tuple(
    fc.constantFrom('Via', 'Route', 'Record-Route', 'Path', 'Contact', 'RSeq', 'RAck', 'Feature-Caps', 'i', 'm', 'v'),
    value,
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(unknown, own), { maxLength: 20 }), (list) => {
      const headers = of([...dialogFields, ...list]);
      const wanted = fields(of(list.filter(([name]) => !isOwnOfEachSide(name))));
      const made = /^(?:Max-Forwards|From|To|Call-ID|CSeq): /;
      for (const passed of [
        passInvite(headers, {}),
        passRequest(headers),
        passAnswer(headers),
        passProgress(headers, false),
        passStandalone(headers, {}),
      ]) {
        expect(fields(passed).filter((line) => !made.test(line))).toEqual(wanted);
      }
    }),
  );
});

describe('INVITE', () => {
  test('gets the names of its own leg', () => {
    expect(fields(passInvite(of(dialogFields), {}))).toEqual([
      'Max-Forwards: 69',
      'From: "Alice" <sip:alice@x>',
      'To: <sip:bob@y>',
    ]);
    expect(fields(passInvite(of(dialogFields), { to: '<sip:carol@z>' }))[2]).toBe('To: <sip:carol@z>');
  });

  test('loses push parameters of From and To', () => {
    const headers = of([
      ['From', '<sip:a@b;pn-prid=secret>;tag=1'],
      ['To', 'sip:c@d;tag=2'],
    ]);
    expect(fields(passInvite(headers, {}))).toEqual(['Max-Forwards: 70', 'From: <sip:a@b>', 'To: <sip:c@d>']);
  });

  test('[EDGE-PRX-05] counts hops', () => {
    const hops = (text: string): string | undefined => passInvite(of([['Max-Forwards', text]]), {}).get('max-forwards');
    expect([hops('70'), hops('1'), hops('0'), hops('0068'), hops('x')]).toEqual(['69', '0', '0', '67', '70']);
    // a number that does not fit counts as none (RFC 4475 3.1.2.4)
    expect([hops('255'), hops('256'), hops('99999999999')]).toEqual(['254', '70', '70']);
  });

  test('offers reliable provisionals only with an offer, whose answer need not travel in a PRACK', () => {
    expect(
      passInvite(
        of([
          ['Supported', '100rel, timer'],
          ['Content-Type', 'application/sdp'],
        ]),
        {},
      ).get('supported'),
    ).toBe('100rel, timer');
    expect(passInvite(of([['Supported', '100rel, timer']]), {}).get('supported')).toBe('timer');
  });

  test('[EDGE-AUTH-09] credentials pass to the PBX, those for the edge itself end here, and no phone sees any', () => {
    const forPbx = 'Digest username="a", realm="pbx.example.com", nonce="n", uri="sip:b@x", response="r"';
    const forEdge = 'Digest username="a", realm="home.example.com", nonce="n", uri="sip:b@x", response="r"';
    const headers = of([
      ['Proxy-Authorization', forEdge],
      ['Proxy-Authorization', forPbx],
    ]);
    const left = (options: Parameters<typeof passInvite>[1]) =>
      passInvite(headers, options).lines('proxy-authorization');
    expect(left({ from: 'phone', towards: 'upstream' })).toEqual([forEdge, forPbx]);
    expect(left({ from: 'phone', towards: 'upstream', realm: 'home.example.com' })).toEqual([forPbx]);
    expect(left({ from: 'phone', towards: 'phone' })).toEqual([]);
    expect(passRequest(headers, { from: 'phone', towards: 'phone' }).has('proxy-authorization')).toBe(false);
  });

  test('[EDGE-PRX-16] an identity a phone asserts does not cross the border', () => {
    const headers = of([
      ['P-Asserted-Identity', '<sip:president@x>'],
      ['P-Preferred-Identity', '<sip:a@x>'],
    ]);
    expect(passInvite(headers, { from: 'phone' }).has('p-asserted-identity')).toBe(false);
    expect(passInvite(headers, { from: 'phone' }).has('p-preferred-identity')).toBe(true);
  });

  test('[EDGE-PRX-16] nor does what a phone says of the way a call took, but where it sends the call elsewhere', () => {
    const headers = of([
      ['Remote-Party-ID', '<sip:president@x>;party=calling'],
      ['Diversion', '<sip:a@x>;reason=unconditional'],
      ['History-Info', '<sip:a@x>;index=1'],
    ]);
    const from = { from: 'phone', towards: 'upstream' } as const;
    expect(passInvite(headers, from).lines('diversion')).toEqual([]);
    expect(passRequest(headers, from).has('remote-party-id')).toBe(false);
    expect(passAnswer(headers, 200, from).has('history-info')).toBe(false);
    expect(passAnswer(headers, 302, from).get('diversion')).toBe('<sip:a@x>;reason=unconditional');
  });

  test('a phone is told who calls and by whom the call came, where the site wants that and Privacy does not forbid it', () => {
    const told = (privacy: string | undefined, keepsIdentities = false): readonly string[] => {
      const headers = of([
        ['P-Asserted-Identity', '<sip:a@x>'],
        ['P-Preferred-Identity', '<sip:b@x>'],
        ['Remote-Party-ID', '<sip:a@x>'],
        ['Diversion', '<sip:c@x>'],
        ['History-Info', '<sip:c@x>;index=1'],
        ...(privacy === undefined ? [] : [['Privacy', privacy] as const]),
      ]);
      const passed = passInvite(headers, { from: 'upstream', towards: 'phone', keepsIdentities });
      return [...passed.entries()].map(([name]) => name).slice(3);
    };
    expect(told(undefined)).toEqual(['P-Asserted-Identity', 'Remote-Party-ID', 'Diversion', 'History-Info']);
    expect(told('id; critical')).toEqual(['Diversion', 'History-Info', 'Privacy']);
    expect(told('history')).toEqual(['P-Asserted-Identity', 'Remote-Party-ID', 'Privacy']);
    expect(told('header;id')).toEqual(['Privacy']);
    expect(told('none')).toEqual(['P-Asserted-Identity', 'Remote-Party-ID', 'Diversion', 'History-Info', 'Privacy']);
    expect(told(undefined, true)).toEqual([]);
  });

  test('an identity that is to be hidden is not told to a phone (RFC 3325 7)', () => {
    const headers = of([
      ['P-Asserted-Identity', '<sip:a@x>'],
      ['Privacy', 'user;id'],
    ]);
    expect(passInvite(headers, { towards: 'phone' }).has('p-asserted-identity')).toBe(false);
    expect(passInvite(headers, { towards: 'upstream' }).has('p-asserted-identity')).toBe(true);
    expect(
      passInvite(of([['P-Asserted-Identity', '<sip:a@x>']]), { towards: 'phone' }).has('p-asserted-identity'),
    ).toBe(true);
  });

  test('Replaces and Refer-To are exchanged for the twin', () => {
    const translate = () => ({ callId: 'twin', toTag: 't', fromTag: 'f' });
    const headers = of([
      ['Replaces', 'x;to-tag=1;from-tag=2'],
      ['Refer-To', '<sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>'],
      ['Target-Dialog', 'x;local-tag=1;remote-tag=2'],
    ]);
    const passed = passRequest(headers, { translate });
    expect(passed.get('replaces')).toBe('twin;to-tag=t;from-tag=f');
    expect(passed.get('target-dialog')).toBe('twin;local-tag=t;remote-tag=f');
    expect(passed.get('refer-to')).toBe('<sip:a@b?Replaces=twin%3Bto-tag%3Dt%3Bfrom-tag%3Df>');
  });
});

describe('answers', () => {
  test('a redirection is nothing without its Contacts', () => {
    const headers = of([
      ['Contact', '<sip:a@b;pn-prid=secret>'],
      ['Contact', '<sip:c@d>'],
    ]);
    expect(passAnswer(headers, 302).lines('contact')).toEqual(['<sip:a@b>', '<sip:c@d>']);
    expect(passAnswer(headers, 485).lines('contact')).toHaveLength(2);
    expect(passAnswer(headers, 200).lines('contact')).toEqual([]);
    expect(passAnswer(headers, 486).lines('contact')).toEqual([]);
  });

  test('a provisional without its body says nothing about one', () => {
    const headers = of([
      ['Content-Type', 'application/sdp'],
      ['Content-Disposition', 'early-session'],
      ['P-Early-Media', 'sendrecv'],
    ]);
    expect(fields(passProgress(headers, false))).toEqual(['P-Early-Media: sendrecv']);
    expect(fields(passProgress(headers, true))).toHaveLength(3);
  });
});

test('an ACK carries what describes its body, no credentials', () => {
  const headers = of([
    ...dialogFields,
    ['Content-Type', 'application/sdp'],
    ['Authorization', 'x'],
    ['Proxy-Authorization', 'y'],
    ['X-A', '1'],
  ]);
  expect(fields(passAck(headers))).toEqual(['Content-Type: application/sdp', 'X-A: 1']);
});

test('a standalone request keeps the names of its transaction', () => {
  expect(fields(passStandalone(of(dialogFields), { to: '<sip:z@z>' }))).toEqual([
    'Max-Forwards: 69',
    'From: "Alice" <sip:alice@x>;tag=a1',
    'To: <sip:z@z>',
    'Call-ID: c1',
    'CSeq: 1 INVITE',
  ]);
});

test('credentials for the edge itself end there, those for a proxy beyond it pass, and a phone gets none at all', () => {
  const headers = of([
    ['Proxy-Authorization', 'Digest realm="ours", response="1"'],
    ['Proxy-Authorization', 'Digest realm="theirs", response="2"'],
    ['Authorization', 'Digest realm="ours", response="3"'],
  ]);
  const values = (passed: Headers): readonly string[] =>
    passed.lines('Proxy-Authorization').map((line) => line.slice(-2, -1));
  expect(values(passRequest(headers, { realm: 'ours' }))).toEqual(['2']);
  expect(values(passRequest(headers))).toEqual(['1', '2']);
  const atPhone = passInvite(headers, { towards: 'phone' });
  expect([values(atPhone), atPhone.has('Authorization')]).toEqual([[], true]);
});
