/**
 * Where bindings live. All rules about bindings are in core/binding-set; the store only keeps the set of one AOR and swaps it
 * as a whole, so that "atomic per AOR" is the same promise in every adapter.
 */
import type { Aor, Binding } from '../core/binding.ts';

export interface BindingSet {
  /**
   * 0 when nothing is stored, which is one and the same state however often it comes back. Every stored set has another number:
   * it grows with every swap and is never used again for this AOR, also not by a new set after the old one was forgotten. So a
   * writer that holds an old number always gets a conflict, whatever happened in between. Opaque otherwise; fits a double.
   */
  readonly version: number;
  readonly bindings: readonly Binding[];
}

export interface LocationStore {
  /** The set of one AOR; bindings past their expiry may or may not still be in it. Rejects with EDGE_STORE_UNAVAILABLE. */
  read(aor: Aor): Promise<BindingSet>;
  /**
   * Replaces the set of one AOR if its version is still `expected`. Resolves only when the change survives the death of this
   * process. `keepUntil` (ms since the epoch): when the store may forget the set; an empty set may be forgotten at once.
   * Rejects with EDGE_STORE_UNAVAILABLE; then nothing or everything was stored.
   */
  swap(aor: Aor, expected: number, bindings: readonly Binding[], keepUntil: number): Promise<'stored' | 'conflict'>;
  /**
   * Every AOR with at least one binding, in pages, for lists, metrics and timers; order is the store's. `cursor` '' starts.
   * Sees every AOR that is there from the first page to the last; may show one twice, and one that has just gone or come.
   * `limit` is a wish: a page may be empty or longer. A cursor that is not ours starts anew.
   */
  scan(cursor: string, limit: number): Promise<{ readonly aors: readonly Aor[]; readonly next: string | undefined }>;
  /** Digest secrets of registrar users kept in the store (HA1); undefined when unknown. */
  readSecret(user: string, realm: string): Promise<{ readonly md5?: string; readonly sha256?: string } | undefined>;
  /** Small values that all nodes of one store share and that outlive restarts (token keys). Creates it with `make()` when absent; atomic. */
  shared(name: string, make: () => string): Promise<string>;
  /** For readiness: rejects when the store cannot be used now. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
