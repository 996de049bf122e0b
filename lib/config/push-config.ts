/** The section `push` with its files read: what each service needs, and nothing of the others. */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { EdgeError } from '../errors.ts';
import { readCertificates, readServiceAccount, readSigningKey, type ServiceAccountFile } from './files.ts';
import type { configSchema } from './schema.ts';
import type { Secret } from './secret.ts';
import { type Camel, isMapping, type Reading, valueAt } from './tree.ts';

type Raw = Camel<z.output<typeof configSchema>>;
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
  readonly ladder: LadderConfig;
  readonly ladders: readonly (LadderConfig & { readonly for: readonly string[] })[];
  /** absolute */
  readonly policyFile?: string;
  readonly policyTimeoutMs: number;
  readonly allowSharedToken: boolean;
  readonly deadlineMs: number;
}

/** What is left out is as in the ladder above it, or the default. */
export type LadderConfig = Raw['push']['ladder'];

/** What one app, one webhook or Web Push named in the file. */
interface FilesOfOne {
  key?: Secret;
  account?: ServiceAccountFile;
  ca?: string;
}

/** By the place in the file: `apps.0`, `webhooks.1`, `webpush`. */
export type PushFiles = ReadonlyMap<string, FilesOfOne>;

/** Keys, accounts and certificates that the section names. */
export const readPushFiles: Reading<typeof configSchema, PushFiles>['files'] = (tree, folder, tellAt) => {
  const found = new Map<string, FilesOfOne>();
  const read = (path: readonly (string | number)[]): void => {
    const about = valueAt(tree, ['push', ...path]);
    if (!isMapping(about)) return;
    const named = (name: string): string | undefined => {
      const value = about[name];
      return typeof value === 'string' && value !== '' ? value : undefined;
    };
    const tell = (name: string) => (expected: string, what: string) => tellAt(['push', ...path, name], expected, what);
    const files: FilesOfOne = {};
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

export function assemblePush(
  { apps, webpush, webhooks, policyFile, ...rest }: Raw['push'],
  files: PushFiles,
  folder: string,
): PushConfig {
  const filesOf = (place: string): FilesOfOne => files.get(place) ?? {};
  const trusting = ({ ca }: FilesOfOne): { readonly ca?: string } => (ca === undefined ? {} : { ca });
  const vapid = filesOf('webpush');
  return {
    ...rest,
    ...(policyFile === undefined ? {} : { policyFile: resolve(folder, policyFile) }),
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

function assembleApp(app: RawApp, { key, account, ca }: FilesOfOne): ApnsAppConfig | FcmAppConfig {
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
