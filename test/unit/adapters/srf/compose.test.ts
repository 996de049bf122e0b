import fc from 'fast-check';
import { expect, test } from 'vitest';
import { composeRequest, composeResponse, fitsMetaLine } from '../../../../lib/adapters/srf/compose.ts';
import { reasonPhrase } from '../../../../lib/adapters/srf/reason-phrases.ts';
import { Headers } from '../../../../lib/sip/headers.ts';
import { parseMessage } from '../../../../lib/sip/message.ts';

test('[PN-FC-01] keeps header fields of one name on lines of their own, in order', () => {
  const headers = Headers.of([
    ['Feature-Caps', '*;+sip.pns="apns"'],
    ['X-Between', '1'],
    ['Feature-Caps', '*;+sip.pns="fcm"'],
  ]);
  expect(composeResponse(200, undefined, headers, '')).toBe(
    'SIP/2.0 200 OK\r\nFeature-Caps: *;+sip.pns="apns"\r\nX-Between: 1\r\nFeature-Caps: *;+sip.pns="fcm"\r\nContent-Length: 0\r\n\r\n',
  );
});

test('Path lines become one, because drachtio-server would turn their order round', () => {
  const headers = Headers.of([
    ['Path', '<sip:one;lr>'],
    ['X-A', '1'],
    ['Path', '<sip:two;lr>'],
  ]);
  expect(composeRequest('REGISTER', 'sip:a', headers, '')).toBe(
    'REGISTER sip:a SIP/2.0\r\nPath: <sip:one;lr>, <sip:two;lr>\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n',
  );
});

test('hides Contact and Expires from the server, not from who receives them', () => {
  const headers = Headers.of([
    ['Contact', '<sip:a@10.0.0.1>;expires=60'],
    ['Expires', '60'],
    ['Contact', '<sip:a@10.0.0.2>;expires=90'],
  ]);
  const text = composeResponse(200, undefined, headers, '', { hidesContact: true });
  expect(text).toBe(
    'SIP/2.0 200 OK\r\nm: <sip:a@10.0.0.1>;expires=60\r\nm: <sip:a@10.0.0.2>;expires=90\r\nContent-Length: 0\r\n\r\n',
  );
  const read = parseMessage(text);
  expect(read.kind === 'malformed' ? [] : read.headers.list('Contact')).toEqual(headers.list('Contact'));
});

test('no value can add a header, a line or a second message', () => {
  const hostile = fc.string({ unit: fc.constantFrom('\r', '\n', '\r\n', ':', ' ', 'a', '\0', '\u0085', '|') });
  fc.assert(
    fc.property(hostile, hostile, (value, reason) => {
      for (const text of [
        composeResponse(200, reason, Headers.of([['X-A', value]]), 'body'),
        composeRequest('INFO', 'sip:placeholder', Headers.of([['X-A', value]]), 'body') as string,
      ]) {
        const message = parseMessage(text);
        if (message.kind === 'malformed') return expect.unreachable(text);
        expect([...message.headers.entries()].map(([name]) => name)).toEqual(['X-A', 'Content-Type', 'Content-Length']);
        expect(message.body).toBe('body');
        expect(text.split('\r\n')).toHaveLength(6);
        expect(/[^\r]\n|\r[^\n]/.test(text)).toBe(false);
      }
    }),
  );
});

test('a request-URI or method that does not fit a start line is refused', () => {
  const none = Headers.empty();
  for (const uri of ['', 'sip:a b', 'sip:a\r\nX: y', 'sip:a\nb', 'sip:a\tb', 'sip:\0'])
    expect(composeRequest('INFO', uri, none, '')).toBeUndefined();
  for (const method of ['', 'IN FO', 'INFO\r\n']) expect(composeRequest(method, 'sip:a', none, '')).toBeUndefined();
  expect(composeRequest('INFO', 'sip:a', none, '')).toBe('INFO sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n');
});

test('a next hop with a field separator or a line break does not fit the first line of a frame', () => {
  expect(fitsMetaLine('sip:192.0.2.1:5060;transport=tcp')).toBe(true);
  for (const hop of ['sip:a|b', 'sip:a\r\n', 'sip:a b']) expect(fitsMetaLine(hop)).toBe(false);
});

test('leaves out what the engine makes by itself', () => {
  const headers = Headers.of([
    ['Via', 'SIP/2.0/UDP x'],
    ['Route', '<sip:x>'],
    ['Record-Route', '<sip:x>'],
    ['RSeq', '1'],
    ['Content-Length', '99'],
    ['Call-ID', 'c'],
    ['CSeq', '1 INFO'],
    ['From', '<sip:a>'],
    ['To', '<sip:b>'],
    ['Subject', 's'],
  ]);
  expect(composeResponse(200, undefined, headers, '')).toBe(
    'SIP/2.0 200 OK\r\nSubject: s\r\nContent-Length: 0\r\n\r\n',
  );
  expect(composeRequest('INFO', 'sip:a', headers, '')).toBe(
    'INFO sip:a SIP/2.0\r\nCall-ID: c\r\nCSeq: 1 INFO\r\nFrom: <sip:a>\r\nTo: <sip:b>\r\nSubject: s\r\nContent-Length: 0\r\n\r\n',
  );
});

test('a body without a type gets one, and its length in octets', () => {
  expect(composeResponse(200, undefined, undefined, 'v=0\r\n')).toContain(
    'Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n',
  );
  expect(composeResponse(200, undefined, undefined, 'abc')).toContain(
    'Content-Type: application/octet-stream\r\nContent-Length: 3',
  );
  const octets = Buffer.from(Uint8Array.from({ length: 256 }, (_, n) => n)).toString('latin1');
  expect(composeRequest('MESSAGE', 'sip:a', Headers.of([['Content-Type', 'application/x']]), octets)).toMatch(
    /Content-Length: 256\r\n\r\n/,
  );
  expect(composeRequest('MESSAGE', 'sip:a', Headers.of([['Content-Type', 'text/plain']]), '☎')).toContain(
    'Content-Length: 3\r\n\r\n\u00e2\u0098\u008e',
  );
});

test('header text goes out as UTF-8', () => {
  expect(composeRequest('INFO', 'sip:a', Headers.of([['Subject', 'Grüße']]), '')).toContain(
    'Subject: Gr\u00c3\u00bc\u00c3\u009fe\r\n',
  );
});

test('any status has words, known or not', () => {
  expect(reasonPhrase(555)).toBe('Push Notification Service Not Supported');
  expect(composeResponse(418, undefined, undefined, '')).toMatch(/^SIP\/2\.0 418 Client Error\r\n/);
  expect(composeResponse(699, "I'm a teapot", undefined, '')).toMatch(/^SIP\/2\.0 699 I'm a teapot\r\n/);
  for (let status = 100; status < 700; status++) expect(reasonPhrase(status)).not.toBe('');
});
