/** LocationStore in one memory-mapped lmdb file: durable, zero-install, for an edge of one process. What it survives: README.md. */
import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync, statfsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import type { Aor, Binding } from '../../core/binding.ts';
import { EdgeError } from '../../errors.ts';
import type { Agenda } from '../../ports/agenda.ts';
import type { MailStore } from '../../ports/mail-store.ts';
import type { TokenOwners } from '../../ports/token-owners.ts';
import type { BindingSet, LocationStore } from '../../ports/location-store.ts';
import type { Records } from '../../ports/records.ts';
import { lmdbAgenda } from './agenda.ts';
import { decodeAor, decodeBindings, decodeKeepUntil, encode, keyOf } from './encoding.ts';
import { GroupCommit } from './group-commit.ts';
import { lmdbMail } from './mail-store.ts';
import { RecentSets } from './recent-sets.ts';
import { lmdbRecords } from './records.ts';
import { lmdbTokenOwners } from './token-owners.ts';

export interface LmdbStoreOptions {
  /** the folder of the store; made when absent, readable by this user only */
  readonly path: string;
  /** digest secrets that readSecret knows */
  readonly secrets?: readonly {
    readonly user: string;
    readonly realm: string;
    readonly md5?: string;
    readonly sha256?: string;
  }[];
  /** free octets on the disk below which nothing is written any more; 64 MiB when left out */
  readonly minFree?: number;
  /** ms between the end of one look through all sets and the start of the next; 300,000 when left out */
  readonly sweepEveryMs?: number;
}

/** Raised when a stored file can no longer be read by the code of before. */
const format = '1';
/** Versions are drawn from blocks, so that only one swap in a million has to write down how far we are. */
const blockSize = 2 ** 20;
/** lmdb's flags for "committed when it returns, flushed to the disk with the next flush" */
const commitWithoutFlush: number = 0x10002;
const spaceEveryMs = 1000;
/** sets looked at in one go, and the rest between two goes: about a millisecond of work, some 12,000 sets a second */
const sliceSize = 250;
const sliceEveryMs = 20;

/** All that lives in the one file. */
export interface LmdbParts extends LocationStore {
  readonly agenda: Agenda;
  readonly mail: MailStore;
  readonly records: Records;
  /** of registrations at PBXs */
  readonly registrations: Agenda;
  readonly owners: TokenOwners;
}

/** Rejects with EDGE_STORE_UNAVAILABLE when the folder cannot be used. */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<LmdbParts> {
  let root: RootDatabase<string, string> | undefined;
  try {
    makeFolder(resolve(options.path));
    mustBeLmdb(join(options.path, 'data.mdb'));
    root = open<string, string>({
      path: options.path,
      noSubdir: false,
      encoding: 'string',
      maxDbs: 32,
      // GroupCommit does the batching; lmdb's own makes promises nobody can hear, and a full disk would end the process.
      eventTurnBatching: false,
    });
    return new LmdbStore(root, options);
  } catch (cause) {
    await root?.close().catch(() => undefined);
    if (cause instanceof EdgeError) throw cause;
    throw new EdgeError(
      'EDGE_STORE_UNAVAILABLE',
      `The store in "${options.path}" cannot be opened (${textOf(cause)}). The folder must be writable by this user, on a ` +
        'local disk with free space, and its data.mdb, if there is one, must be a file of this program.',
      cause,
    );
  }
}

/** Parents first, one by one: Node's own recursive way never comes back where a file system has no room for folders, such as /proc. */
function makeFolder(path: string): void {
  if (!existsSync(dirname(path))) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!existsSync(path) || !statSync(path).isDirectory()) throw error;
  }
}

class LmdbStore implements LmdbParts {
  readonly agenda: Agenda;
  readonly mail: MailStore;
  readonly records: Records;
  readonly registrations: Agenda;
  readonly owners: TokenOwners;
  readonly #path: string;
  readonly #root: RootDatabase<string, string>;
  readonly #sets: Database<string, string>;
  readonly #shared: Database<string, string>;
  readonly #meta: Database<string, string>;
  readonly #writes = new GroupCommit();
  readonly #recent = new RecentSets();
  readonly #secrets = new Map<string, { readonly md5?: string; readonly sha256?: string }>();
  readonly #sweepEveryMs: number;
  #nextVersion = 0;
  #endOfBlock = 0;
  #sweeper: NodeJS.Timeout;
  readonly #minFree: number;
  readonly #spaceWatch: NodeJS.Timeout;
  /** why nothing can be written now; reads go on */
  #readOnlyBecause: string | undefined;
  #closing: Promise<void> | undefined;

  constructor(root: RootDatabase<string, string>, options: LmdbStoreOptions) {
    this.#path = options.path;
    this.#root = root;
    this.#meta = root.openDB({ name: 'meta', encoding: 'string' });
    const known = this.#meta.transactionSync(() => {
      const found = this.#meta.get('format');
      if (found === undefined) this.#meta.putSync('format', format);
      return found ?? format;
    });
    if (known !== format) {
      throw new EdgeError(
        'EDGE_STORE_UNAVAILABLE',
        `The store in "${options.path}" has format ${known}, this program reads format ${format}. ` +
          'Use the program that wrote it, or another folder.',
      );
    }
    this.#sets = root.openDB({ name: 'sets', encoding: 'string', useVersions: true });
    this.#shared = root.openDB({ name: 'shared', encoding: 'string' });
    const agendaOf = (name: string): Agenda =>
      lmdbAgenda(
        {
          tasks: root.openDB({ name, encoding: 'string', useVersions: true }),
          times: root.openDB<string, [number, string]>({ name: `${name} times`, encoding: 'string' }),
        },
        this.#writes,
        (task) => this.#attempt('written', task),
      );
    this.agenda = agendaOf('agenda');
    this.registrations = agendaOf('registrations');
    this.records = lmdbRecords(
      root.openDB({ name: 'records', encoding: 'string', useVersions: true }),
      this.#writes,
      (what, task) => this.#attempt(what, task),
    );
    this.mail = lmdbMail(root.openDB({ name: 'mail', encoding: 'string' }), this.#writes, (what, task) =>
      this.#attempt(what, task),
    );
    this.owners = lmdbTokenOwners(
      root.openDB({ name: 'token owners', encoding: 'string' }),
      this.#writes,
      (what, task) => this.#attempt(what, task),
    );
    this.#drawBlock();
    for (const { user, realm, ...digests } of options.secrets ?? []) {
      this.#secrets.set(JSON.stringify([user, realm]), digests);
    }
    this.#minFree = options.minFree ?? 64 * 2 ** 20;
    this.#lookAtSpace(statfsSync(options.path));
    this.#spaceWatch = setInterval(() => {
      statfs(options.path).then(
        (space) => this.#lookAtSpace(space),
        () => undefined, // then writing tells
      );
    }, spaceEveryMs).unref();
    this.#sweepEveryMs = options.sweepEveryMs ?? 300_000;
    this.#sweeper = setTimeout(() => this.#sweep(undefined), this.#sweepEveryMs).unref();
  }

  async read(aor: Aor): Promise<BindingSet> {
    return this.#attempt('read', () => {
      const key = keyOf(aor);
      const entry = this.#sets.getEntry(key);
      if (entry === undefined) return { version: 0, bindings: [] };
      const version = entry.version ?? 0;
      const recent = this.#recent.get(key, version);
      if (recent !== undefined) return { version, bindings: recent };
      const bindings = decodeBindings(aor, entry.value);
      this.#recent.set(key, version, bindings);
      return { version, bindings };
    });
  }

  async swap(
    aor: Aor,
    expected: number,
    bindings: readonly Binding[],
    keepUntil: number,
  ): Promise<'stored' | 'conflict'> {
    return this.#attempt('written', async () => {
      const key = keyOf(aor);
      if (bindings.length === 0) return (await this.#remove(key, expected)) ? 'stored' : 'conflict';
      // lmdb compares the version in its write thread, inside the transaction; null means: only where nothing is.
      const version = this.#versionAbove(key, expected);
      if (version === undefined) return 'conflict';
      const value = encode(aor, key, bindings, keepUntil);
      const kept = [...bindings]; // the writer may go on with its array
      const only = expected === 0 ? null : expected;
      const stored = await this.#writes.add(() => this.#sets.put(key, value, version, only as number));
      if (!stored) return 'conflict';
      this.#recent.set(key, version, kept);
      return 'stored';
    });
  }

  /** The cursor is the key of the last AOR shown, behind a `>`. */
  async scan(
    cursor: string,
    limit: number,
  ): Promise<{ readonly aors: readonly Aor[]; readonly next: string | undefined }> {
    return this.#attempt('read', () => {
      const aors: Aor[] = [];
      const most = Math.max(1, limit);
      let last: string | undefined;
      for (const { key, value } of this.#sets.getRange(
        rangeAfter(cursor.startsWith('>') ? cursor.slice(1) : '', most),
      )) {
        last = key;
        const aor = decodeAor(key, value);
        if (aor !== undefined) aors.push(aor);
      }
      return { aors, next: last === undefined ? undefined : `>${last}` };
    });
  }

  async readSecret(
    user: string,
    realm: string,
  ): Promise<{ readonly md5?: string; readonly sha256?: string } | undefined> {
    return this.#attempt('read', () => this.#secrets.get(JSON.stringify([user, realm])));
  }

  async shared(name: string, make: () => string): Promise<string> {
    return this.#attempt('written', () =>
      this.#shared.transaction(() => {
        const known = this.#shared.get(name);
        if (known !== undefined) return known;
        const made = make();
        void this.#shared.put(name, made); // inside the transaction, where it takes effect at once
        return made;
      }),
    );
  }

  async ping(): Promise<void> {
    // An empty write goes the way of the others, so it does not come back when that way is blocked.
    await this.#attempt('written', () => this.#writes.add(async () => this.#meta.get('format')));
  }

  close(): Promise<void> {
    clearTimeout(this.#sweeper);
    clearInterval(this.#spaceWatch);
    // The empty write ends when every write before it has been handed to lmdb, which waits for its own.
    this.#closing ??= this.#writes
      .add(async () => undefined)
      .then(
        () => this.#root.close(),
        () => undefined, // after a failed commit lmdb may never end to close; the process will
      );
    return this.#closing;
  }

  #lookAtSpace({ bavail, bsize }: { readonly bavail: number; readonly bsize: number }): void {
    const free = bavail * bsize;
    const low = free < this.#minFree;
    this.#readOnlyBecause = low ? `only ${Math.floor(free / 2 ** 20)} MiB are free on its disk` : undefined;
  }

  async #remove(key: string, expected: number): Promise<boolean> {
    if (expected === 0) return this.#sets.getEntry(key) === undefined;
    return this.#writes.add(() => this.#sets.remove(key, expected));
  }

  /** A version that no set of this store ever had and that is above `expected`; undefined when `expected` is made up. */
  #versionAbove(key: string, expected: number): number | undefined {
    if (expected >= this.#nextVersion) {
      // Only another handle can have given it; its block is above ours, the next one above both.
      if (this.#sets.getEntry(key)?.version !== expected) return undefined;
      this.#drawBlock();
    } else if (this.#nextVersion >= this.#endOfBlock) {
      this.#drawBlock();
    }
    const version = this.#nextVersion;
    this.#nextVersion += 1;
    return version;
  }

  #drawBlock(): void {
    const start = this.#meta.transactionSync(() => {
      const free = Number(this.#meta.get('versions') ?? '1');
      this.#meta.putSync('versions', String(free + blockSize));
      return free;
    }, commitWithoutFlush); // a power loss that takes this back takes the swaps after it back too
    this.#nextVersion = start;
    this.#endOfBlock = start + blockSize;
  }

  /** Looks at one slice of the sets after `after` and forgets those whose time is over, unless a swap is quicker. */
  #sweep(after: string | undefined): void {
    let last: string | undefined;
    try {
      if (this.#readOnlyBecause !== undefined) throw new Error(this.#readOnlyBecause);
      const now = Date.now();
      for (const { key, value, version } of this.#sets.getRange({
        ...rangeAfter(after ?? '', sliceSize),
        versions: true,
      })) {
        last = key;
        if (decodeKeepUntil(value) <= now && version !== undefined)
          this.#writes.add(() => this.#sets.remove(key, version)).catch((cause: unknown) => this.#noteFailure(cause));
      }
    } catch {
      last = undefined; // reads and swaps of others will tell; we look again later
    }
    const wait = last === undefined ? this.#sweepEveryMs : Math.min(sliceEveryMs, this.#sweepEveryMs);
    this.#sweeper = setTimeout(() => this.#sweep(last), wait).unref();
  }

  async #attempt<T>(what: 'read' | 'written', task: () => T | Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new EdgeError('EDGE_STORE_UNAVAILABLE', 'The location store is closed.');
    if (what === 'written' && this.#readOnlyBecause !== undefined) throw this.#unavailable(what, this.#readOnlyBecause);
    try {
      return await task();
    } catch (cause) {
      this.#noteFailure(cause);
      throw this.#unavailable(
        what,
        isFailedCommit(cause) ? 'the commit failed, its disk is full or broken' : textOf(cause),
        cause,
      );
    }
  }

  /**
   * After a failed commit (disk full, I/O error) lmdb 3.5.6 must not be written to any more: promises stay open and memory gets
   * damaged. So reads go on and calls still find their phones, writes wait for a restart.
   */
  #noteFailure(cause: unknown): void {
    if (!isFailedCommit(cause)) return;
    clearInterval(this.#spaceWatch);
    this.#readOnlyBecause = 'a commit has failed before; see to its disk, then restart';
    this.#writes.fail(cause);
  }

  #unavailable(what: 'read' | 'written', why: string, cause?: unknown): EdgeError {
    return new EdgeError('EDGE_STORE_UNAVAILABLE', `The store in "${this.#path}" cannot be ${what}: ${why}.`, cause);
  }
}

/** lmdb 3.5.6 ends the whole process at a file it does not know, so we look first: 24 octets, then its mark and version 2. */
function mustBeLmdb(file: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return; // a new store
    throw cause;
  }
  try {
    const head = Buffer.alloc(32);
    const length = readSync(descriptor, head);
    const known = head.readUInt32LE(24) === 0xbeefc0de && head.readUInt16LE(28) === 2;
    if (length > 0 && !known) throw new Error('data.mdb is not an lmdb file of version 2');
  } finally {
    closeSync(descriptor);
  }
}

function rangeAfter(key: string, limit: number): { start?: string; exclusiveStart?: boolean; limit: number } {
  return key === '' ? { limit } : { start: key, exclusiveStart: true, limit };
}

/** The error carries a second promise with the reason; nobody else listens to it, and unheard it would end the process. */
function isFailedCommit(cause: unknown): boolean {
  if (typeof cause !== 'object' || cause === null || !('commitError' in cause)) return false;
  if (cause.commitError instanceof Promise) cause.commitError.catch(() => undefined);
  return true;
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
