/**
 * Text and environment become one frozen typed Config, once; nothing else reads process.env. Every mistake is reported, all
 * together, with its key, what was expected and what was found; the value of a secret never is.
 */
import { resolve } from 'node:path';
import type { z } from 'zod';
import type { TlsTexts } from './certificates.ts';
import { assembleSip, readTlsFiles, type SipConfig, type TlsFiles } from './engine-options.ts';
import type { EngineSections } from './engine-sections.ts';
import { readCertificates } from './files.ts';
import { assemblePush, type PushConfig, type PushFiles, readPushFiles } from './push-config.ts';
import { readRedisFiles } from './redis-schema.ts';
import { configKeys, configSchema } from './schema.ts';
import type { Secret } from './secret.ts';
import {
  type Camel,
  type Environment,
  freeze,
  nonEmpty,
  readConfig,
  type Reading,
  valueAt,
  yamlSource,
} from './tree.ts';

type Raw = Camel<z.output<typeof configSchema>>;

export type DomainConfig = Raw['domains'][number];
export type UserConfig = DomainConfig['users'][number];
export type AccountConfig = DomainConfig['accounts'][number];
export type RegistrationConfig = Raw['registration'];
export type WakeConfig = Raw['wake'];
export type LogLevel = Raw['log']['level'];

export type EngineConfig =
  | ({ readonly kind: 'embedded'; readonly thread: Raw['engine']['thread'] } & EngineSections)
  | {
      readonly kind: 'drachtio';
      readonly host: string;
      readonly port: number;
      readonly secret: Secret;
      readonly tls?: { readonly ca?: string; readonly serverName?: string };
      readonly maxFrameOctets: number;
    };

export type StoreConfig =
  /** `path` is absolute */
  | { readonly kind: 'lmdb'; readonly path: string }
  | ({ readonly kind: 'redis'; readonly url: Secret; readonly keyPrefix: string } & RedisWay)
  | { readonly kind: 'memory' };

/** How Redis is reached; `files` are PEM texts. */
type RedisWay = Pick<
  Raw['store']['redis'],
  'sentinels' | 'primaryName' | 'sentinelPassword' | 'cluster' | 'serverName'
> & { readonly files: TlsTexts };

export interface Config {
  /** absolute path of the YAML file; undefined: there is none */
  readonly file: string | undefined;
  readonly sip: SipConfig;
  readonly engine: EngineConfig;
  readonly http: Raw['http'];
  readonly store: StoreConfig;
  readonly nodes: Raw['nodes'];
  /** in the order of the file; at most one of each name, `*` for all others */
  readonly domains: readonly DomainConfig[];
  readonly registration: RegistrationConfig;
  readonly onBehalf: Raw['onBehalf'];
  /** for what the store keeps of secrets */
  readonly secretKeys: {
    readonly key: Secret | undefined /** absolute */;
    readonly file: string | undefined;
    readonly old: readonly Secret[];
  };
  readonly wake: WakeConfig;
  readonly push: PushConfig;
  readonly calls: Raw['calls'];
  readonly media: Raw['media'];
  readonly messages: Raw['messages'];
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
  const path = file ?? nonEmpty(env['REVEILLE_CONFIG']);
  const source = yamlSource(path);
  const { raw, files } = readConfig({ schema: configSchema, keys: configKeys, source, env, files: readFiles });
  return freeze({ ...assemble(raw, source.folder, files), file: path === undefined ? undefined : resolve(path) });
}

interface Files {
  readonly push: PushFiles;
  readonly tls: TlsFiles;
  readonly redis: TlsTexts;
  /** certificates to trust at the control port of a drachtio-server */
  readonly engineCa: string | undefined;
}

const readFiles: Reading<typeof configSchema, Files>['files'] = (tree, folder, tellAt) => ({
  push: readPushFiles(tree, folder, tellAt),
  tls: readTlsFiles(['sip', 'tls'], tree, folder, tellAt),
  redis: readRedisFiles(tree, folder, tellAt),
  engineCa: readEngineCa(tree, folder, tellAt),
});

type ReadSome<T> = (...from: Parameters<Reading<typeof configSchema, Files>['files']>) => T;

const readEngineCa: ReadSome<string | undefined> = (tree, folder, tellAt) => {
  const at = ['engine', 'drachtio', 'ca_file'];
  const file = valueAt(tree, at);
  if (typeof file !== 'string' || file === '' || valueAt(tree, ['engine', 'drachtio', 'transport']) !== 'tls')
    return undefined;
  return readCertificates(resolve(folder, file), (expected, found) => tellAt(at, expected, found));
};

function assembleEngine(
  { kind, thread, drachtio, limits, timers }: Raw['engine'],
  ca: string | undefined,
): EngineConfig {
  const { host, port, secret, transport, serverName, maxFrameOctets } = drachtio;
  if (kind !== 'drachtio' || secret === undefined) return { kind: 'embedded', thread, limits, timers };
  const tls = { ...(ca === undefined ? {} : { ca }), ...(serverName === undefined ? {} : { serverName }) };
  return { kind, host, port, secret, maxFrameOctets, ...(transport === 'tls' ? { tls } : {}) };
}

function assemble(raw: Raw, folder: string, files: Files): Omit<Config, 'file'> {
  return {
    ...raw,
    sip: assembleSip(raw.sip, files.tls),
    engine: assembleEngine(raw.engine, files.engineCa),
    store: assembleStore(raw.store, folder, files.redis),
    secretKeys: {
      key: raw.store.secretKey,
      file: raw.store.secretKeyFile === undefined ? undefined : resolve(folder, raw.store.secretKeyFile),
      old: raw.store.oldSecretKeys,
    },
    push: assemblePush(raw.push, files.push, folder),
  };
}

function assembleStore(store: Raw['store'], folder: string, files: TlsTexts): StoreConfig {
  if (store.kind === 'redis' && store.redisUrl !== undefined) {
    const { caFile: _ca, certFile: _cert, keyFile: _key, ...way } = store.redis;
    return { kind: 'redis', url: store.redisUrl, keyPrefix: store.keyPrefix, ...way, files };
  }
  return store.kind === 'memory' ? { kind: 'memory' } : { kind: 'lmdb', path: resolve(folder, store.path) };
}
