/**
 * Gathers writes into few transactions. A transaction costs lmdb some 0.3 ms of CPU whatever is in it, so a busy store waits a
 * little before the next one; an idle one writes at once. Two are under way at a time, one being written while the one before
 * is flushed: on a slow disk the groups grow instead of the queue of threads. Knows nothing of what is written.
 */

/** ms from the start of a group to the start of the next, unless enough is waiting to be worth one */
const gapMs = 3;
const worthIt = 20;
const underWay = 2;

interface Waiting {
  readonly write: () => Promise<unknown>;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

export class GroupCommit {
  #waiting: Waiting[] = [];
  #groups = 0;
  #lastStart = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** Calls `write`, which has to start one write, together with others; settles as it does. */
  add<T>(write: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#groups >= underWay || this.#waiting.length === 0) return;
    const wait = this.#waiting.length >= worthIt ? 0 : this.#lastStart + gapMs - performance.now();
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
    const group = this.#waiting;
    this.#waiting = [];
    this.#groups += 1;
    let unfinished = group.length;
    for (const { write, resolve, reject } of group) {
      void attempt(write)
        .then(resolve as (value: unknown) => void, reject)
        .then(() => {
          unfinished -= 1;
          if (unfinished > 0) return;
          this.#groups -= 1;
          this.#next();
        });
    }
  }
}

/** What `write` throws becomes a rejection, so that one bad write does not hold up its group. */
async function attempt(write: () => Promise<unknown>): Promise<unknown> {
  return write();
}
