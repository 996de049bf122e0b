/**
 * Secrets as they lie in a store: AES-256-GCM under a key the store does not have, bound to what they are about, with the name of
 * the key in front so that keys can be changed. `sealed.<key>.<base64url of nonce, text and tag>`.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';

export interface SealingKey {
  /** 8 hexadecimal digits that tell keys apart and nothing of them */
  readonly name: string;
  readonly key: Buffer;
}

const nonceOctets = 12;
const tagOctets = 16;

/** `secret`: 32 octets or more of chance. */
export function sealingKey(secret: Buffer): SealingKey {
  const derive = (use: string): Buffer => createHmac('sha256', secret).update(`reveille sealed secret ${use}`).digest();
  return { name: derive('name').subarray(0, 4).toString('hex'), key: derive('key') };
}

/** `about`: what must be told to open it again, such as the AOR; `nonce`: 12 octets in hexadecimal, never the same twice. */
export function seal({ name, key }: SealingKey, text: string, about: string, nonce: string): string {
  const iv = Buffer.from(nonce, 'hex');
  if (iv.length !== nonceOctets) throw new RangeError('a nonce has 12 octets');
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(about, 'utf8'));
  const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `sealed.${name}.${sealed.toString('base64url')}`;
}

export type Opened =
  | {
      readonly is: 'opened';
      readonly text: string /** under a key that is no longer the first */;
      readonly old: boolean;
    }
  | { readonly is: 'unknown-key'; readonly name: string }
  /** changed, cut, or about something else */
  | { readonly is: 'broken' };

/** `keys`: the first one seals, the others only open what was sealed before. */
export function unseal(keys: readonly SealingKey[], sealed: string, about: string): Opened {
  const [, name, text] = /^sealed\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)$/.exec(sealed) ?? [];
  if (name === undefined || text === undefined) return { is: 'broken' };
  const at = keys.findIndex((each) => each.name === name);
  const octets = Buffer.from(text, 'base64url');
  if (at < 0) return { is: 'unknown-key', name };
  if (octets.length < nonceOctets + tagOctets) return { is: 'broken' };
  const { key } = keys[at] as SealingKey;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, octets.subarray(0, nonceOctets), { authTagLength: tagOctets })
      .setAAD(Buffer.from(about, 'utf8'))
      .setAuthTag(octets.subarray(-tagOctets));
    const opened = Buffer.concat([decipher.update(octets.subarray(nonceOctets, -tagOctets)), decipher.final()]);
    return { is: 'opened', text: opened.toString('utf8'), old: at > 0 };
  } catch {
    return { is: 'broken' };
  }
}
