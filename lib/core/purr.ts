/**
 * Proxy Unique Registration References (RFC 8599 6.2.1): the name of a binding under authenticated encryption. Nobody else can make
 * one, read one, or see that two belong to one phone; a new one is given in each period, and old ones lead to the binding for as
 * long as it lives. Nothing is stored.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import type { DeviceName } from './contact-token.ts';

const nonceOctets = 12;
const tagOctets = 16;
/** Names of unlike length look alike within such steps. */
const step = 32;
const longest = 1200;

/**
 * Lower-case hexadecimal, which survives every case folding (PN-PURR-17). `period`: number of the rotation period; the same within
 * one, so that a phone that refreshes often is not given more values than it can use.
 */
export function sealPurr(key: Buffer, { aor, bindingId }: DeviceName, period: number): string {
  const text = Buffer.from(JSON.stringify([String(period).padStart(10, '0'), bindingId, aor]), 'utf8');
  const plain = Buffer.alloc(Math.ceil(text.length / step) * step, ' ');
  text.copy(plain);
  // one text, one nonce: no two texts ever share one (the manner of RFC 5297)
  const nonce = createHmac('sha256', key).update('pn-purr').update(plain).digest().subarray(0, nonceOctets);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('hex');
}

/** undefined for anything this key has not sealed. */
export function openPurr(key: Buffer, purr: string): DeviceName | undefined {
  if (purr.length > longest || purr.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(purr)) return undefined;
  const sealed = Buffer.from(purr, 'hex');
  if (sealed.length <= nonceOctets + tagOctets) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceOctets), { authTagLength: tagOctets });
  decipher.setAuthTag(sealed.subarray(-tagOctets));
  try {
    const plain = Buffer.concat([decipher.update(sealed.subarray(nonceOctets, -tagOctets)), decipher.final()]);
    const [, bindingId, aor] = JSON.parse(plain.toString('utf8')) as readonly [string, string, string];
    return { bindingId, aor };
  } catch {
    return undefined;
  }
}
