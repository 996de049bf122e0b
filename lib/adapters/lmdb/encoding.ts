/**
 * How a set of bindings is written in lmdb: when it may go, its bindings packed, and its AOR where the key does not tell it.
 */
import { createHash } from 'node:crypto';
import type { Aor, Binding } from '../../core/binding.ts';
import { type Packed, packBinding, unpackBinding } from '../../core/packed-binding.ts';

/** What is stored under one key: when it may be forgotten, the bindings, and the AOR where the key does not tell it. */
type Stored = readonly [keepUntil: number, bindings: readonly Packed[], aor?: Aor];

/**
 * AORs that may be keys as they are: printable, at most 390 octets (lmdb takes 1,978, but short keys keep the tree flat) and
 * without halves of surrogate pairs or control characters, which do not come back from lmdb's key encoding as they went in.
 */
const plain = /^[!-~\u00a0-\ud7ff\ue000-\uffff][ -~\u00a0-\ud7ff\ue000-\uffff]{0,129}$/;
/** No plain AOR starts with a space. */
const hashedPrefix = ' sha256:';

/** The key of an AOR: the AOR itself, or a hash of it when it is long or odd. */
export function keyOf(aor: Aor): string {
  return plain.test(aor) ? aor : hashedPrefix + createHash('sha256').update(aor, 'utf16le').digest('hex');
}

export function encode(aor: Aor, key: string, bindings: readonly Binding[], keepUntil: number): string {
  const until = Number.isFinite(keepUntil) ? Math.ceil(keepUntil) : Number.MAX_SAFE_INTEGER;
  const packed = bindings.map((binding) => packBinding(binding, aor));
  const stored: Stored = key === aor ? [until, packed] : [until, packed, aor];
  return JSON.stringify(stored);
}

/** The bindings of a stored text; none when it cannot be read: then the next accepted REGISTER writes it anew. */
export function decodeBindings(aor: Aor, text: string): readonly Binding[] {
  try {
    return parse(text)?.[1].map((packed) => unpackBinding(packed, aor)) ?? [];
  } catch {
    return [];
  }
}

/** The AOR an entry belongs to; undefined when it cannot be told. */
export function decodeAor(key: string, text: string): Aor | undefined {
  return key.startsWith(hashedPrefix) ? parse(text)?.[2] : key;
}

/** When an entry may be forgotten (ms), read without parsing all of it; an unreadable entry may be forgotten at once. */
export function decodeKeepUntil(text: string): number {
  const until = Number.parseInt(text.slice(1, 18), 10);
  return Number.isNaN(until) ? 0 : until;
}

function parse(text: string): Stored | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && Array.isArray(value[1]) ? (value as unknown as Stored) : undefined;
  } catch {
    return undefined;
  }
}
