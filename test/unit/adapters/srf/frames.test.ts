import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader, frame, toOctets } from '../../../../lib/adapters/srf/frames.ts';

const octetString = fc
  .uint8Array({ minLength: 1, maxLength: 60 })
  .map((octets) => Buffer.from(octets).toString('latin1'));

function cut(stream: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (stream.length + 1)))].sort((a, b) => a - b);
  return [...places, stream.length].map((end, n) => stream.subarray(n === 0 ? 0 : (places[n - 1] as number), end));
}

test('reads the same payloads however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(octetString, { maxLength: 8 }),
      fc.array(fc.nat(1000), { maxLength: 20 }),
      (payloads, places) => {
        const stream = Buffer.from(payloads.map(frame).join(''), 'latin1');
        const reader = new FrameReader(100_000);
        const found: string[] = [];
        for (const chunk of cut(stream, places)) {
          expect(reader.read(chunk, (payload) => void found.push(payload))).toBe(true);
        }
        expect(found).toEqual(payloads);
        const texts: string[] = [];
        const ofTexts = new FrameReader(100_000);
        for (const chunk of [...cut(stream, places).map((one) => one.toString('latin1')), ...payloads.map(frame)])
          expect(ofTexts.read(chunk, (payload) => void texts.push(payload))).toBe(true);
        expect(texts).toEqual([...payloads, ...payloads]);
      },
    ),
  );
});

test('never throws and never hangs on a stream of random octets', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (chunks) => {
      const reader = new FrameReader(100_000);
      for (const chunk of chunks) if (!reader.read(Buffer.from(chunk), () => undefined)) return;
    }),
  );
});

test('gives up a stream that does not start with a length', () => {
  for (const bad of ['x5#hello', '#hello', '5x#hello', '12345678901#']) {
    expect(
      new FrameReader(100_000).read(Buffer.from(bad), () => undefined),
      bad,
    ).toBe(false);
  }
  expect(new FrameReader(100_000).read(Buffer.from('0#0#'), () => expect.unreachable())).toBe(true);
});

test('counts octets, not characters', () => {
  expect(frame(toOctets('Grüße ☎'))).toBe(
    `${Buffer.byteLength('Grüße ☎')}#${Buffer.from('Grüße ☎').toString('latin1')}`,
  );
  expect(toOctets('plain')).toBe('plain');
});
