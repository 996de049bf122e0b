/** The phone's side of RFC 8291: reads the one record of an encrypted push. */
import { createDecipheriv, createECDH, hkdfSync } from 'node:crypto';

export interface PhoneKeys {
  /** P-256 private value */
  readonly privateKey: Buffer;
  readonly auth: Buffer;
}

/** The text; undefined when it was not encrypted for these keys, or not as the RFC says. */
export function decryptPush(body: Buffer, { privateKey, auth }: PhoneKeys): Buffer | undefined {
  const length = body[20];
  if (body.length > 4096 || length !== 65 || body.length < 16 + 4 + 1 + 65 + 17) return undefined;
  const salt = body.subarray(0, 16);
  const sender = body.subarray(21, 86);
  // one record: it must hold all that is there
  if (body.readUInt32BE(16) < body.length - 86) return undefined;
  const ours = createECDH('prime256v1');
  try {
    ours.setPrivateKey(privateKey);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), ours.getPublicKey(), sender]);
    const material = hkdf(ours.computeSecret(sender), auth, info, 32);
    const key = hkdf(material, salt, Buffer.from('Content-Encoding: aes128gcm\0'), 16);
    const nonce = hkdf(material, salt, Buffer.from('Content-Encoding: nonce\0'), 12);
    const decipher = createDecipheriv('aes-128-gcm', key, nonce);
    decipher.setAuthTag(body.subarray(-16));
    const padded = Buffer.concat([decipher.update(body.subarray(86, -16)), decipher.final()]);
    const end = padded.findLastIndex((octet) => octet !== 0);
    return padded[end] === 2 ? padded.subarray(0, end) : undefined;
  } catch {
    return undefined;
  }
}

function hkdf(secret: Buffer, salt: Buffer, info: Buffer, octets: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, octets));
}
