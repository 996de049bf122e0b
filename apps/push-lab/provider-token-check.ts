/** Checks the provider token of a push as APNs does: ES256 by a registered key, kid, iss, and iat not older than an hour. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';

export interface RegisteredKey {
  readonly teamId: string;
  readonly keyId: string;
  /** SPKI or PKCS #8 PEM text */
  readonly key: string;
}

export type TokenVerdict =
  | { readonly good: true; readonly keyId: string }
  | {
      readonly good: false;
      readonly reason: 'MissingProviderToken' | 'InvalidProviderToken' | 'ExpiredProviderToken';
      /** what was expected and what was found */
      readonly detail: string;
    };

const longestAgeSeconds = 3600;
/** APNs tells nobody how much of a fast clock it forgives */
const forgivenSkewSeconds = 300;

const invalid = (detail: string): TokenVerdict => ({ good: false, reason: 'InvalidProviderToken', detail });
const expired = (detail: string): TokenVerdict => ({ good: false, reason: 'ExpiredProviderToken', detail });

function objectIn(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export class ProviderTokenCheck {
  readonly #keys: ReadonlyMap<string, { readonly teamId: string; readonly key: KeyObject }>;
  /** signature checked before; bounded by forgetting all */
  readonly #known = new Map<string, { readonly keyId: string; readonly issuedAt: number }>();
  readonly #revoked = new Set<string>();

  constructor(keys: readonly RegisteredKey[]) {
    this.#keys = new Map(keys.map(({ teamId, keyId, key }) => [keyId, { teamId, key: createPublicKey(key) }]));
  }

  /** Different good tokens seen. */
  get seen(): number {
    return this.#known.size;
  }

  /** From now on every token seen so far is treated as expired; tells how many that are. */
  expireAll(): number {
    for (const token of this.#known.keys()) this.#revoked.add(token);
    return this.#revoked.size;
  }

  check(authorization: string | undefined, nowMs: number): TokenVerdict {
    if (authorization === undefined || authorization === '')
      return { good: false, reason: 'MissingProviderToken', detail: 'authorization: expected bearer and a JWT' };
    if (!/^bearer /i.test(authorization)) return invalid('authorization: expected bearer and a JWT');
    const token = authorization.slice(7);
    let known = this.#known.get(token);
    if (known === undefined) {
      const read = this.#read(token);
      if (typeof read === 'string') return invalid(read);
      if (this.#known.size >= 10_000) this.#known.clear();
      this.#known.set(token, read);
      known = read;
    }
    if (this.#revoked.has(token)) return expired('the lab was told to take it for expired');
    const age = nowMs / 1000 - known.issuedAt;
    if (age > longestAgeSeconds) return expired(`iat: expected an hour ago at most, found ${Math.round(age)} s`);
    if (age < -forgivenSkewSeconds) return invalid(`iat: ${Math.round(-age)} s in the future`);
    return { good: true, keyId: known.keyId };
  }

  /** What the token says, or what is wrong with it. */
  #read(token: string): { readonly keyId: string; readonly issuedAt: number } | string {
    const parts = token.split('.');
    const [head, body, signature] = parts;
    if (parts.length !== 3 || head === undefined || body === undefined || signature === undefined)
      return `expected a JWT of three parts, found ${parts.length}`;
    const header = objectIn(head);
    const claims = objectIn(body);
    if (header?.['alg'] !== 'ES256') return 'alg: expected ES256';
    if (typeof header['kid'] !== 'string') return 'kid: expected the id of a key';
    const registered = this.#keys.get(header['kid']);
    if (registered === undefined) return 'kid: no such key is registered';
    if (claims?.['iss'] !== registered.teamId) return `iss: expected ${registered.teamId}`;
    if (!Number.isInteger(claims['iat'])) return 'iat: expected whole Unix seconds';
    const good = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key: registered.key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    return good ? { keyId: header['kid'], issuedAt: claims['iat'] as number } : 'the signature is not that of this key';
  }
}
