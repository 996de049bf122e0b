import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decryptPush } from '../../../../apps/push-lab/webpush-decrypt.ts';
import { encrypt, largestBody, largestText } from '../../../../lib/adapters/webpush/encrypt.ts';

const octets = (text: string): Buffer => Buffer.from(text, 'base64url');
/** RFC 8291 section 5 and appendix A */
const keys = {
  p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
  auth: 'BTBZMqHH6r4Tts7J_aSIgg',
};
const phone = { privateKey: octets('q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94'), auth: octets(keys.auth) };
const vector =
  'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN';

describe('RFC 8291', () => {
  it('gives the octets of its example', () => {
    const ephemeral = {
      privateKey: octets('yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw'),
      salt: octets('DGv6ra1nlYgDCS1FRnbzlw'),
    };
    const body = encrypt(Buffer.from('When I grow up, I want to be a watermelon'), keys, ephemeral);
    expect(body?.toString('base64url')).toBe(vector);
    expect(decryptPush(octets(vector), phone)?.toString()).toBe('When I grow up, I want to be a watermelon');
  });

  it('can be read by nobody else, and differs every time', () => {
    const text = Buffer.from('secret');
    const [one, two] = [encrypt(text, keys), encrypt(text, keys)];
    expect(one?.equals(two ?? text)).toBe(false);
    expect(decryptPush(one ?? text, phone)?.toString()).toBe('secret');
    const { d = '' } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
    expect(decryptPush(one ?? text, { ...phone, privateKey: octets(d) })).toBeUndefined();
  });

  it('fits what push services take, and gives nothing for more or for keys that are none', () => {
    expect(encrypt(Buffer.alloc(largestText), keys)).toHaveLength(largestBody);
    expect(encrypt(Buffer.alloc(largestText + 1), keys)).toBeUndefined();
    expect(encrypt(Buffer.from('x'), { ...keys, auth: 'AAAA' })).toBeUndefined();
    // a point that is on no curve
    expect(encrypt(Buffer.from('x'), { ...keys, p256dh: `B${'A'.repeat(86)}` })).toBeUndefined();
  });
});
