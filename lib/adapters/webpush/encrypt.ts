/** Message encryption for Web Push (RFC 8291): one record of aes128gcm (RFC 8188) that only the phone with these keys can read. */
import { createCipheriv, createECDH, type ECDH, hkdfSync, randomBytes } from 'node:crypto';

/** What a subscription gave: base64url of the uncompressed P-256 point, and of 16 octets. */
export interface SubscriptionKeys {
  readonly p256dh: string;
  readonly auth: string;
}

/** Push services take 4096 octets with header, padding delimiter and tag (RFC 8030 7.2). */
export const largestBody = 4096;
const headerOctets = 16 + 4 + 1 + 65;
export const largestText = largestBody - headerOctets - 1 - 16;

/** For test vectors; made anew for each message otherwise. */
export interface Ephemeral {
  readonly privateKey: Buffer;
  readonly salt: Buffer;
}

/** The body of the push; undefined for keys that are none, or a text that is too long. */
export function encrypt(text: Buffer, keys: SubscriptionKeys, ephemeral?: Ephemeral): Buffer | undefined {
  const theirs = Buffer.from(keys.p256dh, 'base64url');
  const auth = Buffer.from(keys.auth, 'base64url');
  if (theirs.length !== 65 || auth.length !== 16 || text.length > largestText) return undefined;
  const ours = createECDH('prime256v1');
  if (ephemeral === undefined) ours.generateKeys();
  else ours.setPrivateKey(ephemeral.privateKey);
  const secret = sharedSecret(ours, theirs);
  if (secret === undefined) return undefined;
  const point = ours.getPublicKey();
  // RFC 8291 3.4
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), theirs, point]);
  const material = derive(secret, auth, info, 32);
  // RFC 8188 2.2, 2.3
  const salt = ephemeral?.salt ?? randomBytes(16);
  const key = derive(material, salt, Buffer.from('Content-Encoding: aes128gcm\0'), 16);
  const nonce = derive(material, salt, Buffer.from('Content-Encoding: nonce\0'), 12);
  const cipher = createCipheriv('aes-128-gcm', key, nonce);
  // 2: the last record
  const sealed = [cipher.update(text), cipher.update(Buffer.of(2)), cipher.final(), cipher.getAuthTag()];
  const size = Buffer.alloc(4);
  size.writeUInt32BE(largestBody);
  return Buffer.concat([salt, size, Buffer.of(point.length), point, ...sealed]);
}

/** A phone may send a point that is not on the curve. */
function sharedSecret(ours: ECDH, theirs: Buffer): Buffer | undefined {
  try {
    return ours.computeSecret(theirs);
  } catch {
    return undefined;
  }
}

function derive(secret: Buffer, salt: Buffer, info: Buffer, octets: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, octets));
}
