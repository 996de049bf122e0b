/**
 * ES256 (RFC 7518 3.4) without chance: the same key and text give the same signature (RFC 6979), so every node of a cluster makes the
 * same provider token without asking the others. Node signs with chance only. Not constant in time: for a signature every forty
 * minutes, on a host that nobody else times.
 */
import { createECDH, createHash, createHmac, createPrivateKey, type KeyObject } from 'node:crypto';

/** Order of P-256 (FIPS 186-5, SEC 2). */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const size = 32;

/** 64 octets: r and s. `key`: an EC private key on P-256. */
export function signDeterministically(key: KeyObject, text: Buffer): Buffer {
  const { d = '' } = createPrivateKey(key.export({ type: 'pkcs8', format: 'pem' })).export({ format: 'jwk' });
  const secret = numberOf(Buffer.from(d, 'base64url'));
  const hash = numberOf(createHash('sha256').update(text).digest()) % order;
  for (const nonce of nonces(secret, hash)) {
    const r = pointOf(nonce) % order;
    if (r === 0n) continue;
    const s = (inverse(nonce) * ((hash + r * secret) % order)) % order;
    if (s !== 0n) return Buffer.concat([octetsOf(r), octetsOf(s)]);
  }
  throw new Error('unreachable: the nonces have no end');
}

/** RFC 6979 3.2, steps b to h. */
function* nonces(secret: bigint, hash: bigint): Generator<bigint> {
  const seed = Buffer.concat([octetsOf(secret), octetsOf(hash)]);
  const mac = (key: Buffer, ...parts: readonly Buffer[]): Buffer =>
    createHmac('sha256', key).update(Buffer.concat(parts)).digest();
  let value: Buffer = Buffer.alloc(size, 1);
  let key: Buffer = Buffer.alloc(size, 0);
  for (const round of [0, 1]) {
    key = mac(key, value, Buffer.of(round), seed);
    value = mac(key, value);
  }
  for (;;) {
    value = mac(key, value);
    const candidate = numberOf(value);
    if (candidate > 0n && candidate < order) yield candidate;
    key = mac(key, value, Buffer.of(0));
    value = mac(key, value);
  }
}

/** The x of `nonce` times the base point. */
function pointOf(nonce: bigint): bigint {
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(octetsOf(nonce));
  return numberOf(curve.getPublicKey().subarray(1, 1 + size));
}

function inverse(value: bigint): bigint {
  let [a, b, x, y] = [value % order, order, 1n, 0n];
  while (b !== 0n) {
    const quotient = a / b;
    [a, b] = [b, a - quotient * b];
    [x, y] = [y, x - quotient * y];
  }
  return ((x % order) + order) % order;
}

function numberOf(octets: Buffer): bigint {
  return BigInt(`0x${octets.toString('hex')}`);
}

function octetsOf(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex');
}
