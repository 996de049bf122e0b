/** VAPID (RFC 8292): proves to a push service that we are the server the subscription was made for. One ES256 JWT for each origin. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';

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
