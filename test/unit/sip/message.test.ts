import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Headers } from '../../../lib/sip/headers.ts';
import { parseMessage, printMessage, request, response } from '../../../lib/sip/message.ts';

describe('messages', () => {
  test('a request is read', () => {
    const message = parseMessage(
      'INVITE sip:bob@edge.test SIP/2.0\r\nTo: <sip:bob@edge.test>\r\nSubject: one\r\n two\r\n\r\nbody',
    );
    expect(message).toMatchObject({ kind: 'request', method: 'INVITE', uri: 'sip:bob@edge.test', body: 'body' });
    expect(message.headers.get('s')).toBe('one two');
  });

  test('a response is read, with any reason phrase or none', () => {
    expect(parseMessage('SIP/2.0 200 OK\r\nTo: x\r\n\r\n')).toMatchObject({
      kind: 'response',
      status: 200,
      reason: 'OK',
    });
    expect(parseMessage('SIP/2.0 100 \r\nTo: x\r\n\r\n')).toMatchObject({ kind: 'response', status: 100, reason: '' });
    expect(parseMessage('SIP/2.0 404\r\nTo: x\r\n\r\n')).toMatchObject({ kind: 'response', status: 404 });
  });

  test.each([
    ['no end of headers', 'INVITE sip:a SIP/2.0\r\nTo: x\r\n', 'no-end-of-headers'],
    ['no method', ' sip:a SIP/2.0\r\nTo: x\r\n\r\n', 'start-line'],
    ['white space in the URI', 'INVITE sip:a b SIP/2.0\r\nTo: x\r\n\r\n', 'start-line'],
    ['another version', 'INVITE sip:a SIP/7.0\r\nTo: x\r\n\r\n', 'version'],
    ['no version', 'INVITE sip:a\r\nTo: x\r\n\r\n', 'start-line'],
    ['a status above 699', 'SIP/2.0 4294967301 better\r\nTo: x\r\n\r\n', 'start-line'],
    ['a line without colon', 'INVITE sip:a SIP/2.0\r\nTo x\r\n\r\n', 'header'],
    ['a name that is no token', 'INVITE sip:a SIP/2.0\r\nT o: x\r\n\r\n', 'header'],
  ])('%s is malformed', (_, text, why) => {
    expect(parseMessage(text)).toMatchObject({ kind: 'malformed', why });
  });

  test('too many headers are malformed', () => {
    const text = `INVITE sip:a SIP/2.0\r\n${'X: y\r\n'.repeat(11)}\r\n`;
    expect(parseMessage(text, 10)).toMatchObject({ kind: 'malformed', why: 'header', method: 'INVITE' });
    expect(parseMessage(text, 11).kind).toBe('request');
  });

  test('what is printed is read again', () => {
    const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,10}$/);
    const fields = fc.array(fc.tuple(name, value), { minLength: 1 });
    fc.assert(
      fc.property(fields, fc.string({ unit: 'binary-ascii' }), fc.boolean(), (pairs, body, isRequest) => {
        const message = isRequest
          ? request('MESSAGE', 'sip:a@b', Headers.of(pairs), body)
          : response(200, 'OK', Headers.of(pairs), body);
        const again = parseMessage(printMessage(message));
        expect(again.kind).toBe(message.kind);
        expect(printMessage(again as typeof message)).toBe(printMessage(message));
      }),
    );
  });

  test('any text is survived', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(['request', 'response', 'malformed']).toContain(parseMessage(text).kind);
      }),
    );
  });
});
