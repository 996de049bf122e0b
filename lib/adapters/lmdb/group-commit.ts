/**
 * Gathers writes into few transactions. A transaction costs lmdb some 0.3 ms of CPU whatever is in it, so a busy store waits a
 * little before the next one; an idle one writes at once. Two are under way at a time, one being written while the one before
 * is flushed: on a slow disk the groups grow instead of the queue of threads. Knows nothing of what is written.
 */

/**
 * ms from the start of a group to the start of the next, unless enough is waiting to be worth one. The more the last one has gathered, the
 * longer: a store that is hardly asked answers soon, a busy one saves transactions.
 */
const shortestGapMs = 3;
const longestGapMs = 8;
const worthIt = 32;
const underWay = 2;
/** After a failed commit lmdb may leave promises open for ever; no disk that works takes as long as this. */
const patienceMs = 15_000;

interface Write {
  readonly start: () => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

interface Group {
  readonly since: number;
  readonly open: Set<Write>;
}

export class GroupCommit {
  #waiting: Write[] = [];
  readonly #groups = new Set<Group>();
  #lastStart = Number.NEGATIVE_INFINITY;
  #gapMs = shortestGapMs;
  #timer: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #failure: { readonly reason: unknown } | undefined;

  /** Calls `start`, which has to start one write, together with others; settles as it does, or as `fail` says. */
  add<T>(start: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure.reason);
      this.#waiting.push({ start, resolve: resolve as (value: unknown) => void, reject });
      return this.#next();
    });
  }

  /** Rejects everything that is open, waiting or yet to come. */
  fail(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { reason };
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    for (const write of [...this.#waiting, ...[...this.#groups].flatMap((group) => [...group.open])])
      write.reject(reason);
    this.#waiting = [];
    this.#groups.clear();
  }

  #next(): void {
    if (this.#groups.size >= underWay || this.#waiting.length === 0) return;
    const wait = this.#waiting.length >= worthIt ? 0 : this.#lastStart + this.#gapMs - performance.now();
    if (wait <= 0) this.#start();
    else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#next();
      }, wait);
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastStart = performance.now();
    const group: Group = { since: this.#lastStart, open: new Set(this.#waiting) };
    this.#groups.add(group);
    const writes = this.#waiting;
    this.#gapMs = Math.min(longestGapMs, Math.max(shortestGapMs, writes.length));
    this.#waiting = [];
    this.#watch ??= setTimeout(() => this.#lookAtOldest(), patienceMs).unref();
    for (const write of writes) {
      void attempt(write.start)
        .then(write.resolve, write.reject)
        .then(() => {
          group.open.delete(write);
          if (group.open.size > 0 || !this.#groups.delete(group)) return;
          this.#next();
        });
    }
  }

  #lookAtOldest(): void {
    this.#watch = undefined;
    const [oldest] = this.#groups;
    if (oldest === undefined) return;
    const left = oldest.since + patienceMs - performance.now();
    if (left <= 0) this.fail(new Error(`a write has not ended within ${patienceMs / 1000} s`));
    else this.#watch = setTimeout(() => this.#lookAtOldest(), left).unref();
  }
}

/** What `start` throws becomes a rejection, so that one bad write does not hold up its group. */
async function attempt(start: () => Promise<unknown>): Promise<unknown> {
  return start();
}
