/** LocationStore in a Map: for tests and for `store: memory`. Forgets everything when the process ends. */
import type { Aor, Binding } from '../../core/binding.ts';
import { EdgeError } from '../../errors.ts';
import type { BindingSet, LocationStore } from '../../ports/location-store.ts';

export interface MemoryStoreOptions {
  /** digest secrets that readSecret knows */
  readonly secrets?: readonly {
    readonly user: string;
    readonly realm: string;
    readonly md5?: string;
    readonly sha256?: string;
  }[];
  /** ms between two looks for sets to be forgotten; 1,000 when left out */
  readonly sweepEveryMs?: number;
  /** ms since the epoch; the system's clock when left out */
  readonly now?: () => number;
}

interface Entry {
  readonly set: BindingSet;
  readonly keepUntil: number;
  /** version of the first set of this AOR since it was last unknown */
  readonly birth: number;
}

const nothing: BindingSet = Object.freeze({ version: 0, bindings: Object.freeze([]) });
/** sets looked at per sweep: well below a millisecond of work */
const sliceSize = 2000;

export function openMemoryStore(options: MemoryStoreOptions = {}): LocationStore {
  return new MemoryStore(options);
}

class MemoryStore implements LocationStore {
  readonly #sets = new Map<Aor, Entry>();
  readonly #shared = new Map<string, string>();
  readonly #secrets = new Map<string, { readonly md5?: string; readonly sha256?: string }>();
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  // One counter for all AORs: a set that comes back after it was forgotten cannot meet a version it had before.
  #lastVersion = 0;
  #sweeping: IterableIterator<[Aor, Entry]> | undefined;
  #closed = false;

  constructor(options: MemoryStoreOptions) {
    this.#now = options.now ?? Date.now;
    for (const { user, realm, ...digests } of options.secrets ?? []) this.#secrets.set(secretKey(user, realm), digests);
    this.#timer = setInterval(() => this.#sweep(), options.sweepEveryMs ?? 1000).unref();
  }

  async read(aor: Aor): Promise<BindingSet> {
    this.#mustBeOpen();
    return this.#sets.get(aor)?.set ?? nothing;
  }

  async swap(
    aor: Aor,
    expected: number,
    bindings: readonly Binding[],
    keepUntil: number,
  ): Promise<'stored' | 'conflict'> {
    this.#mustBeOpen();
    const before = this.#sets.get(aor);
    if ((before?.set.version ?? 0) !== expected) return 'conflict';
    if (bindings.length === 0) {
      this.#sets.delete(aor);
      return 'stored';
    }
    this.#lastVersion += 1;
    const version = this.#lastVersion;
    this.#sets.set(aor, { set: { version, bindings: [...bindings] }, keepUntil, birth: before?.birth ?? version });
    return 'stored';
  }

  /** The cursor is the birth of the last AOR shown: a Map keeps the order of insertion, so births rise along it. */
  async scan(
    cursor: string,
    limit: number,
  ): Promise<{ readonly aors: readonly Aor[]; readonly next: string | undefined }> {
    this.#mustBeOpen();
    const after = /^\d+$/.test(cursor) ? Number(cursor) : 0;
    const aors: Aor[] = [];
    let last = 0;
    for (const [aor, { birth }] of this.#sets) {
      if (birth <= after) continue;
      if (aors.length >= Math.max(1, limit)) return { aors, next: String(last) };
      aors.push(aor);
      last = birth;
    }
    return { aors, next: undefined };
  }

  async readSecret(
    user: string,
    realm: string,
  ): Promise<{ readonly md5?: string; readonly sha256?: string } | undefined> {
    this.#mustBeOpen();
    return this.#secrets.get(secretKey(user, realm));
  }

  async shared(name: string, make: () => string): Promise<string> {
    this.#mustBeOpen();
    const known = this.#shared.get(name);
    if (known !== undefined) return known;
    const made = make();
    this.#shared.set(name, made);
    return made;
  }

  async ping(): Promise<void> {
    this.#mustBeOpen();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  #sweep(): void {
    this.#sweeping ??= this.#sets.entries();
    const now = this.#now();
    for (let seen = 0; seen < sliceSize; seen += 1) {
      // A Map's iterator stays valid while entries come and go.
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = undefined;
        return;
      }
      const [aor, entry] = next.value;
      if (entry.keepUntil <= now) this.#sets.delete(aor);
    }
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new EdgeError('EDGE_STORE_UNAVAILABLE', 'The location store is closed.');
  }
}

function secretKey(user: string, realm: string): string {
  return JSON.stringify([user, realm]);
}
