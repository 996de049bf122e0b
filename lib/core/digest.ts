/**
 * Digest authentication on the server's side (RFC 7616, RFC 8760, RFC 3261 22): challenges, nonces without state, verification.
 * Knows no users and no clock. Never Basic, never a -sess algorithm. Rising nonce counts are for whoever keeps state.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { type Auth, authParam, printAuth } from '../sip/auth.ts';
import { parseUri } from '../sip/uri.ts';
import { sameUri } from '../sip/uri-compare.ts';

export type DigestAlgorithm = 'MD5' | 'SHA-256' | 'SHA-512-256';

/** Best first (RFC 8760 2.3). */
const algorithms: readonly DigestAlgorithm[] = ['SHA-512-256', 'SHA-256', 'MD5'];
const hashNames = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const;

/** HA1 values in lower-case hexadecimal; an algorithm without one is not accepted. */
export interface DigestSecret {
  readonly md5?: string;
  readonly sha256?: string;
  readonly sha512256?: string;
}

export interface DigestQuestion {
  readonly method: string;
  /** the request-URI; when given, the one in the credentials must name the same */
  readonly uri?: string;
  readonly credentials: Auth;
  /** undefined: the user is unknown; takes the same time and says no */
  readonly secret: DigestSecret | undefined;
  /** for qop=auth-int */
  readonly body?: string;
}

export interface ChallengeContent {
  readonly realm: string;
  readonly nonce: string;
  readonly algorithms: readonly DigestAlgorithm[];
  /** the credentials were good but for the age of their nonce */
  readonly stale?: boolean;
  readonly opaque?: string;
}

function hash(algorithm: DigestAlgorithm, text: string): string {
  return createHash(hashNames[algorithm]).update(text).digest('hex');
}

/** H(user:realm:password), the only form in which passwords are kept. */
export function ha1(user: string, realm: string, password: string, algorithm: DigestAlgorithm): string {
  return hash(algorithm, `${user}:${realm}:${password}`);
}

/** One value of WWW-Authenticate or Proxy-Authenticate for each algorithm, best first, always with qop. */
export function challenge({ realm, nonce, algorithms: offered, stale, opaque }: ChallengeContent): string[] {
  return algorithms
    .filter((algorithm) => offered.includes(algorithm))
    .map((algorithm) =>
      printAuth({
        scheme: 'Digest',
        params: [
          { name: 'realm', value: realm, quoted: true },
          { name: 'nonce', value: nonce, quoted: true },
          ...(opaque === undefined ? [] : [{ name: 'opaque', value: opaque, quoted: true }]),
          ...(stale === true ? [{ name: 'stale', value: 'true', quoted: false }] : []),
          { name: 'algorithm', value: algorithm, quoted: false },
          { name: 'qop', value: 'auth', quoted: true },
        ],
      }),
    );
}

/** Digest credentials of this realm among the values of Authorization or Proxy-Authorization. */
export function findCredentials(values: readonly Auth[], realm: string): Auth | undefined {
  return values.find((auth) => auth.scheme.toLowerCase() === 'digest' && authParam(auth, 'realm') === realm);
}

/** The algorithm the credentials claim; MD5 when they name none; undefined for one we do not know. */
export function algorithmOf(credentials: Auth): DigestAlgorithm | undefined {
  const name = (authParam(credentials, 'algorithm') ?? 'MD5').toUpperCase();
  return algorithms.find((algorithm) => algorithm === name);
}

/** True when the response could only be computed by somebody who knows the secret. The nonce is checked by checkNonce. */
export function verifyDigest({ method, uri, credentials, secret, body }: DigestQuestion): boolean {
  const algorithm = algorithmOf(credentials) ?? 'MD5';
  const known = algorithmOf(credentials) === undefined ? undefined : secretFor(algorithm, secret);
  const digestUri = authParam(credentials, 'uri') ?? '';
  const nonce = authParam(credentials, 'nonce') ?? '';
  const qop = authParam(credentials, 'qop')?.toLowerCase();
  const bodyHash = qop === 'auth-int' ? `:${hash(algorithm, body ?? '')}` : '';
  const ha2 = hash(algorithm, `${method}:${digestUri}${bodyHash}`);
  const protection =
    qop === undefined ? '' : `${authParam(credentials, 'nc') ?? ''}:${authParam(credentials, 'cnonce') ?? ''}:${qop}:`;
  // an unknown user is computed like any other
  const expected = hash(algorithm, `${known ?? ''.padEnd(32, '0')}:${nonce}:${protection}${ha2}`);
  const right = sameDigits(expected, authParam(credentials, 'response') ?? '');
  const complete =
    credentials.scheme.toLowerCase() === 'digest' &&
    nonce !== '' &&
    (qop === undefined || ((qop === 'auth' || qop === 'auth-int') && hasCounter(credentials)));
  return right && known !== undefined && complete && (uri === undefined || namesSame(uri, digestUri));
}

function secretFor(algorithm: DigestAlgorithm, secret: DigestSecret | undefined): string | undefined {
  const known = algorithm === 'MD5' ? secret?.md5 : algorithm === 'SHA-256' ? secret?.sha256 : secret?.sha512256;
  return known === undefined || known === '' ? undefined : known.toLowerCase();
}

function hasCounter(credentials: Auth): boolean {
  return (authParam(credentials, 'cnonce') ?? '') !== '' && /^[0-9A-Fa-f]{8}$/.test(authParam(credentials, 'nc') ?? '');
}

/** Proxies on the way may have rewritten parameters, so URIs are compared and not their text. */
function namesSame(requestUri: string, digestUri: string): boolean {
  if (requestUri === digestUri) return true;
  const a = parseUri(requestUri);
  const b = parseUri(digestUri);
  return a !== undefined && b !== undefined && sameUri({ ...a, params: [] }, { ...b, params: [] });
}

/** Constant time for what matters: the length of a response is no secret. */
function sameDigits(expected: string, received: string): boolean {
  const a = Buffer.from(expected, 'latin1');
  const b = Buffer.from(received.toLowerCase(), 'latin1');
  if (a.length !== b.length) {
    timingSafeEqual(a, a);
    return false;
  }
  return timingSafeEqual(a, b);
}

/** A nonce that needs no memory: time, salt, and a MAC over both. `salt`: letters and digits, random, at most 64. */
export function mintNonce(key: string | Buffer, now: number, salt: string): string {
  const head = `${Math.floor(now).toString(36)}.${salt}`;
  return `${head}.${macOf(key, head)}`;
}

/** 'stale': ours, but older than `ttlMs` (or from a clock that far ahead of ours). */
export function checkNonce(
  key: string | Buffer,
  nonce: string,
  now: number,
  ttlMs: number,
): 'fresh' | 'stale' | 'forged' {
  const found = /^([0-9a-z]{1,10})\.[0-9A-Za-z]{0,64}\.([A-Za-z0-9_-]{24})$/.exec(nonce);
  if (found === null) return 'forged';
  const [, time, mac] = found as unknown as [string, string, string];
  const expected = macOf(key, nonce.slice(0, -mac.length - 1));
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(mac))) return 'forged';
  return Math.abs(now - Number.parseInt(time, 36)) <= ttlMs ? 'fresh' : 'stale';
}

/** 144 bits. */
function macOf(key: string | Buffer, head: string): string {
  return createHmac('sha256', key).update(`nonce ${head}`).digest().subarray(0, 18).toString('base64url');
}
