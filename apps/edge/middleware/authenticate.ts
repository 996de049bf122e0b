/**
 * Digest for what the edge itself guards (RFC 3261 22, RFC 8760): registrations and calls of a domain whose registrar it is.
 * An unknown user, a wrong password and a forged nonce get the same answer in the same time.
 */
import type { Aor } from '../../../lib/core/binding.ts';
import { challenge, checkNonce, findCredentials, mintNonce, verifyDigest } from '../../../lib/core/digest.ts';
import type { DigestSecrets, Domain } from '../../../lib/core/domain.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { authParam, parseAuth } from '../../../lib/sip/auth.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import type { UsedNonces } from './used-nonces.ts';

export interface AuthenticateDeps {
  readonly store: Pick<LocationStore, 'readSecret'>;
  /** what a phone of an account that the edge holds proves itself with; when left out there are none */
  readonly accountSecret?: (aor: Aor, realm: string) => Promise<DigestSecrets | undefined>;
  /** secret behind the nonces, shared by all nodes of one store */
  readonly secret: string;
  readonly now: () => number;
  readonly hex: (octets: number) => string;
  readonly used: UsedNonces;
}

export const nonceLifeMs = 300_000;

/** 'passed': the sender is the user of `aor`, or one of `allowed`. Else it has been answered: 'challenged' with 401 or 407, 'forbidden' with 403. */
export async function authenticate(
  transaction: ServerTransaction,
  domain: Domain,
  aor: Aor,
  status: 401 | 407,
  deps: AuthenticateDeps,
  allowed: ReadonlySet<string> = new Set([userOf(aor)]),
): Promise<'passed' | 'challenged' | 'forbidden'> {
  const { request } = transaction;
  const [asks, answers] =
    status === 401 ? ['WWW-Authenticate', 'Authorization'] : ['Proxy-Authenticate', 'Proxy-Authorization'];
  const offered = request.headers.lines(answers).flatMap((line) => parseAuth(line) ?? []);
  const credentials = findCredentials(offered, domain.realm);
  let stale = false;
  if (credentials !== undefined) {
    const user = authParam(credentials, 'username') ?? '';
    const secret = await secretOf(user, hostOf(aor), domain, deps);
    const usable = secret === undefined ? undefined : only(secret, domain.algorithms);
    const right = verifyDigest({ method: request.method, credentials, secret: usable, body: request.body });
    const nonce = checkNonce(deps.secret, authParam(credentials, 'nonce') ?? '', deps.now(), nonceLifeMs);
    if (right && nonce === 'fresh' && deps.used.use(credentials, deps.now())) {
      if (allowed.has(user)) return 'passed';
      await transaction.respond({ status: 403 });
      return 'forbidden';
    }
    // used before: whoever has the password tries again with the new nonce
    stale = right && nonce !== 'forged';
  }
  const nonce = mintNonce(deps.secret, deps.now(), deps.hex(6));
  const headers = Headers.empty();
  const owner = await secretOf(userOf(aor), hostOf(aor), domain, deps);
  // a phone takes the first algorithm it knows: offer none that can never be checked
  const known = domain.algorithms.filter(
    (algorithm) => (algorithm === 'MD5' ? owner?.md5 : owner?.sha256) !== undefined,
  );
  const algorithms = known.length > 0 ? known : domain.algorithms;
  for (const value of challenge({ realm: domain.realm, nonce, algorithms, stale })) headers.add(asks, value);
  await transaction.respond({ status, headers });
  return 'challenged';
}

/** The user named in credentials for this realm; proves nothing. */
export function claimedUser({ headers }: ServerTransaction['request'], realm: string): string | undefined {
  const offered = headers.lines('Proxy-Authorization').flatMap((line) => parseAuth(line) ?? []);
  const credentials = findCredentials(offered, realm);
  return credentials === undefined ? undefined : authParam(credentials, 'username');
}

function userOf(aor: Aor): string {
  return aor.slice(0, aor.lastIndexOf('@'));
}

function hostOf(aor: Aor): string {
  return aor.slice(aor.lastIndexOf('@') + 1);
}

async function secretOf(
  user: string,
  host: string,
  domain: Domain,
  deps: AuthenticateDeps,
): Promise<DigestSecrets | undefined> {
  return (
    domain.users.get(user) ??
    (domain.registration === 'on-behalf' ? await deps.accountSecret?.(`${user}@${host}`, domain.realm) : undefined) ??
    (await deps.store.readSecret(user, domain.realm))
  );
}

/** Only the algorithms that are offered count: MD5 may be switched off for old secrets too (EDGE-AUTH-03). */
function only(
  secret: { readonly md5?: string; readonly sha256?: string },
  algorithms: Domain['algorithms'],
): { md5?: string; sha256?: string } {
  return {
    ...(secret.md5 !== undefined && algorithms.includes('MD5') ? { md5: secret.md5 } : {}),
    ...(secret.sha256 !== undefined && algorithms.includes('SHA-256') ? { sha256: secret.sha256 } : {}),
  };
}
