/** Things that arrive, and waiting for the one you want: what nobody has waited for yet is kept in order. */

export class Mailbox<T> {
  #kept: T[] = [];
  readonly #waiting = new Set<{ readonly matches: (item: T) => boolean; readonly take: (item: T) => void }>();

  put(item: T): void {
    for (const waiter of this.#waiting) {
      if (!waiter.matches(item)) continue;
      this.#waiting.delete(waiter);
      waiter.take(item);
      return;
    }
    this.#kept.push(item);
  }

  /** The first item that matches and that nobody else took, now or within this time. Rejects with `what` when none came. */
  next(matches: (item: T) => boolean, withinMs: number, what: string): Promise<T> {
    const at = this.#kept.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.#kept.splice(at, 1)[0] as T);
    return new Promise((done, fail) => {
      const waiter = {
        matches,
        take: (item: T) => {
          clearTimeout(timer);
          done(item);
        },
      };
      // made here, where the stack still tells who waits
      const late = new Error(`waited ${withinMs} ms for ${what}`);
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter);
        fail(late);
      }, withinMs);
      this.#waiting.add(waiter);
    });
  }

  /** What has arrived and was not taken, oldest first. */
  kept(): readonly T[] {
    return this.#kept;
  }
}
