/** What is let through to an app: RFC 4475 outcomes, and nothing drachtio-srf's own parser cannot read. */
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { read, readTag, type Request } from '../../../lib/engine/reading.ts';
import type { Flow } from '../../../lib/engine/transport/flow.ts';

const SrfMessage = createRequire(import.meta.url)('drachtio-srf/lib/sip-parser/message') as new (
  text: string,
) => {
  readonly headers: Record<string, string>;
  getParsedHeader(name: string): unknown;
};

const flow: Flow = {
  listener: {
    transport: 'udp',
    reliable: false,
    address: '127.0.0.1',
    port: 5060,
    host: '127.0.0.1',
    toldPort: 5060,
    hostTowards: () => '127.0.0.1',
  },
  remoteAddress: '198.51.100.20',
  remotePort: 40_001,
  open: true,
  send: () => true,
  end: () => {},
  watch: () => {},
  unwatch: () => {},
};

const base = {
  start: 'OPTIONS sip:bob@edge.test SIP/2.0',
  via: 'Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKa;rport',
  from: 'From: "Alice" <sip:alice@edge.test>;tag=a1',
  to: 'To: <sip:bob@edge.test>',
  callId: 'Call-ID: c1@10.0.0.1',
  cseq: 'CSeq: 1 OPTIONS',
  more: 'Max-Forwards: 70',
  length: 'Content-Length: 0',
};

function aMessage(change: Partial<typeof base> = {}, body = ''): string {
  const lines = Object.values({ ...base, ...change }).filter((line) => line !== '');
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

const outcome = (change: Partial<typeof base>, body = ''): string => {
  const found = read(aMessage(change, body), flow, 256);
  return found.is === 'refused' ? String(found.status) : found.is;
};

describe('reading', () => {
  test.each(['branch=z9hG4bKa\r;received=', 'branch=z9hG4bKa;received=\x01', 'branch=z9hG4bKa;received=\n;rport'])(
    'a control in the part of a Via that we write anew is refused as well: %j',
    (params) => {
      expect(outcome({ via: `Via: SIP/2.0/UDP 10.0.0.1:5070;${params}` })).toBe('400');
    },
  );

  test('a request keeps its text; only the source is written into the top Via', () => {
    const found = read(aMessage(), flow, 256) as Request;
    expect(found.is).toBe('request');
    expect(found.text).toBe(aMessage({ via: `${base.via}=40001;received=198.51.100.20` }));
    expect(found).toMatchObject({
      method: 'OPTIONS',
      callId: 'c1@10.0.0.1',
      fromTag: 'a1',
      toTag: '',
      cseq: { number: 1, method: 'OPTIONS' },
    });
  });

  test.each<[string, Partial<typeof base>, string]>([
    ['no Via', { via: '' }, 'unreadable'],
    ['Via without sent-by', { via: 'Via: SIP/2.0/UDP' }, 'unreadable'],
    ['no From', { from: '' }, '400'],
    ['no To', { to: '' }, '400'],
    ['no Call-ID', { callId: '' }, '400'],
    ['no CSeq', { cseq: '' }, '400'],
    ['[mismatch01] another method in CSeq', { cseq: 'CSeq: 1 INVITE' }, '400'],
    ['[scalar02] CSeq above 2^32-1', { cseq: 'CSeq: 36893488147419103232 OPTIONS' }, '400'],
    ['[badvers] version 7.0', { start: 'OPTIONS sip:bob@edge.test SIP/7.0' }, '505'],
    ['[ltgtruri] brackets around the Request-URI', { start: 'OPTIONS <sip:bob@edge.test> SIP/2.0' }, '400'],
    ['[lwsruri] white space in the Request-URI', { start: 'OPTIONS sip:bob@edge.test; lr SIP/2.0' }, '400'],
    ['[quotbal] an open quote', { to: 'To: "Mr. Bob <sip:bob@edge.test>' }, '400'],
    ['[ncl] negative Content-Length', { length: 'Content-Length: -999' }, '400'],
    ['[clerr] a body shorter than Content-Length', { length: 'Content-Length: 9999' }, '400'],
    ['[mcl01] two different Content-Lengths', { length: 'Content-Length: 0\r\nContent-Length: 5' }, '400'],
    ['[multi01] two To headers', { to: 'To: <sip:bob@edge.test>\r\nTo: <sip:eve@edge.test>' }, '400'],
    ['a NUL in a header', { more: 'Subject: a\0b' }, '400'],
    ['a lone CR in a header', { more: 'Subject: a\rb' }, '400'],
    ['a lone LF in a header', { more: 'Subject: a\nb: c' }, '400'],
    ['a bar in the Call-ID', { callId: 'Call-ID: a|b' }, '400'],
    ['a bar in the From tag', { from: 'From: <sip:a@b>;tag=x|y' }, '400'],
    ['[esc02] an escaped header name', { more: 'C%6Fntact: <sip:x@y>' }, '400'],
    [
      '[regbadct] a bare Contact with headers',
      { start: 'REGISTER sip:edge.test SIP/2.0', cseq: 'CSeq: 1 REGISTER', more: 'Contact: sip:a@b?Route=x' },
      '400',
    ],
    [
      'Contact * with Expires',
      { start: 'REGISTER sip:edge.test SIP/2.0', cseq: 'CSeq: 1 REGISTER', more: 'Contact: *\r\nExpires: 60' },
      '400',
    ],
    [
      'Contact * to remove all',
      { start: 'REGISTER sip:edge.test SIP/2.0', cseq: 'CSeq: 1 REGISTER', more: 'Contact: *\r\nExpires: 0' },
      'request',
    ],
    [
      '[inv2543] no tag, no branch, no Max-Forwards',
      { via: 'Via: SIP/2.0/UDP 10.0.0.1', from: 'From: <sip:a@b>', more: '' },
      'request',
    ],
    ['[lwsdisp] no space before the bracket', { from: 'From: caller<sip:caller@example.com>;tag=323' }, 'request'],
    [
      '[semiuri] a user part with semicolon',
      { start: 'OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0' },
      'request',
    ],
    [
      '[transports] unknown transports below',
      { more: 'Via: SIP/2.0/SCTP 10.0.0.2;branch=z9\r\nVia: SIP/2.0/UNKNOWN 10.0.0.3' },
      'request',
    ],
    [
      'compact names',
      { from: 'f: <sip:a@b>;tag=1', to: 't: <sip:a@b>', callId: 'i: 1', via: 'v: SIP/2.0/UDP h' },
      'request',
    ],
    ['[wsinv] a folded Via', { via: 'Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw' }, 'request'],
    ['[badinv01] empty parameters', { via: 'Via: SIP/2.0/UDP 192.0.2.15;;,;,,' }, '400'],
    [
      '[badvers] version 7.0 in Via too',
      { start: 'OPTIONS sip:bob@edge.test SIP/7.0', via: 'Via: SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw' },
      '505',
    ],
    ['an octet behind a backslash that an app could not read', { to: 'To: "\\\0" <sip:bob@edge.test>' }, '400'],
    [
      '[esc02] [intmeth] what no app will see may be odd: an escaped header name, a NUL behind a backslash',
      {
        start: 'RE%47IST%45R sip:x@y SIP/2.0',
        cseq: 'CSeq: 1 RE%47IST%45R',
        more: 'C%6Fntact: <sip:x@y>',
        to: 'To: "NUL:\\\0" <sip:bob@edge.test>',
      },
      'request',
    ],
    [
      'but no line may end in it',
      { start: 'A%41 sip:x@y SIP/2.0', cseq: 'CSeq: 1 A%41', to: 'To: "\\\n" <sip:bob@edge.test>' },
      '400',
    ],
    [
      '[intmeth] an odd but legal method',
      {
        start: "!interesting-Method0123456789_*+`.%indeed'~ sip:x@y SIP/2.0",
        cseq: "CSeq: 1 !interesting-Method0123456789_*+`.%indeed'~",
      },
      'request',
    ],
  ])('%s', (_, change, expected) => {
    expect(outcome(change)).toBe(expected);
  });

  test('[dblreq] octets behind Content-Length are cut off', () => {
    const found = read(aMessage({}, 'OPTIONS sip:x SIP/2.0\r\n\r\n'), flow, 256);
    expect(found.is === 'request' && found.text.endsWith('Content-Length: 0\r\n\r\n')).toBe(true);
  });

  test('[bigcode] [scalarlg] a response with numbers out of range is dropped', () => {
    expect(outcome({ start: 'SIP/2.0 4294967301 better not', cseq: 'CSeq: 1 OPTIONS' })).toBe('unreadable');
    expect(outcome({ start: 'SIP/2.0 200 OK', cseq: 'CSeq: 9292394834772304023312 OPTIONS' })).toBe('unreadable');
  });

  test('[unreason] [noreason] any reason phrase is taken', () => {
    expect(outcome({ start: 'SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe' })).toBe('response');
    expect(outcome({ start: 'SIP/2.0 100 ' })).toBe('response');
  });

  test('a header bomb is refused', () => {
    expect(outcome({ more: 'X: y\r\n'.repeat(300).trimEnd() })).toBe('400');
  });

  test('tags are found where they are', () => {
    expect(readTag('<sip:a@b>;tag=1')).toBe('1');
    expect(readTag('"a;tag=no" <sip:a@b;tag=no>;x=y;tag=yes')).toBe('yes');
    expect(readTag('sip:a@b;tag=1')).toBe('1');
    expect(readTag('<sip:a@b>')).toBe('');
    expect(readTag('"open <sip:a@b>')).toBeUndefined();
  });

  /** Messages that are nearly right are the dangerous ones. */
  const mutated = fc
    .tuple(
      fc.constantFrom(
        aMessage(),
        aMessage({ start: 'SIP/2.0 200 OK' }),
        aMessage({ start: 'REGISTER sip:a SIP/2.0', cseq: 'CSeq: 1 REGISTER', more: 'Contact: <sip:a@b>' }),
      ),
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.constantFrom('replace', 'insert', 'delete'),
          fc.constantFrom(
            '\r',
            '\n',
            '\r\n',
            '\0',
            ' ',
            '\t',
            ';',
            ',',
            '"',
            '<',
            '>',
            ':',
            '%',
            '|',
            '\xe2\x80\xa8',
            '\x85',
            '\xa0',
            'a',
            '__proto__: x\r\n',
          ),
        ),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
    )
    .map(([text, changes]) => {
      let done = text;
      for (const [place, how, what] of changes) {
        const at = place % (done.length + 1);
        if (how === 'insert') done = done.slice(0, at) + what + done.slice(at);
        else done = done.slice(0, at) + (how === 'replace' ? what : '') + done.slice(at + 1);
      }
      return done;
    });

  test('whatever is let through, srf can read', () => {
    fc.assert(
      fc.property(mutated, (text) => {
        const found = read(text, flow, 256);
        if (found.is !== 'request' && found.is !== 'response') return;
        const seen = new SrfMessage(Buffer.from(found.text, 'latin1').toString('utf8'));
        seen.getParsedHeader('to');
        seen.getParsedHeader('from');
        seen.getParsedHeader('cseq');
        if (found.is === 'request') expect(seen.headers['call-id']?.trim()).toBe(found.callId);
      }),
      { numRuns: Number(process.env.RUNS ?? 3000) },
    );
  });

  test('any octets are survived', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
        expect(['request', 'response', 'refused', 'unreadable']).toContain(
          read(Buffer.from(octets).toString('latin1'), flow, 256).is,
        );
      }),
    );
  });
});
