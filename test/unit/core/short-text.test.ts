/** The text of stored bindings: it comes back as it was, what was stored once is read for ever, and it is short. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packBinding } from '../../../lib/core/packed-binding.ts';
import { lengthen, shorten } from '../../../lib/core/short-text.ts';
import { aBinding } from '../../support/a-binding.ts';

/** As the first edge that shortened wrote it, with a second token. */
const stored =
  '\u0001f0\u0003\u0004apns\u0005\u0006\u0007\b\t\n36\u001f\u000b45ba\fcall\u000e21\u000ftls\u001010.0.0.1\u001120\u0012e1\u0013apns' +
  '\u0014ABCDE12345.com.example\u0016AAAA\u0017BBBB\u0019phone\u001a1795304734921\u001b36\u001f\u001c36\u001f\u001dPhone/1\u001e';
const storedJson =
  '[{"i":"f0","c":"<\u007f;pn-provider=apns;pn-param=\u0082;pn-prid=\u0081:voip&\u0083:remote>;+sip.instance=\\"<\u0080>\\";reg-id=1' +
  ';expires=3600000","n":"urn:uuid:45ba","r":1,"l":"call","s":21,"f":{"t":"tls","a":"10.0.0.1","p":20,"e":"e1"},"u":{"p":"apns"' +
  ',"e":"production","m":"ABCDE12345.com.example","t":[{"k":"voip","h":"AAAA"},{"k":"alert","h":"BBBB"}],"a":"phone"}' +
  ',"g":1795304734921,"e":3600000,"x":3600000,"w":"Phone/1"}]';

describe('a shortened text', () => {
  it('comes back as it was, whatever JSON it was', () => {
    const parts = fc.constantFrom(
      '[{"i":"',
      ';pn-prid=\u0081',
      '00000',
      '000000',
      '","c":"<',
      '"}]',
      '\\"',
      '\u007f',
      '\n',
      '"',
    );
    const text = fc
      .array(fc.oneof(parts, fc.string({ unit: 'binary', maxLength: 20 })), { maxLength: 12 })
      .map((all) => all.join(''));
    fc.assert(
      fc.property(fc.oneof(text, fc.jsonValue()), (value) => {
        const json = JSON.stringify(value);
        expect(lengthen(shorten(json))).toBe(json);
      }),
    );
  });

  it('is read as it was stored once, by every version', () => {
    expect(lengthen(stored)).toBe(storedJson);
    expect(shorten(storedJson)).toBe(stored);
  });

  it('is read as it was stored before texts were shortened', () => {
    expect(lengthen(storedJson)).toBe(storedJson);
  });

  it('takes two thirds of the octets of what a phone with push data leaves behind', () => {
    const json = JSON.stringify([packBinding(aBinding(), 'alice@example.com')]);
    expect(Buffer.byteLength(shorten(json))).toBeLessThan((Buffer.byteLength(json) * 2) / 3);
  });
});
