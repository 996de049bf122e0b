/** Since when a record has been as it is, as far as we have seen: a span of our own clock, for whoever wrote it may have another. */

/** More are forgotten, the oldest first: their span begins anew. */
const most = 10_000;

export class FirstSeen {
  readonly #precise: () => number;
  readonly #seen = new Map<string, { readonly version: number; readonly since: number }>();

  /** milliseconds; never set back */
  constructor(precise: () => number) {
    this.#precise = precise;
  }

  /** Ms since this version was seen first. */
  for(name: string, version: number): number {
    const now = this.#precise();
    const before = this.#seen.get(name);
    if (before?.version === version) return now - before.since;
    this.#seen.delete(name);
    this.#seen.set(name, { version, since: now });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > most && oldest !== undefined) this.#seen.delete(oldest);
    return 0;
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }
}
