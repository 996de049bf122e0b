/**
 * Text and environment become one frozen typed Config, once; nothing else reads process.env. Every mistake is reported, all
 * together, with its key, what was expected and what was found; the value of a secret never is.
 */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { EdgeError } from '../errors.ts';
import { readCertificates, readServiceAccount, readSigningKey, type ServiceAccountFile } from './files.ts';
import { configKeys, configSchema } from './schema.ts';
import type { Secret } from './secret.ts';
import {
  type Camel,
  type Environment,
  freeze,
  isMapping,
  nonEmpty,
  readConfig,
  type Reading,
  valueAt,
} from './tree.ts';

type Raw = Camel<z.output<typeof configSchema>>;

export type DomainConfig = Raw['domains'][number];
export type UserConfig = DomainConfig['users'][number];
export type RegistrationConfig = Raw['registration'];
export type WakeConfig = Raw['wake'];
export type LogLevel = Raw['log']['level'];

type RawApp = Raw['push']['apps'][number];

/** An app on APNs, its files already read. */
export type ApnsAppConfig = Pick<
  RawApp,
  'name' | 'match' | 'sandboxEndpoint' | 'environment' | 'profile' | 'privacy' | 'callExpiration'
> & {
  readonly provider: 'apns';
  readonly teamId: string;
  readonly keyId: string;
  readonly endpoint: string;
  /** EC P-256 private key in PEM */
  readonly key: Secret;
  /** PEM certificates to trust instead of Node's own list */
  readonly ca?: string;
};

/** An app on FCM, its files already read. */
export type FcmAppConfig = Pick<RawApp, 'name' | 'match' | 'profile' | 'privacy'> & {
  readonly provider: 'fcm';
  readonly account: ServiceAccountFile;
  readonly endpoint: string;
  readonly ca?: string;
};

export type WebPushConfig = Omit<NonNullable<Raw['push']['webpush']>, 'vapidKeyFile' | 'caFile'> & {
  /** EC P-256 private key in PEM */
  readonly key: Secret;
  readonly ca?: string;
};

export type WebhookConfig = Omit<Raw['push']['webhooks'][number], 'caFile'> & { readonly ca?: string };

export interface PushConfig {
  readonly apps: readonly (ApnsAppConfig | FcmAppConfig)[];
  readonly webpush?: WebPushConfig;
  readonly webhooks: readonly WebhookConfig[];
  readonly deadlineMs: number;
}

export type EngineConfig =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'drachtio'; readonly host: string; readonly port: number; readonly secret: Secret };

export type StoreConfig =
  /** `path` is absolute */
  | { readonly kind: 'lmdb'; readonly path: string }
  | { readonly kind: 'redis'; readonly url: Secret; readonly keyPrefix: string }
  | { readonly kind: 'memory' };

export interface Config {
  readonly sip: Raw['sip'];
  readonly engine: EngineConfig;
  readonly http: Raw['http'];
  readonly store: StoreConfig;
  /** in the order of the file; at most one of each name, `*` for all others */
  readonly domains: readonly DomainConfig[];
  readonly registration: RegistrationConfig;
  readonly wake: WakeConfig;
  readonly push: PushConfig;
  readonly calls: Raw['calls'];
  readonly shutdown: Raw['shutdown'];
  readonly log: Raw['log'];
}

export interface LoadOptions {
  /** path of the YAML file; without it REVEILLE_CONFIG, and without that the defaults */
  readonly file?: string;
  readonly env?: Environment;
}

/** Throws EdgeError EDGE_CONFIG_INVALID with every mistake in its message. */
export function load({ file, env = process.env }: LoadOptions = {}): Config {
  const { raw, folder, files } = readConfig({
    schema: configSchema,
    keys: configKeys,
    file: file ?? nonEmpty(env['REVEILLE_CONFIG']),
    env,
    files: readFiles,
  });
  return freeze(assemble(raw, folder, files));
}

/** What one app, one webhook or Web Push named in the file. */
interface PushFiles {
  key?: Secret;
  account?: ServiceAccountFile;
  ca?: string;
}

/** By the place in the file: `apps.0`, `webhooks.1`, `webpush`. */
type Files = ReadonlyMap<string, PushFiles>;

const readFiles: Reading<typeof configSchema, Files>['files'] = (tree, folder, tellAt) => {
  const found = new Map<string, PushFiles>();
  const read = (path: readonly (string | number)[]): void => {
    const about = valueAt(tree, ['push', ...path]);
    if (!isMapping(about)) return;
    const named = (name: string): string | undefined => {
      const value = about[name];
      return typeof value === 'string' && value !== '' ? value : undefined;
    };
    const tell = (name: string) => (expected: string, what: string) => tellAt(['push', ...path, name], expected, what);
    const files: PushFiles = {};
    for (const name of ['key_file', 'vapid_key_file', 'key']) {
      const value = named(name);
      if (value === undefined || files.key !== undefined) continue;
      const secret = readSigningKey(name === 'key' ? { text: value } : { path: resolve(folder, value) }, tell(name));
      if (secret !== undefined) files.key = secret;
    }
    const accountFile = named('service_account_file');
    const account =
      accountFile === undefined
        ? undefined
        : readServiceAccount(resolve(folder, accountFile), tell('service_account_file'));
    if (account !== undefined) files.account = account;
    const caFile = named('ca_file');
    const ca = caFile === undefined ? undefined : readCertificates(resolve(folder, caFile), tell('ca_file'));
    if (ca !== undefined) files.ca = ca;
    found.set(path.join('.'), files);
  };
  for (const list of ['apps', 'webhooks']) {
    const entries = valueAt(tree, ['push', list]);
    if (Array.isArray(entries)) entries.forEach((_entry, index) => read([list, index]));
  }
  read(['webpush']);
  return found;
};

function assemble(raw: Raw, folder: string, files: Files): Config {
  const { drachtio } = raw.engine;
  return {
    ...raw,
    engine:
      raw.engine.kind === 'drachtio' && drachtio.secret !== undefined
        ? { kind: 'drachtio', host: drachtio.host, port: drachtio.port, secret: drachtio.secret }
        : { kind: 'embedded' },
    store: assembleStore(raw.store, folder),
    push: assemblePush(raw.push, files),
  };
}

function assemblePush({ apps, webpush, webhooks, deadlineMs }: Raw['push'], files: Files): PushConfig {
  const filesOf = (place: string): PushFiles => files.get(place) ?? {};
  const trusting = ({ ca }: PushFiles): { readonly ca?: string } => (ca === undefined ? {} : { ca });
  const vapid = filesOf('webpush');
  return {
    deadlineMs,
    apps: apps.map((app, index) => assembleApp(app, filesOf(`apps.${index}`))),
    webhooks: webhooks.map(({ caFile: _, ...hook }, index) => ({ ...hook, ...trusting(filesOf(`webhooks.${index}`)) })),
    ...(webpush === undefined || vapid.key === undefined
      ? {}
      : { webpush: { ...withoutFiles(webpush), key: vapid.key, ...trusting(vapid) } }),
  };
}

function withoutFiles({ vapidKeyFile: _key, caFile: _ca, ...rest }: NonNullable<Raw['push']['webpush']>) {
  return rest;
}

function assembleApp(app: RawApp, { key, account, ca }: PushFiles): ApnsAppConfig | FcmAppConfig {
  const { name, match, profile, privacy, sandboxEndpoint, environment, callExpiration, teamId, keyId } = app;
  const trust = ca === undefined ? {} : { ca };
  if (app.provider === 'fcm' && account !== undefined) {
    const endpoint = app.endpoint ?? 'https://fcm.googleapis.com';
    return { provider: 'fcm', name, match, profile, privacy, account, endpoint, ...trust };
  }
  if (key === undefined || teamId === undefined || keyId === undefined)
    throw new EdgeError('EDGE_INTERNAL', `app ${name} passed the checks without its credentials`);
  const endpoint = app.endpoint ?? 'https://api.push.apple.com';
  return {
    ...{ provider: 'apns', name, match, profile, privacy, sandboxEndpoint, environment, callExpiration },
    ...{ teamId, keyId, key, endpoint },
    ...trust,
  };
}

function assembleStore(store: Raw['store'], folder: string): StoreConfig {
  if (store.kind === 'redis' && store.redisUrl !== undefined)
    return { kind: 'redis', url: store.redisUrl, keyPrefix: store.keyPrefix };
  return store.kind === 'memory' ? { kind: 'memory' } : { kind: 'lmdb', path: resolve(folder, store.path) };
}
