/** How a key of the config is declared: kind, default, environment variable and one sentence, kept beside the zod schema. */
import { z } from 'zod';
import type { Kind } from './kinds.ts';

export interface KeyAbout {
  /** one sentence for the operator */
  readonly doc: string;
  /** environment variable that wins over the file */
  readonly env?: string;
}

export interface KeyFacts extends KeyAbout {
  readonly expected: string;
  /** of a list: what one entry must be */
  readonly entry: string | undefined;
  readonly secret: boolean;
  /** as it would stand in the file; undefined: there is none */
  readonly fallback: unknown;
  readonly presence: 'required' | 'optional' | 'default';
}

export interface KeyRow extends KeyFacts {
  /** `push.apps[].name`: the entries of a list are not numbered */
  readonly path: string;
}

const facts = new WeakMap<z.ZodType, KeyFacts>();

function remember<T extends z.ZodType>(
  schema: T,
  kind: Kind<z.ZodType>,
  about: KeyAbout,
  rest: Pick<KeyFacts, 'fallback' | 'presence'>,
): T {
  facts.set(schema, { ...about, ...rest, expected: kind.expected, entry: kind.entry, secret: kind.secret === true });
  return schema;
}

export function required<T extends z.ZodType>(kind: Kind<T>, about: KeyAbout): T {
  // a copy, because one kind serves many keys
  return remember(kind.schema.clone() as T, kind, about, { fallback: undefined, presence: 'required' });
}

export function optional<T extends z.ZodType>(kind: Kind<T>, about: KeyAbout): z.ZodOptional<T> {
  return remember(z.optional(kind.schema), kind, about, { fallback: undefined, presence: 'optional' });
}

/** `fallback` is written as in the file and read in the same way. */
export function fallback<T extends z.ZodType>(kind: Kind<T>, value: z.input<T>, about: KeyAbout): z.ZodPrefault<T> {
  const schema = z.prefault(kind.schema, () => value as never);
  return remember(schema, kind, about, { fallback: value, presence: 'default' });
}

/** Every key of an object schema, in the order of the schema, those inside lists included. */
export function keysOf(schema: z.ZodType, prefix = ''): KeyRow[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodArray) return keysOf(inner.element as z.ZodType, `${prefix}[]`);
  if (!(inner instanceof z.ZodObject)) return [];
  const rows: KeyRow[] = [];
  for (const [name, child] of Object.entries(inner.shape as Record<string, z.ZodType>)) {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const known = facts.get(child);
    if (known !== undefined) rows.push({ path, ...known });
    rows.push(...keysOf(child, path));
  }
  return rows;
}

function unwrap(schema: z.ZodType): z.ZodType {
  let at = schema;
  while (at instanceof z.ZodOptional || at instanceof z.ZodPrefault || at instanceof z.ZodDefault)
    at = at.def.innerType as z.ZodType;
  return at;
}
