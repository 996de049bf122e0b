import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BadFrame, frame, FrameReader, parsePayload, textOf } from '../../../../lib/engine/control/frames.ts';

function readAll(reader: FrameReader, chunks: readonly (Buffer | string)[]): string[] {
  const payloads: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let payload = reader.next(); payload !== undefined; payload = reader.next()) payloads.push(textOf(payload));
  }
  return payloads;
}

const octets = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 200,
});

describe('control frames', () => {
  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(octets, { maxLength: 8 }), fc.array(fc.nat()), (payloads, places) => {
        const stream = Buffer.from(payloads.map(frame).join(''), 'latin1');
        const cuts = [0, ...places.map((place) => place % (stream.length + 1)), stream.length].toSorted(
          (a, b) => a - b,
        );
        const chunks = cuts.slice(1).map((end, at) => stream.subarray(cuts[at], end));
        expect(readAll(new FrameReader(1000), chunks)).toEqual(payloads);
        const texts = chunks.map((chunk) => chunk.toString('latin1'));
        expect(readAll(new FrameReader(1000), texts)).toEqual(payloads);
        const mixed = chunks.map((chunk, at) => (at % 2 === 0 ? chunk : chunk.toString('latin1')));
        expect(readAll(new FrameReader(1000), mixed)).toEqual(payloads);
        const late = new FrameReader(1000);
        for (const payload of payloads) late.push(frame(payload));
        expect(readAll(late, [Buffer.alloc(0)])).toEqual(payloads);
      }),
    );
  });

  test('a length of 0 is ignored', () => {
    expect(readAll(new FrameReader(100), [Buffer.from('0#3#abc0#')])).toEqual(['abc']);
  });

  test('zeros in front of a length are refused however the stream is cut', () => {
    const stream = `${'0'.repeat(20)}3#abc`;
    for (const chunks of [[stream], stream.split('')])
      expect(() =>
        readAll(
          new FrameReader(100),
          chunks.map((chunk) => Buffer.from(chunk)),
        ),
      ).toThrow(BadFrame);
  });

  test.each(['x#abc', '#abc', '12a#abc', '101#', ' 3#abc'])('`%s` is refused', (text) => {
    expect(() => readAll(new FrameReader(100), [Buffer.from(text)])).toThrow(BadFrame);
    expect(() => readAll(new FrameReader(100), [text])).toThrow(BadFrame);
  });

  test('endless zeros before the length are refused', () => {
    expect(() => readAll(new FrameReader(100), [Buffer.from('0'.repeat(50))])).toThrow(BadFrame);
  });

  test('any octets are read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.array(octets), (chunks) => {
        try {
          readAll(
            new FrameReader(100),
            chunks.map((chunk) => Buffer.from(chunk, 'latin1')),
          );
        } catch (fault) {
          expect(fault).toBeInstanceOf(BadFrame);
        }
      }),
    );
  });

  test('meta line and message are taken apart at the first CRLF', () => {
    expect(parsePayload('id|sip|||sip:a\r\nOPTIONS sip:a SIP/2.0\r\n\r\n')).toEqual({
      tokens: ['id', 'sip', '', '', 'sip:a'],
      message: 'OPTIONS sip:a SIP/2.0\r\n\r\n',
    });
    expect(parsePayload('id|ping')).toEqual({ tokens: ['id', 'ping'], message: '' });
  });
});

describe('a frame that comes in its parts', () => {
  const parts = { meta: 'id|sip|', message: 'ACK' };

  test('is given as it is, between texts that are frames', () => {
    const reader = new FrameReader(100);
    reader.push(frame('one'));
    reader.pushFrame(parts);
    reader.push(frame('two'));
    expect([reader.next(), reader.next(), reader.next(), reader.next()]).toEqual(['one', parts, 'two', undefined]);
    expect(parsePayload(parts)).toEqual(parsePayload(textOf(parts)));
  });

  test('is part of the stream where a frame before it is not whole', () => {
    const reader = new FrameReader(100);
    reader.push('3#o');
    reader.pushFrame(parts);
    // its length stands where the rest should be
    expect(reader.next()).toBe('o12');
    expect(() => reader.next()).toThrow(BadFrame);
  });

  test('is refused when it is too long', () => {
    const reader = new FrameReader(11);
    reader.pushFrame(parts);
    expect(() => reader.next()).toThrow(BadFrame);
  });
});
