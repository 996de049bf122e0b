/** The section `push` with its files read: what each service needs, and nothing of the others. */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { EdgeError } from '../errors.ts';
import type { PayloadTemplate } from '../payload/template.ts';
import { environmentsOf, keyFor } from './apns-keys.ts';
import {
  readCertificates,
  readServiceAccount,
  readSigningKey,
  type ServiceAccountFile,
  writtenAtMs,
  isOpenToOthers,
} from './files.ts';
import { readTemplate } from './payload-template.ts';
import type { configSchema } from './schema.ts';
import type { Secret } from './secret.ts';
import { type Camel, isMapping, type Reading, valueAt } from './tree.ts';

type Raw = Camel<z.output<typeof configSchema>>;
type RawApp = Raw['push']['apps'][number];

/** Profile `template` has its template; the others have none. */
type Payload = Pick<RawApp, 'profile' | 'privacy'> & { readonly template?: PayloadTemplate };

export interface ApnsKeyConfig {
  readonly keyId: string;
  /** EC P-256 private key in PEM */
  readonly key: Secret;
}

/** An app on APNs, its files already read. */
export type ApnsAppConfig = Payload &
  ApnsKeyConfig &
  Pick<RawApp, 'name' | 'match' | 'sandboxEndpoint' | 'environment' | 'callExpiration'> & {
    readonly provider: 'apns';
    readonly teamId: string;
    /** when it is another one than in production */
    readonly sandboxKey?: ApnsKeyConfig;
    readonly endpoint: string;
    /** PEM certificates to trust instead of Node's own list */
    readonly ca?: string;
  };

/** An app on FCM, its files already read. */
export type FcmAppConfig = Payload &
  Pick<RawApp, 'name' | 'match'> & {
    readonly provider: 'fcm';
    readonly account: ServiceAccountFile;
    /** when the file of the account was written, ms since the epoch */
    readonly accountWrittenAt?: number;
    readonly endpoint: string;
    readonly ca?: string;
  };

export type WebPushConfig = Omit<NonNullable<Raw['push']['webpush']>, 'vapidKeyFile' | 'caFile'> & {
  /** EC P-256 private key in PEM */
  readonly key: Secret;
  readonly ca?: string;
};

export type WebhookConfig = Omit<Raw['push']['webhooks'][number], 'caFile' | 'template'> & {
  readonly template?: PayloadTemplate;
  readonly ca?: string;
};

export interface PushConfig {
  readonly apps: readonly (ApnsAppConfig | FcmAppConfig)[];
  readonly webpush?: WebPushConfig;
  readonly unifiedpush?: WebPushConfig;
  readonly webhooks: readonly WebhookConfig[];
  readonly proxy?: NonNullable<Raw['push']['proxy']>;
  /** HTTP/2 connections to each service that are always open */
  readonly connections: number;
  /** refresh pushes to one app */
  readonly refreshPerSecond: number;
  readonly ladder: LadderConfig;
  readonly ladders: readonly (LadderConfig & { readonly for: readonly string[] })[];
  /** absolute */
  readonly policyFile?: string;
  readonly policyTimeoutMs: number;
  readonly allowSharedToken: boolean;
  /** pn-providers that are only written to the log; empty: none */
  readonly logged: readonly string[];
  readonly deadlineMs: number;
  readonly selfTest: Raw['push']['selfTest'];
  readonly expiryWarningDays: number;
  readonly keyAgeWarningDays: number;
  /** absolute paths of everything that was read: a change of one of them is a reason to read again */
  readonly files: readonly string[];
  /** of these, keys that others of this machine may read or change */
  readonly openKeys: readonly string[];
}

/** What is left out is as in the ladder above it, or the default. */
export type LadderConfig = Raw['push']['ladder'];

/** What one app, one webhook or Web Push named in the file. */
interface FilesOfOne {
  readonly paths: string[];
  readonly openKeys: string[];
  key?: Secret;
  accountWrittenAt?: number;
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
    const files: FilesOfOne = { paths: [], openKeys: [] };
    const pathOf = (value: string): string => {
      const path = resolve(folder, value);
      files.paths.push(path);
      return path;
    };
    const secretPathOf = (value: string): string => {
      const path = pathOf(value);
      if (isOpenToOthers(path)) files.openKeys.push(path);
      return path;
    };
    for (const name of ['key_file', 'vapid_key_file', 'key']) {
      const value = named(name);
      if (value === undefined || files.key !== undefined) continue;
      const secret = readSigningKey(name === 'key' ? { text: value } : { path: secretPathOf(value) }, tell(name));
      if (secret !== undefined) files.key = secret;
    }
    const accountFile = named('service_account_file');
    if (accountFile !== undefined) {
      const path = secretPathOf(accountFile);
      const account = readServiceAccount(path, tell('service_account_file'));
      const writtenAt = writtenAtMs(path);
      if (account !== undefined) files.account = account;
      if (writtenAt !== undefined) files.accountWrittenAt = writtenAt;
    }
    const caFile = named('ca_file');
    const ca = caFile === undefined ? undefined : readCertificates(pathOf(caFile), tell('ca_file'));
    if (ca !== undefined) files.ca = ca;
    found.set(path.join('.'), files);
  };
  for (const list of ['apps', 'webhooks', 'apns_keys']) {
    const entries = valueAt(tree, ['push', list]);
    if (Array.isArray(entries)) entries.forEach((_entry, index) => read([list, index]));
  }
  read(['webpush']);
  read(['unifiedpush']);
  return found;
};

export function assemblePush(raw: Raw['push'], files: PushFiles, folder: string): PushConfig {
  const {
    apps,
    webpush,
    unifiedpush,
    webhooks,
    log,
    deadlineMs,
    proxy,
    connections,
    refreshPerSecond,
    selfTest,
    expiryWarningDays,
    keyAgeWarningDays,
  } = raw;
  const filesOf = (place: string): FilesOfOne => files.get(place) ?? { paths: [], openKeys: [] };
  const browsers = assembleWebPush(webpush, filesOf('webpush'));
  const distributors = assembleWebPush(unifiedpush, filesOf('unifiedpush'));
  const teamKeys = raw.apnsKeys.map((one, index) => ({ ...one, read: filesOf(`apns_keys.${index}`).key }));
  return {
    deadlineMs,
    connections,
    refreshPerSecond,
    ...(proxy === undefined ? {} : { proxy }),
    ...{ ladder: raw.ladder, ladders: raw.ladders, allowSharedToken: raw.allowSharedToken },
    policyTimeoutMs: raw.policyTimeoutMs,
    ...(raw.policyFile === undefined ? {} : { policyFile: resolve(folder, raw.policyFile) }),
    selfTest,
    expiryWarningDays,
    keyAgeWarningDays,
    logged: log?.providers ?? [],
    files: [...new Set([...files.values()].flatMap(({ paths }) => paths))],
    openKeys: [...new Set([...files.values()].flatMap(({ openKeys }) => openKeys))],
    apps: apps.map((app, index) => assembleApp(app, filesOf(`apps.${index}`), teamKeys)),
    webhooks: webhooks.map(({ caFile: _, template, ...hook }, index) => ({
      ...hook,
      ...templateOf(template),
      ...trusting(filesOf(`webhooks.${index}`)),
    })),
    ...(browsers === undefined ? {} : { webpush: browsers }),
    ...(distributors === undefined ? {} : { unifiedpush: distributors }),
  };
}

function trusting({ ca }: FilesOfOne): { readonly ca?: string } {
  return ca === undefined ? {} : { ca };
}

function templateOf(template: string | undefined): { readonly template?: PayloadTemplate } {
  return template === undefined ? {} : { template: readTemplate(template) };
}

function assembleWebPush(raw: Raw['push']['webpush'], files: FilesOfOne): WebPushConfig | undefined {
  if (raw === undefined || files.key === undefined) return undefined;
  const { vapidKeyFile: _key, caFile: _ca, ...rest } = raw;
  return { ...rest, key: files.key, ...trusting(files) };
}

type TeamKey = Raw['push']['apnsKeys'][number] & { readonly read: Secret | undefined };

function assembleApp(app: RawApp, files: FilesOfOne, teamKeys: readonly TeamKey[]): ApnsAppConfig | FcmAppConfig {
  const { name, match, profile, privacy } = app;
  const common = { name, match, profile, privacy, ...templateOf(app.template), ...trusting(files) };
  if (app.provider === 'fcm' && files.account !== undefined) {
    const endpoint = app.endpoint ?? 'https://fcm.googleapis.com';
    const { account, accountWrittenAt } = files;
    return {
      ...common,
      provider: 'fcm',
      account,
      endpoint,
      ...(accountWrittenAt === undefined ? {} : { accountWrittenAt }),
    };
  }
  const { sandboxEndpoint, environment, callExpiration } = app;
  const endpoint = app.endpoint ?? 'https://api.push.apple.com';
  return {
    ...common,
    ...{ provider: 'apns', endpoint, sandboxEndpoint, environment, callExpiration },
    ...apnsKeysOf(app, files, teamKeys),
  };
}

/** Of its own, or of the team. */
function apnsKeysOf(
  { name, teamId, keyId, environment, match }: RawApp,
  { key }: FilesOfOne,
  teamKeys: readonly TeamKey[],
): Pick<ApnsAppConfig, 'teamId' | 'keyId' | 'key' | 'sandboxKey'> {
  if (key !== undefined && teamId !== undefined && keyId !== undefined) return { teamId, keyId, key };
  const scope = { team: teamId, environment, match };
  const scopes = teamKeys.map(({ teamId: team, environments, topics }) => ({ team, environments, topics }));
  const found = environmentsOf(environment).map((one) => teamKeys[keyFor(scopes, scope, one) ?? -1]);
  const [first, second] = found;
  if (first?.read === undefined || (found.length > 1 && second?.read === undefined))
    throw new EdgeError('EDGE_INTERNAL', `app ${name} passed the checks without its credentials`);
  const other =
    second?.read === undefined || second === first ? {} : { sandboxKey: { keyId: second.keyId, key: second.read } };
  return { teamId: first.teamId, keyId: first.keyId, key: first.read, ...other };
}
