import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type FrameEvent, StreamFraming } from '../../../../lib/engine/transport/stream-framing.ts';

const aMessage = (body: string, length: string | number = body.length, name = 'Content-Length'): string =>
  `MESSAGE sip:bob@edge.test SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\n${name}: ${length}\r\n\r\n${body}`;

function feed(chunks: readonly string[], max = 65_535): FrameEvent[] {
  const framing = new StreamFraming(max);
  return chunks.flatMap((chunk) => framing.push(chunk));
}

/** The text cut at any places. */
function cut(text: string, places: readonly number[]): string[] {
  const at = [0, ...places.map((place) => place % (text.length + 1)), text.length].toSorted((a, b) => a - b);
  return at.slice(1).map((end, before) => text.slice(at[before], end));
}

describe('[EDGE-TRN-06] [EDGE-TRN-07] framing of a stream', () => {
  const octets = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 300,
  });

  test('finds the same messages however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(octets, { maxLength: 5 }), fc.array(fc.nat()), (bodies, places) => {
        const messages = bodies.map((body) => aMessage(body));
        const events = feed(cut(messages.join(''), places));
        expect(events).toEqual(messages.map((text) => ({ is: 'message', text })));
      }),
    );
  });

  test('keep-alives between messages are answered, a single CRLF is not', () => {
    const text = aMessage('x');
    fc.assert(
      fc.property(fc.array(fc.nat()), (places) => {
        expect(feed(cut(`\r\n\r\n${text}\r\n${text}\r\n\r\n`, places))).toEqual([
          { is: 'ping' },
          { is: 'message', text },
          { is: 'message', text },
          { is: 'ping' },
        ]);
      }),
    );
  });

  test('the compact form and folded lines count', () => {
    expect(feed([aMessage('abc', 3, 'l')])).toEqual([{ is: 'message', text: aMessage('abc', 3, 'l') }]);
    const folded = aMessage('abc', '\r\n  3');
    expect(feed([folded])).toEqual([{ is: 'message', text: folded }]);
  });

  test.each(['-1', 'abc', '1e3', '', '99999999999'])('Content-Length `%s` ends the stream', (length) => {
    expect(feed([aMessage('abc', length)]).map((event) => event.is)).toEqual(['broken']);
  });

  test('a missing or contradicting Content-Length ends the stream', () => {
    expect(feed(['OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n'])[0]?.is).toBe('broken');
    expect(feed(['OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\nl: 5\r\n\r\n'])[0]?.is).toBe('broken');
  });

  test('what cannot be SIP is refused before its end', () => {
    expect(feed(['GET / HTTP/1.1\r\n'])[0]?.is).toBe('broken');
    expect(feed(['\u0016\u0003\u0001\u0002'])[0]?.is).toBe('broken');
    expect(feed(['hello world\r\n\r\n'])[0]?.is).toBe('broken');
  });

  test('a head or body above the limit ends the stream without being held', () => {
    expect(feed([`OPTIONS sip:a SIP/2.0\r\nX: ${'a'.repeat(500)}`], 400)[0]?.is).toBe('broken');
    expect(feed([aMessage('abc', 5000)], 400)[0]?.is).toBe('broken');
  });

  test('nothing is taken after the stream broke', () => {
    expect(feed(['nonsense\r\n\r\n', aMessage('x')]).map((event) => event.is)).toEqual(['broken']);
  });

  test('any octets are survived', () => {
    fc.assert(
      fc.property(fc.array(octets), (chunks) => {
        expect(feed(chunks).filter((event) => event.is === 'broken').length).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('[EDGE-TRN-06] what cannot be framed is told at the same place however it was cut', () => {
  const octetByOctet = (text: string, max?: number): FrameEvent[] => feed(text.split(''), max);

  test.each([
    ['a CR within a request line', 'INFO sip:a SIP/2.0\r6Via: x\r\nl: 0\r\n\r\n'],
    ['a CR within a status line', 'SIP/2.0 200 OK\r-Length: 0\r\n\r\n'],
    ['a long line that is none', `${'{'.repeat(200)}`],
    ['a head longer than a message may be', `OPTIONS sip:a SIP/2.0\r\nl: 0\r\nX: ${'y'.repeat(600)}\r\n\r\n`],
  ])('%s', (_, text) => {
    expect(octetByOctet(text, 500)).toEqual([{ is: 'broken', head: '' }]);
    expect(feed([text], 500)).toEqual([{ is: 'broken', head: '' }]);
  });
});
