/** Files a config names: read at the start, so that a wrong one stops it and not the first call. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { Secret } from './secret.ts';

/** Says what was expected and what was found instead. */
export type Tell = (expected: string, found: string) => void;

/** The .p8 of an APNs key, or the key of VAPID. */
export function readSigningKey(
  from: { readonly path: string } | { readonly text: string },
  tell: Tell,
): Secret | undefined {
  const text = 'path' in from ? readText(from.path, tell) : from.text;
  if (text === undefined) return undefined;
  const expected = 'an EC P-256 private key in PEM';
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // what OpenSSL says of a key is not for a log
    tell(expected, text.includes('-----BEGIN') ? 'PEM that is no usable private key' : 'no PEM');
    return undefined;
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    tell(
      expected,
      `a private key of kind ${key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? 'unknown'}`,
    );
    return undefined;
  }
  return new Secret(text);
}

/** What the edge needs of a service account. */
export interface ServiceAccountFile {
  readonly clientEmail: string;
  /** RSA private key in PEM */
  readonly privateKey: Secret;
  readonly projectId: string;
  readonly tokenUri: string;
}

/** The JSON that the Firebase console gives out. */
export function readServiceAccount(path: string, tell: Tell): ServiceAccountFile | undefined {
  const text = readText(path, tell);
  if (text === undefined) return undefined;
  const expected = 'the JSON of a service account, with client_email, private_key and project_id';
  let json: Readonly<Record<string, unknown>>;
  let key: KeyObject;
  try {
    json = JSON.parse(text) as typeof json;
    key = createPrivateKey(String(json['private_key']));
  } catch {
    // neither JSON nor OpenSSL may quote what they found
    tell(expected, 'JSON that is none, or its key cannot be read');
    return undefined;
  }
  const { client_email: clientEmail, project_id: projectId, token_uri: tokenUri } = json;
  if (typeof clientEmail !== 'string' || typeof projectId !== 'string' || key.asymmetricKeyType !== 'rsa') {
    tell(expected, 'something else');
    return undefined;
  }
  const uri = typeof tokenUri === 'string' ? tokenUri : 'https://oauth2.googleapis.com/token';
  if (!URL.canParse(uri) || new URL(uri).protocol !== 'https:') {
    tell('a token_uri with https', 'another one');
    return undefined;
  }
  return { clientEmail, projectId, privateKey: new Secret(String(json['private_key'])), tokenUri: uri };
}

/** One or more certificates, as text for tls.connect. */
export function readCertificates(path: string, tell: Tell): string | undefined {
  const text = readText(path, tell);
  if (text === undefined) return undefined;
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    tell('PEM certificates', 'none');
    return undefined;
  }
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch {
      tell('PEM certificates', 'one that cannot be read');
      return undefined;
    }
  }
  return text;
}

export function readText(path: string, tell: Tell): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    tell('a readable file', fileFault(error));
    return undefined;
  }
}

/** Whether users of this machine who are neither owner nor of the group may read or change a file. */
export function isOpenToOthers(path: string): boolean {
  const mode = process.platform === 'win32' ? undefined : statSync(path, { throwIfNoEntry: false })?.mode;
  return mode !== undefined && (mode & 0o007) !== 0;
}

/** When a file was last written, ms since the epoch; undefined when it is not there. */
export function writtenAtMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

/** Why a file could not be read, in words. */
export function fileFault(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EISDIR') return 'a folder';
  return code === 'EACCES' || code === 'EPERM' ? 'no permission to read it' : 'a file that cannot be read';
}
