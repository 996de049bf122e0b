import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stunAnswer } from '../../../../lib/engine/transport/stun.ts';

/** RFC 5769 2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY and a sound FINGERPRINT. */
const sample = Buffer.from(
  '000100582112a442b7e7a701bc34d686fa87dfae' +
    '802200105354554e207465737420636c69656e74' +
    '002400046e0001ff80290008932ff9b151263b36' +
    '000600096576746a3a68367659202020' +
    '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf',
  'hex',
);

/** RFC 5769 2.2 and 2.3: the addresses those answers map. */
const bare = Buffer.from('000100002112a442b7e7a701bc34d686fa87dfae', 'hex');

describe('[EDGE-OUT-05] STUN Binding', () => {
  test('the addresses of RFC 5769 come out as its vectors have them', () => {
    expect(stunAnswer(bare, '192.0.2.1', 32_853)?.subarray(20).toString('hex')).toBe('002000080001a147e112a643');
    expect(stunAnswer(bare, '2001:db8:1234:5678:11:2233:4455:6677', 32_853)?.subarray(20).toString('hex')).toBe(
      '002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9',
    );
  });

  test('a fingerprint is checked, and answered by one', () => {
    const answer = stunAnswer(sample, '192.0.2.1', 32_853);
    expect(answer?.readUInt16BE(0)).toBe(0x0101);
    expect(answer?.readUInt16BE(2)).toBe((answer?.length ?? 0) - 20);
    expect(answer?.readUInt16BE(32)).toBe(0x8028);
    const broken = Buffer.from(sample);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
    expect(stunAnswer(broken, '192.0.2.1', 32_853)).toBeUndefined();
  });

  test('what must be understood and is not is refused with 420 and its name', () => {
    const asks = Buffer.concat([bare, Buffer.from('0003000400000006', 'hex')]);
    asks.writeUInt16BE(8, 2);
    const answer = stunAnswer(asks, '192.0.2.1', 1);
    expect(answer?.readUInt16BE(0)).toBe(0x0111);
    expect(answer?.subarray(24, 28).toString('hex')).toBe('00000414');
    expect(answer?.subarray(-8).toString('hex')).toBe('000a000200030000');
  });

  test('an answer, an indication, another cookie, a short or a long one gets none', () => {
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(bare);
      copy[at] = value;
      return copy;
    };
    for (const bad of [
      changed(0, 1),
      changed(1, 0x11),
      changed(4, 0),
      changed(3, 4),
      bare.subarray(0, 19),
      Buffer.concat([bare, Buffer.alloc(4)]),
    ])
      expect(stunAnswer(bad, '192.0.2.1', 1)).toBeUndefined();
  });

  test('no octets make it fail, and no answer is three times its question', () => {
    const head = fc.constantFrom(bare, sample);
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 200 }), fc.boolean(), (start, tail, honest) => {
        const datagram = Buffer.concat([start, tail]);
        if (honest) datagram.writeUInt16BE(datagram.length - 20, 2);
        const answer = stunAnswer(datagram, '::1', 5060);
        expect(answer?.length ?? 0).toBeLessThan(3 * datagram.length + 64);
        if (answer !== undefined) expect(answer.readUInt16BE(2)).toBe(answer.length - 20);
      }),
    );
  });
});
