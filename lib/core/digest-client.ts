/**
 * Digest authentication on the client's side (RFC 7616, RFC 8760, RFC 3261 22): which challenge to answer, and the answer.
 * Knows no users and draws no random numbers; nonce counts are kept by whoever keeps the challenge.
 */
import { createHash } from 'node:crypto';
import { type Auth, authParam, parseAuth, printAuth } from '../sip/auth.ts';
import type { Headers } from '../sip/headers.ts';
import type { DigestAlgorithm } from './digest.ts';

export interface Challenge {
  /** of a 407: to be answered in Proxy-Authorization */
  readonly proxy: boolean;
  readonly realm: string;
  readonly nonce: string;
  readonly algorithm: DigestAlgorithm;
  /** the -sess form of the algorithm */
  readonly session: boolean;
  /** undefined: RFC 2069 */
  readonly qop: 'auth' | 'auth-int' | undefined;
  readonly opaque: string | undefined;
  /** the credentials were good but for the age of their nonce */
  readonly stale: boolean;
}

export interface DigestLogin {
  readonly user: string;
  readonly password: string;
}

export interface DigestAsk {
  readonly method: string;
  /** the request-URI */
  readonly uri: string;
  readonly body: string;
  /** how often this nonce has been used, this time included; from 1 */
  readonly count: number;
  /** letters and digits, random */
  readonly cnonce: string;
}

const hashNames = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const;
const algorithms: readonly DigestAlgorithm[] = ['SHA-512-256', 'SHA-256', 'MD5'];

/** So long a challenge is no challenge: it would be sent back with every request. */
const longest = 2000;

/**
 * The challenges of a 401 or 407 that we know how to answer: of each realm the first one, because the server has put them in its order
 * (RFC 8760 2.4). `realm`: of no other one, so that no stranger is told what is meant for one server.
 */
export function readChallenges(headers: Headers, realm: string | undefined): readonly Challenge[] {
  const found: Challenge[] = [];
  for (const proxy of [false, true]) {
    for (const line of headers.lines(proxy ? 'Proxy-Authenticate' : 'WWW-Authenticate')) {
      const auth = line.length > longest ? undefined : parseAuth(line);
      const challenge = auth === undefined ? undefined : readChallenge(auth, proxy);
      if (challenge === undefined || (realm !== undefined && challenge.realm !== realm)) continue;
      if (!found.some((other) => isSamePlace(other, challenge))) found.push(challenge);
    }
  }
  return found;
}

/** Who asks: of two challenges of one place the later one counts. */
export function isSamePlace(a: Pick<Challenge, 'proxy' | 'realm'>, b: Pick<Challenge, 'proxy' | 'realm'>): boolean {
  return a.proxy === b.proxy && a.realm === b.realm;
}

function readChallenge(auth: Auth, proxy: boolean): Challenge | undefined {
  const realm = authParam(auth, 'realm');
  const nonce = authParam(auth, 'nonce');
  if (auth.scheme.toLowerCase() !== 'digest' || realm === undefined || nonce === undefined) return undefined;
  const named = (authParam(auth, 'algorithm') ?? 'MD5').toUpperCase();
  const session = named.endsWith('-SESS');
  const algorithm = algorithms.find((one) => one === (session ? named.slice(0, -5) : named));
  const offered = authParam(auth, 'qop');
  const qops = offered === undefined ? [] : offered.split(',').map((one) => one.trim().toLowerCase());
  const qop = qops.includes('auth') ? 'auth' : qops.includes('auth-int') ? 'auth-int' : undefined;
  // a quality we do not know cannot be answered without it
  if (algorithm === undefined || (qops.some((one) => one !== '') && qop === undefined)) return undefined;
  const stale = authParam(auth, 'stale')?.toLowerCase() === 'true';
  return { proxy, realm, nonce, algorithm, session, qop, opaque: authParam(auth, 'opaque'), stale };
}

/** Name and value of the header field that answers it. */
export function answerChallenge(
  challenge: Challenge,
  { user, password }: DigestLogin,
  { method, uri, body, count, cnonce }: DigestAsk,
): readonly [name: 'Authorization' | 'Proxy-Authorization', value: string] {
  const { proxy, realm, nonce, algorithm, session, qop, opaque } = challenge;
  const hash = (text: string): string => createHash(hashNames[algorithm]).update(text).digest('hex');
  const secret = hash(`${user}:${realm}:${password}`);
  const a1 = session ? hash(`${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = hash(`${method}:${uri}${qop === 'auth-int' ? `:${hash(body)}` : ''}`);
  const nc = count.toString(16).padStart(8, '0');
  const response = hash(qop === undefined ? `${a1}:${nonce}:${a2}` : `${a1}:${nonce}:${nc}:${cnonce}:${qop}:${a2}`);
  const quoted = (name: string, value: string) => ({ name, value, quoted: true });
  const bare = (name: string, value: string) => ({ name, value, quoted: false });
  const value = printAuth({
    scheme: 'Digest',
    params: [
      quoted('username', user),
      quoted('realm', realm),
      quoted('nonce', nonce),
      quoted('uri', uri),
      quoted('response', response),
      bare('algorithm', session ? `${algorithm}-sess` : algorithm),
      ...(qop === undefined && !session ? [] : [quoted('cnonce', cnonce)]),
      ...(qop === undefined ? [] : [bare('qop', qop), bare('nc', nc)]),
      ...(opaque === undefined ? [] : [quoted('opaque', opaque)]),
    ],
  });
  return [proxy ? 'Proxy-Authorization' : 'Authorization', value];
}
