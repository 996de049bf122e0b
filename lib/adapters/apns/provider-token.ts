/**
 * The provider token of one APNs key: an ES256 JWT (RFC 7515, RFC 7518 3.4), and the rules when to make a new one. Its time comes from
 * a grid and its signature from the key alone, so all nodes, and one that starts again, hold the same token (docs/adr/0014). Signing is
 * synchronous, so two requests can never sign twice.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { EdgeError } from '../../errors.ts';
import { signDeterministically } from './deterministic-signature.ts';

const minute = 60_000;
/** APNs refuses tokens older than an hour, and a second one within twenty minutes */
export const shortestAge = 20 * minute;
export const longestAge = 59 * minute;
/** A token serves from one line of the grid to the next but one; a forced renewal may take the line between. */
export const gridStep = 20 * minute;
/** Tokens seem a little older than they are: the clock of APNs may be behind ours. */
export const backdated = minute;

/** What the rules need to know of a token; times in ms since the epoch. */
export interface TokenAge {
  readonly generation: number;
  readonly signedAt: number;
}

export interface ProviderToken extends TokenAge {
  readonly text: string;
}

/** The time a token made now bears: the same for everybody whose clock is about right. `forced`: another than the last one's. */
export function timeOf(now: number, forced: boolean): number {
  const width = forced ? gridStep : 2 * gridStep;
  return Math.floor(now / width) * width - backdated;
}

/** Is a new token due? `quietUntil`: APNs complained of too many before. */
export function isRenewalDue(token: TokenAge, now: number, quietUntil: number): boolean {
  const age = now - token.signedAt;
  if (age >= longestAge) return true;
  if (now < quietUntil) return false;
  // the host's clock was set back: the token seems to come from the future
  return timeOf(now, false) > token.signedAt || age < -shortestAge;
}

export type Expiry = 'retry' | 'renew' | 'clock-wrong';

/**
 * What to do when APNs called the token of `generation` expired. Only its first victim makes a new one; a young token
 * means that our clock, not the token, is wrong.
 */
export function onExpired(current: TokenAge, generation: number, now: number): Expiry {
  if (generation !== current.generation) return 'retry';
  // before the next line of the grid there is no other token to be had
  return now - current.signedAt < shortestAge + backdated ? 'clock-wrong' : 'renew';
}

/** `header.claims.signature`; `signedAt` in ms. */
export function signProviderToken(key: KeyObject, teamId: string, keyId: string, signedAt: number): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'ES256', kid: keyId })}.${part({ iss: teamId, iat: Math.floor(signedAt / 1000) })}`;
  return `${signed}.${signDeterministically(key, Buffer.from(signed)).toString('base64url')}`;
}

/** Reads the text of a .p8 file. Throws EDGE_CONFIG_INVALID without quoting the key. */
export function readSigningKey(pem: string, keyId: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // the cause may quote the key
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `APNs key ${keyId}: expected the PEM text of a .p8 file, found something unreadable.`,
    );
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new EdgeError('EDGE_CONFIG_INVALID', `APNs key ${keyId}: expected an EC key on P-256, found another kind.`);
  }
  return key;
}

export class ProviderTokenSource {
  readonly #key: KeyObject;
  readonly #teamId: string;
  readonly #keyId: string;
  #current: ProviderToken | undefined;
  #previous: ProviderToken | undefined;
  #generation = 0;
  #quietUntil = 0;

  constructor(teamId: string, keyId: string, privateKey: string) {
    this.#teamId = teamId;
    this.#keyId = keyId;
    this.#key = readSigningKey(privateKey, keyId);
  }

  /** When the one in use was made, ms since the epoch; undefined before the first push. */
  get madeAt(): number | undefined {
    return this.#current?.signedAt;
  }

  /** The token to use now. */
  current(now: number): ProviderToken {
    const token = this.#current;
    return token === undefined || isRenewalDue(token, now, this.#quietUntil) ? this.#renew(now, false) : token;
  }

  /** APNs called the token of this generation expired; `useless`: it is our clock that is wrong. */
  expired(generation: number, now: number): 'retry' | 'useless' {
    const verdict = onExpired(this.current(now), generation, now);
    if (verdict === 'renew') this.#renew(now, true);
    return verdict === 'clock-wrong' ? 'useless' : 'retry';
  }

  /** APNs saw too many new tokens: back to the one before, if it still lives, and no new one for a while. */
  tooMany(generation: number, now: number): void {
    this.#quietUntil = now + shortestAge;
    const previous = this.#previous;
    if (generation !== this.#current?.generation || previous === undefined) return;
    if (now - previous.signedAt < longestAge) this.#current = previous;
    this.#previous = undefined;
  }

  #renew(now: number, forced: boolean): ProviderToken {
    const signedAt = timeOf(now, forced);
    this.#generation += 1;
    this.#previous = this.#current;
    this.#current = {
      generation: this.#generation,
      signedAt,
      text: signProviderToken(this.#key, this.#teamId, this.#keyId, signedAt),
    };
    return this.#current;
  }
}
