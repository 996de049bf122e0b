/**
 * From a YAML file and the environment to a checked tree: what every config of ours has in common, whatever its keys. Every
 * mistake is reported, all together, with its key, what was expected and what was found; the value of a secret never is.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { EdgeError } from '../errors.ts';
import { redact } from '../telemetry/redact.ts';
import { fileFault } from './files.ts';
import type { KeyRow } from './keys.ts';
import { Secret } from './secret.ts';

type CamelKey<K> = K extends `${infer A}_${infer B}` ? `${A}${Capitalize<CamelKey<B>>}` : K;
/** What a schema gives, its keys in camel case. */
export type Camel<T> = T extends Secret | string | number | boolean | undefined
  ? T
  : T extends readonly (infer U)[]
    ? readonly Camel<U>[]
    : { readonly [K in keyof T as CamelKey<K>]: Camel<T[K]> };

export interface ConfigMistake {
  /** `push.apps[0].key_file`; '' for the file as a whole */
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  /** the environment variable the value came from */
  readonly env?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;
export type KeyPath = readonly (string | number)[];

/** A tree before its check. Keys are those of the schema, whatever the file calls them. */
export interface Source {
  /** for the operator: the file */
  readonly name: string;
  /** where relative paths count from */
  readonly folder: string;
  readonly tree: Record<string, unknown>;
  /** what the file calls a key, where that is not the key itself */
  readonly named?: ReadonlyMap<string, string>;
}

/** A YAML file, or nothing but the environment. Throws EDGE_CONFIG_INVALID when it cannot be read. */
export function yamlSource(file: string | undefined): Source {
  return file === undefined
    ? { name: 'defaults and environment', folder: process.cwd(), tree: {} }
    : { name: file, folder: dirname(resolve(file)), tree: readYaml(file) };
}

export interface Reading<S extends z.ZodType, F> {
  readonly schema: S;
  readonly keys: readonly KeyRow[];
  readonly source: Source;
  readonly env: Environment;
  /** Reads the files the tree names. Gets the tree and not the result, so that a missing file is told with all the rest. */
  readonly files: (tree: unknown, folder: string, tell: (path: KeyPath, expected: string, found: string) => void) => F;
}

/** Throws EdgeError EDGE_CONFIG_INVALID with every mistake in its message. */
export function readConfig<S extends z.ZodType, F>({
  schema,
  keys,
  source,
  env,
  files: readFiles,
}: Reading<S, F>): { readonly raw: Camel<z.output<S>>; readonly files: F } {
  const { tree, folder, named } = source;
  const fromEnv = applyEnv(keys, tree, env);
  const mistakes: ConfigMistake[] = [];
  const result = schema.safeParse(tree);
  if (!result.success) mistakes.push(...result.error.issues.flatMap((issue) => explain(keys, issue, tree, fromEnv)));
  const files = readFiles(tree, folder, (path, expected, found) =>
    mistakes.push({ key: printPath(path), expected, found }),
  );
  if (!result.success || mistakes.length > 0) {
    const told = mistakes.map((mistake) => ({ ...mistake, key: named?.get(mistake.key) ?? mistake.key }));
    throw invalid(source.name, told);
  }
  return { raw: camel(result.data) as Camel<z.output<S>>, files };
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
function applyEnv(
  keys: readonly KeyRow[],
  tree: Record<string, unknown>,
  env: Environment,
): ReadonlyMap<string, string> {
  const origin = new Map<string, string>();
  for (const row of keys) {
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

function explain(
  keys: readonly KeyRow[],
  issue: z.core.$ZodIssue,
  tree: unknown,
  fromEnv: ReadonlyMap<string, string>,
): ConfigMistake[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  const key = printPath(path);
  if (issue.code === 'unrecognized_keys') {
    // the value of a misspelt key may be a secret, so only its name is shown
    const known = childrenOf(keys, path).join(', ');
    return issue.keys.map((name) => ({
      key: printPath([...path, name]),
      expected: `one of the keys ${known}`,
      found: 'an unknown key',
    }));
  }
  const row = rowOf(keys, path);
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

function rowOf(keys: readonly KeyRow[], path: readonly (string | number)[]): KeyRow | undefined {
  const find = (text: string): KeyRow | undefined => keys.find((row) => row.path === text);
  const general = path
    .map((step) => (typeof step === 'number' ? '[]' : `.${step}`))
    .join('')
    .replace(/^\./, '');
  // an element of a list of plain values is described by the key of the list
  return find(general) ?? find(general.replace(/\[\]$/, ''));
}

function childrenOf(keys: readonly KeyRow[], path: readonly (string | number)[]): string[] {
  const general = path
    .map((step) => (typeof step === 'number' ? '[]' : `.${step}`))
    .join('')
    .replace(/^\./, '');
  const start = general === '' ? '' : `${general}.`;
  const names = keys
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

export function valueAt(tree: unknown, path: readonly (string | number)[]): unknown {
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

function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel);
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([key, one]) => [key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()), camel(one)]),
  );
}

/** All the way down. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret);
}

function printPath(path: readonly (string | number)[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

export function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value;
}

export function invalid(source: string, mistakes: readonly ConfigMistake[]): EdgeError {
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
