/** The folder of a lab: keys and certificates, which stay the same from run to run so that an edge that knows them need not be told again, and the config for that edge. */
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { type LabCredentials, makeLabCredentials } from './apns-lab.ts';
import { makeServerIdentity, type ServerIdentity } from './certificate.ts';
import type { HttpLab } from './http-lab.ts';
import { makeAccountKey } from './http-lab.ts';

export interface Keys {
  readonly tls: ServerIdentity;
  readonly credentials: LabCredentials;
  readonly accountKey: string;
  readonly webhookSecret: string;
  readonly vapidKey: string;
}

/** pn-param of phones of the lab is the team and this, with `.voip`. */
export const labBundle = 'org.example.phone';
export const fcmProject = 'lab-project';

const day = 86_400_000;
const certificateDays = 365;

/** Those of the last run when the folder has them and the certificate is good for this host and another week; else new ones, written there. */
export function keysIn(dir: string, host: string, teamId: string | undefined, keyId: string | undefined): Keys {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'push-lab.json');
  const kept = existsSync(file) ? readKeys(file) : undefined;
  if (kept !== undefined && isGoodFor(kept, host, teamId, keyId)) return kept;
  const addresses = [...new Set(['127.0.0.1', '::1', ...(isIP(host) === 0 ? [] : [host])])];
  const hosts = ['localhost', ...(isIP(host) === 0 && host !== 'localhost' ? [host] : [])];
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys: Keys = {
    tls: makeServerIdentity({ hosts, addresses }, certificateDays),
    credentials: makeLabCredentials(teamId, keyId),
    accountKey: makeAccountKey(),
    webhookSecret: randomBytes(16).toString('hex'),
    vapidKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
  writeFileSync(file, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600 });
  return keys;
}

/** Throws when it is no file of a lab: it may be somebody's, and is not written over. */
function readKeys(file: string): Keys {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    value = undefined;
  }
  const { tls, credentials, accountKey, webhookSecret, vapidKey } = (value ?? {}) as Partial<Keys>;
  const texts = [tls?.ca, tls?.certificate, tls?.key, credentials?.teamId, credentials?.keyId];
  const all = [...texts, credentials?.privateKey, accountKey, webhookSecret, vapidKey];
  if (all.every((one) => typeof one === 'string')) return value as Keys;
  throw new Error(`${file}: expected the keys of a push lab; remove it to make new ones`);
}

function isGoodFor({ tls, credentials }: Keys, host: string, teamId?: string, keyId?: string): boolean {
  const certificate = new X509Certificate(tls.certificate);
  const named = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  const lasts = Date.parse(certificate.validTo) > Date.now() + 7 * day;
  return (
    lasts &&
    named !== undefined &&
    (teamId === undefined || teamId === credentials.teamId) &&
    (keyId === undefined || keyId === credentials.keyId)
  );
}

export interface LabFiles {
  readonly ca: string;
  readonly key: string;
  readonly http?: Readonly<Record<'endpoint' | 'ca' | 'serviceAccount' | 'webhook' | 'webhookSecret', string>>;
}

export interface FolderContent {
  readonly ca: string;
  readonly credentials: LabCredentials;
  /** a .p8 file that is there already; one is written when absent */
  readonly keyFile: string | undefined;
  readonly http: HttpLab | undefined;
}

/** Writes what an edge needs to push to the lab; gives the absolute paths, and what else it must know. */
export function writeFiles(dir: string, { ca, credentials, keyFile, http }: FolderContent): LabFiles {
  const at = (name: string): string => resolve(dir, name);
  const secret = { mode: 0o600 };
  writeFileSync(at('ca.pem'), ca);
  const key = keyFile ?? at(`AuthKey_${credentials.keyId}.p8`);
  if (keyFile === undefined) writeFileSync(key, credentials.privateKey, secret);
  if (http === undefined) return { ca: at('ca.pem'), key };
  writeFileSync(at('http-ca.pem'), http.ca);
  writeFileSync(at('service-account.json'), http.serviceAccount, secret);
  const { endpoint, webhookSecret } = http;
  return {
    ca: at('ca.pem'),
    key,
    http: {
      endpoint,
      ca: at('http-ca.pem'),
      serviceAccount: at('service-account.json'),
      webhook: `${endpoint}/hook`,
      webhookSecret,
    },
  };
}

/** The `push` section of reveille.yaml for this lab; written to the folder as well, for it holds the webhook's secret. */
export function writeConfig(
  dir: string,
  endpoint: string,
  credentials: LabCredentials,
  files: LabFiles,
  vapidKey: string,
): string {
  const { teamId, keyId } = credentials;
  const { http } = files;
  const vapidFile = resolve(dir, 'vapid.pem');
  writeFileSync(vapidFile, vapidKey, { mode: 0o600 });
  const ios = {
    ...{ name: 'lab-ios', provider: 'apns', match: [`${teamId}.${labBundle}`], team_id: teamId, key_id: keyId },
    ...{ key_file: files.key, ca_file: files.ca, endpoint, sandbox_endpoint: endpoint },
  };
  const url = http === undefined ? undefined : new URL(http.endpoint);
  const host = url?.hostname.replace(/^\[|\]$/g, '');
  const push =
    http === undefined || url === undefined
      ? { apps: [ios] }
      : {
          apps: [
            ios,
            {
              ...{ name: 'lab-android', provider: 'fcm', match: [fcmProject] },
              ...{ service_account_file: http.serviceAccount, endpoint: http.endpoint, ca_file: http.ca },
            },
          ],
          webpush: {
            ...{ vapid_key_file: vapidFile, subject: 'mailto:push-lab@example.com', allow_hosts: [host] },
            ...{ allow_ports: [Number(url.port)], allow_private: true, ca_file: http.ca },
          },
          webhooks: [
            { name: 'lab-hook', provider: 'lab', url: http.webhook, secret: http.webhookSecret, ca_file: http.ca },
          ],
        };
  const text = stringify({ push });
  writeFileSync(resolve(dir, 'reveille-push.yaml'), text, { mode: 0o600 });
  return text;
}
