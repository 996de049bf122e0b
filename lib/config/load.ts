/**
 * Text and environment become one frozen typed Config, once; nothing else reads process.env. Every mistake is reported, all
 * together, with its key, what was expected and what was found; the value of a secret never is.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { EdgeError } from '../errors.ts';
import { redact } from '../telemetry/redact.ts';
import { fileFault, readCertificates, readSigningKey } from './files.ts';
import type { KeyRow } from './keys.ts';
import { configKeys, configSchema } from './schema.ts';
import { Secret } from './secret.ts';

type CamelKey<K> = K extends `${infer A}_${infer B}` ? `${A}${Capitalize<CamelKey<B>>}` : K;
type Camel<T> = T extends Secret | string | number | boolean | undefined
  ? T
  : T extends readonly (infer U)[]
    ? readonly Camel<U>[]
    : { readonly [K in keyof T as CamelKey<K>]: Camel<T[K]> };

type Raw = Camel<z.output<typeof configSchema>>;

export type DomainConfig = Raw['domains'][number];
export type UserConfig = DomainConfig['users'][number];
export type RegistrationConfig = Raw['registration'];
export type WakeConfig = Raw['wake'];
export type LogLevel = Raw['log']['level'];

/** One app of a push service, its files already read. */
export type PushAppConfig = Omit<Raw['push']['apps'][number], 'key' | 'keyFile' | 'caFile'> & {
  /** EC P-256 private key in PEM */
  readonly key: Secret;
  /** PEM certificates to trust instead of Node's own list */
  readonly ca?: string;
};

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
  readonly push: { readonly apps: readonly PushAppConfig[]; readonly deadlineMs: number };
  readonly calls: Raw['calls'];
  readonly shutdown: Raw['shutdown'];
  readonly log: Raw['log'];
}

export interface ConfigMistake {
  /** `push.apps[0].key_file`; '' for the file as a whole */
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  /** the environment variable the value came from */
  readonly env?: string;
}

export interface LoadOptions {
  /** path of the YAML file; without it REVEILLE_CONFIG, and without that the defaults */
  readonly file?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Throws EdgeError EDGE_CONFIG_INVALID with every mistake in its message. */
export function load({ file, env = process.env }: LoadOptions = {}): Config {
  const named = file ?? nonEmpty(env['REVEILLE_CONFIG']);
  const source = named ?? 'defaults and environment';
  const tree = named === undefined ? {} : readYaml(named);
  const fromEnv = applyEnv(tree, env);
  const mistakes: ConfigMistake[] = [];

  const result = configSchema.safeParse(tree);
  if (!result.success) mistakes.push(...result.error.issues.flatMap((issue) => explain(issue, tree, fromEnv)));
  const folder = named === undefined ? process.cwd() : dirname(resolve(named));
  const files = readFiles(tree, folder, mistakes);
  if (!result.success || mistakes.length > 0) throw invalid(source, mistakes);
  return freeze(assemble(camel(result.data) as Raw, folder, files));
}

function readYaml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(file, [{ key: '', expected: 'a readable file', found: fileFault(error) }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines });
  if (document.errors.length > 0) {
    // the parser's own sentences can quote the text, and the text can be a password
    const where = document.errors.map((error): ConfigMistake => {
      const { line, col } = lines.linePos(error.pos[0]);
      const words = error.code.toLowerCase().replaceAll('_', ' ');
      return { key: '', expected: 'well-formed YAML', found: `${words} in line ${line}, column ${col}` };
    });
    throw invalid(file, where);
  }
  let tree: unknown;
  try {
    tree = withoutNulls(document.toJS({ maxAliasCount: 20 }));
  } catch {
    throw invalid(file, [
      {
        key: '',
        expected: 'aliases that are defined and few (a value that begins with * needs quotes)',
        found: 'others',
      },
    ]);
  }
  if (tree === undefined) return {};
  if (!isMapping(tree)) throw invalid(file, [{ key: '', expected: 'a mapping of keys', found: shape(tree) }]);
  return tree;
}

/** A key without a value counts as left out. */
function withoutNulls(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map((one: unknown) => (one === null ? null : withoutNulls(one)));
  if (!isMapping(value)) return value;
  const kept = Object.entries(value).filter(([, one]) => one !== null);
  return Object.fromEntries(kept.map(([key, one]) => [key, withoutNulls(one)]));
}

/** Writes the variables into the tree; gives back which key came from which variable. */
function applyEnv(tree: Record<string, unknown>, env: NonNullable<LoadOptions['env']>): ReadonlyMap<string, string> {
  const origin = new Map<string, string>();
  for (const row of configKeys) {
    const value = row.env === undefined ? undefined : nonEmpty(env[row.env]);
    if (row.env === undefined || value === undefined) continue;
    const path = row.path === 'domains[].upstream' ? anyDomain(tree) : row.path.split('.');
    if (path !== undefined && put(tree, path, fit(row, value))) origin.set(printPath(path), row.env);
  }
  return origin;
}

function fit(row: KeyRow, value: string): unknown {
  if (Array.isArray(row.fallback)) return value.split(',').map((part) => part.trim());
  return typeof row.fallback === 'number' && /^-?\d{1,15}$/.test(value) ? Number(value) : value;
}

/** REVEILLE_UPSTREAM speaks of the domain `*`, which is added when the file lists others only. */
function anyDomain(tree: Record<string, unknown>): (string | number)[] | undefined {
  const domains = (tree['domains'] ??= []);
  if (!Array.isArray(domains)) return undefined;
  let at = domains.findIndex((one) => isMapping(one) && one['name'] === '*');
  if (at < 0) at = domains.push({ name: '*' }) - 1;
  return ['domains', at, 'upstream'];
}

/** False when something on the way is not a mapping; that is reported by the schema. */
function put(tree: Record<string, unknown>, path: readonly (string | number)[], value: unknown): boolean {
  let at: Record<string, unknown> = tree;
  for (const step of path.slice(0, -1)) {
    const next = (at[step] ??= {});
    if (typeof next !== 'object' || next === null) return false;
    at = next as Record<string, unknown>;
  }
  at[path.at(-1) ?? ''] = value;
  return true;
}

function explain(issue: z.core.$ZodIssue, tree: unknown, fromEnv: ReadonlyMap<string, string>): ConfigMistake[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  const key = printPath(path);
  if (issue.code === 'unrecognized_keys') {
    // the value of a misspelt key may be a secret, so only its name is shown
    const known = childrenOf(path).join(', ');
    return issue.keys.map((name) => ({
      key: printPath([...path, name]),
      expected: `one of the keys ${known}`,
      found: 'an unknown key',
    }));
  }
  const row = rowOf(path);
  const inList = typeof path.at(-1) === 'number';
  const variable = fromEnv.get(key);
  const said = issue.code === 'custom' && isMapping(issue.params) ? issue.params['found'] : undefined;
  return [
    {
      key,
      expected: typeof said === 'string' ? issue.message : ((inList ? row?.entry : row?.expected) ?? sectionKind(path)),
      found: typeof said === 'string' ? said : show(valueAt(tree, path), row?.secret === true),
      ...(variable === undefined ? {} : { env: variable }),
    },
  ];
}

function rowOf(path: readonly (string | number)[]): KeyRow | undefined {
  const find = (text: string): KeyRow | undefined => configKeys.find((row) => row.path === text);
  const general = path
    .map((step) => (typeof step === 'number' ? '[]' : `.${step}`))
    .join('')
    .replace(/^\./, '');
  // an element of a list of plain values is described by the key of the list
  return find(general) ?? find(general.replace(/\[\]$/, ''));
}

function childrenOf(path: readonly (string | number)[]): string[] {
  const general = path
    .map((step) => (typeof step === 'number' ? '[]' : `.${step}`))
    .join('')
    .replace(/^\./, '');
  const start = general === '' ? '' : `${general}.`;
  const names = configKeys
    .filter((row) => row.path.startsWith(start))
    .map((row) => row.path.slice(start.length).split(/[.[]/)[0] ?? '');
  return [...new Set(names)];
}

function sectionKind(path: readonly (string | number)[]): string {
  const last = path.at(-1);
  return last === 'domains'
    ? 'a list with at least one entry'
    : last === 'apps' || last === 'users'
      ? 'a list'
      : 'a mapping of keys';
}

function valueAt(tree: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (at, step) => (typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[step] : undefined),
    tree,
  );
}

function show(value: unknown, secret: boolean): string {
  if (value === undefined) return 'nothing';
  if (secret || (typeof value === 'object' && value !== null))
    return secret ? `${shape(value)} (not shown)` : shape(value);
  const text = redact(JSON.stringify(value) ?? shape(value));
  return text.length <= 80 ? text : `${text.slice(0, 77)}..."`;
}

function shape(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'object') return 'a mapping';
  return typeof value === 'string' ? 'text' : `a ${typeof value}`;
}

/** Signing keys and certificates by app. Looks at the tree and not at the result, so that a missing file is told with all the rest. */
function readFiles(
  tree: unknown,
  folder: string,
  mistakes: ConfigMistake[],
): ReadonlyMap<number, { readonly key?: Secret; readonly ca?: string }> {
  const found = new Map<number, { key?: Secret; ca?: string }>();
  const apps = valueAt(tree, ['push', 'apps']);
  if (!Array.isArray(apps)) return found;
  apps.forEach((app: unknown, index) => {
    if (!isMapping(app)) return;
    const tell = (name: string) => (expected: string, what: string) =>
      mistakes.push({ key: printPath(['push', 'apps', index, name]), expected, found: what });
    const { key, key_file: keyFile, ca_file: caFile } = app;
    const read: { key?: Secret; ca?: string } = {};
    if (typeof keyFile === 'string' && keyFile !== '') {
      const secret = readSigningKey({ path: resolve(folder, keyFile) }, tell('key_file'));
      if (secret !== undefined) read.key = secret;
    } else if (typeof key === 'string' && key !== '') {
      const secret = readSigningKey({ text: key }, tell('key'));
      if (secret !== undefined) read.key = secret;
    }
    if (typeof caFile === 'string' && caFile !== '') {
      const ca = readCertificates(resolve(folder, caFile), tell('ca_file'));
      if (ca !== undefined) read.ca = ca;
    }
    found.set(index, read);
  });
  return found;
}

function assemble(raw: Raw, folder: string, files: ReturnType<typeof readFiles>): Config {
  const { drachtio } = raw.engine;
  return {
    ...raw,
    engine:
      raw.engine.kind === 'drachtio' && drachtio.secret !== undefined
        ? { kind: 'drachtio', host: drachtio.host, port: drachtio.port, secret: drachtio.secret }
        : { kind: 'embedded' },
    store: assembleStore(raw.store, folder),
    push: {
      ...raw.push,
      apps: raw.push.apps.map(({ key: _, keyFile: _file, caFile: _ca, ...app }, index) => {
        const { key, ca } = files.get(index) ?? {};
        if (key === undefined) throw new EdgeError('EDGE_INTERNAL', `app ${app.name} passed the checks without a key`);
        return { ...app, key, ...(ca === undefined ? {} : { ca }) };
      }),
    },
  };
}

function assembleStore(store: Raw['store'], folder: string): StoreConfig {
  if (store.kind === 'redis' && store.redisUrl !== undefined)
    return { kind: 'redis', url: store.redisUrl, keyPrefix: store.keyPrefix };
  return store.kind === 'memory' ? { kind: 'memory' } : { kind: 'lmdb', path: resolve(folder, store.path) };
}

function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel);
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([key, one]) => [key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()), camel(one)]),
  );
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret);
}

function printPath(path: readonly (string | number)[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value;
}

function invalid(source: string, mistakes: readonly ConfigMistake[]): EdgeError {
  const unique = [...new Set(mistakes.map(sentence))];
  const count = unique.length === 1 ? '1 mistake' : `${unique.length} mistakes`;
  return new EdgeError(
    'EDGE_CONFIG_INVALID',
    `The configuration (${source}) has ${count}:\n${unique.map((line) => `  ${line}`).join('\n')}`,
  );
}

function sentence({ key, expected, found, env }: ConfigMistake): string {
  const from = env === undefined ? '' : ` (from ${env})`;
  return `${key === '' ? '' : `${key}${from}: `}expected ${expected}, found ${found}`;
}
