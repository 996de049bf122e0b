/** VAPID (RFC 8292): proves to a push service that we are the server the subscription was made for. One ES256 JWT for each origin. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** A JWT is good for at most a day; it is made anew well before. */
const lifeMs = 12 * 3_600_000;
const renewMs = 6 * 3_600_000;
/** Origins remembered; there are a handful of push services in the world. */
const mostOrigins = 1000;

export class Vapid {
  /** uncompressed P-256 point, base64url, 87 characters (PN-FC-12) */
  readonly publicKey: string;
  readonly #key: KeyObject;
  readonly #subject: string;
  readonly #signed = new Map<string, { readonly text: string; readonly at: number }>();

  /** `privateKey`: EC P-256 in PEM. `subject`: `mailto:` or `https:` of whoever runs the edge. */
  constructor(privateKey: string, subject: string) {
    this.#key = createPrivateKey(privateKey);
    this.#subject = subject;
    const { x = '', y = '' } = createPublicKey(this.#key).export({ format: 'jwk' });
    this.publicKey = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]).toString(
      'base64url',
    );
  }

  /** What is wrong with what we would send; undefined: nothing. Checks the signature by the public key that is announced. */
  fault(now: number): string | undefined {
    const [, jwt = '', k = ''] =
      /^vapid t=(.+), k=(.+)$/.exec(this.authorization('https://push.example.com', now)) ?? [];
    const point = Buffer.from(k, 'base64url');
    if (point.length !== 65) return 'the public key is no point of P-256';
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString('base64url'));
    const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: x ?? '', y: y ?? '' }, format: 'jwk' });
    const [head = '', claims = '', signature = ''] = jwt.split('.');
    const signed = Buffer.from(`${head}.${claims}`);
    const isGood = verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
    if (!isGood) return 'the signature does not fit the public key';
    // Apple refuses both
    return /^(?:mailto:[^@\s]+@[^\s]+|https:\/\/(?!localhost))/.test(this.#subject) &&
      !this.#subject.endsWith('@localhost')
      ? undefined
      : 'subject is no address that push services take';
  }

  /** The Authorization of a push to this origin (`https://host[:port]`). */
  authorization(origin: string, now: number): string {
    const known = this.#signed.get(origin);
    if (known !== undefined && now - known.at < renewMs && now >= known.at) return known.text;
    if (this.#signed.size >= mostOrigins) this.#signed.clear();
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { aud: origin, exp: Math.floor((now + lifeMs) / 1000), sub: this.#subject };
    const signed = `${part({ typ: 'JWT', alg: 'ES256' })}.${part(claims)}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    const text = `vapid t=${signed}.${signature.toString('base64url')}, k=${this.publicKey}`;
    this.#signed.set(origin, { text, at: now });
    return text;
  }
}
