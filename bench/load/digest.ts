/** Digest credentials of a phone (RFC 3261 22.4, RFC 8760): answers a challenge once and goes on with its nonce until it is stale. */
import { hash } from 'node:crypto';
import { benchDomain, benchPassword } from './phone-identity.ts';

export interface Credentials {
  readonly algorithm: 'MD5' | 'SHA-256';
  readonly name: 'md5' | 'sha256';
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string;
  readonly ha1: string;
  count: number;
}

/** Takes the first challenge of a 401 that can be answered. */
export function credentialsFrom(response: string, user: string): Credentials | undefined {
  for (const [, challenge = ''] of response.matchAll(/\r\nWWW-Authenticate: *Digest ([^\r]*)/g)) {
    const algorithm = param(challenge, 'algorithm') || 'MD5';
    if (algorithm !== 'MD5' && algorithm !== 'SHA-256') continue;
    const name = algorithm === 'MD5' ? 'md5' : 'sha256';
    const realm = param(challenge, 'realm');
    const ha1 = hash(name, `${user}:${realm}:${benchPassword}`);
    return {
      algorithm,
      name,
      realm,
      nonce: param(challenge, 'nonce'),
      opaque: param(challenge, 'opaque'),
      ha1,
      count: 0,
    };
  }
  return undefined;
}

const uri = `sip:${benchDomain}`;
const ha2 = { md5: hash('md5', `REGISTER:${uri}`), sha256: hash('sha256', `REGISTER:${uri}`) };

export function authorizationLine(user: string, credentials: Credentials): string {
  const { algorithm, name, realm, nonce, opaque, ha1 } = credentials;
  credentials.count += 1;
  const nc = credentials.count.toString(16).padStart(8, '0');
  const response = hash(name, `${ha1}:${nonce}:${nc}:be7c:auth:${ha2[name]}`);
  const echoed = opaque === '' ? '' : `, opaque="${opaque}"`;
  return `Authorization: Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", algorithm=${algorithm}, qop=auth, nc=${nc}, cnonce="be7c"${echoed}\r\n`;
}

function param(challenge: string, name: string): string {
  const found = new RegExp(`(?:^|[ ,])${name}=(?:"([^"]*)"|([^ ,]*))`, 'i').exec(challenge);
  return found?.[1] ?? found?.[2] ?? '';
}
