/**
 * Digest as phones and PBXs do it (RFC 3261 22, RFC 7616, RFC 8760): qop=auth, MD5 and SHA-256.
 * On purpose not the code of the edge, so that a mistake there meets another opinion here.
 */
import { createHash, randomBytes } from 'node:crypto';
import { authParam, type Auth, parseAuth, printAuth } from '../../lib/sip/auth.ts';
import type { Headers } from '../../lib/sip/headers.ts';

export type DigestAlgorithm = 'MD5' | 'SHA-256';

export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** only this algorithm is answered; the first one understood when absent */
  readonly algorithm?: DigestAlgorithm;
}

/** The header to send again with, for a 401 or 407; undefined: no challenge that can be answered. */
export function answerChallenge(
  response: { readonly status: number; readonly headers: Headers },
  request: { readonly method: string; readonly uri: string },
  credentials: Credentials,
): readonly [name: string, value: string] | undefined {
  const [asked, answered] =
    response.status === 407
      ? (['Proxy-Authenticate', 'Proxy-Authorization'] as const)
      : (['WWW-Authenticate', 'Authorization'] as const);
  for (const line of response.headers.lines(asked)) {
    const challenge = parseAuth(line);
    if (challenge === undefined || challenge.scheme.toLowerCase() !== 'digest') continue;
    const algorithm = algorithmOf(challenge);
    if (algorithm === undefined || (credentials.algorithm ?? algorithm) !== algorithm) continue;
    return [answered, printAuth(answerTo(challenge, algorithm, request, credentials))];
  }
  return undefined;
}

function answerTo(
  challenge: Auth,
  algorithm: DigestAlgorithm,
  { method, uri }: { readonly method: string; readonly uri: string },
  { user, password }: Credentials,
): Auth {
  const realm = authParam(challenge, 'realm') ?? '';
  const nonce = authParam(challenge, 'nonce') ?? '';
  const opaque = authParam(challenge, 'opaque');
  const qop = (authParam(challenge, 'qop') ?? '').split(',').some((word) => word.trim() === 'auth');
  const ha1 = hash(algorithm, `${user}:${realm}:${password}`);
  const ha2 = hash(algorithm, `${method}:${uri}`);
  const cnonce = randomBytes(8).toString('hex');
  const nc = '00000001';
  const digest = qop ? `${ha1}:${nonce}:${nc}:${cnonce}:auth:${ha2}` : `${ha1}:${nonce}:${ha2}`;
  const quoted = (name: string, value: string) => ({ name, value, quoted: true });
  const bare = (name: string, value: string) => ({ name, value, quoted: false });
  return {
    scheme: 'Digest',
    params: [
      quoted('username', user),
      quoted('realm', realm),
      quoted('nonce', nonce),
      quoted('uri', uri),
      quoted('response', hash(algorithm, digest)),
      bare('algorithm', algorithm),
      ...(qop ? [bare('qop', 'auth'), bare('nc', nc), quoted('cnonce', cnonce)] : []),
      ...(opaque === undefined ? [] : [quoted('opaque', opaque)]),
    ],
  };
}

/** One challenge to send in WWW-Authenticate or Proxy-Authenticate. */
export function challenge(realm: string, algorithm: DigestAlgorithm, nonce = randomBytes(16).toString('hex')): string {
  return `Digest realm="${realm}", nonce="${nonce}", algorithm=${algorithm}, qop="auth"`;
}

/** The user who proves to know the password; undefined: wrong, not for this nonce, or no credentials at all. */
export function authenticatedUser(
  header: string | undefined,
  method: string,
  passwordOf: (user: string) => string | undefined,
  isOurNonce: (nonce: string) => boolean,
): string | undefined {
  const auth = header === undefined ? undefined : parseAuth(header);
  const algorithm = auth === undefined ? undefined : algorithmOf(auth);
  if (auth === undefined || algorithm === undefined) return undefined;
  const get = (name: string): string => authParam(auth, name) ?? '';
  const user = get('username');
  const password = passwordOf(user);
  if (password === undefined || !isOurNonce(get('nonce'))) return undefined;
  const ha1 = hash(algorithm, `${user}:${get('realm')}:${password}`);
  const ha2 = hash(algorithm, `${method}:${get('uri')}`);
  const expected = hash(algorithm, `${ha1}:${get('nonce')}:${get('nc')}:${get('cnonce')}:${get('qop')}:${ha2}`);
  return expected === get('response') ? user : undefined;
}

function algorithmOf(auth: Auth): DigestAlgorithm | undefined {
  const name = (authParam(auth, 'algorithm') ?? 'MD5').toUpperCase();
  return name === 'MD5' || name === 'SHA-256' ? name : undefined;
}

function hash(algorithm: DigestAlgorithm, text: string): string {
  return createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
    .update(text, 'latin1')
    .digest('hex');
}
