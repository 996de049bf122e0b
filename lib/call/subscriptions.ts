/** The subscriptions of this node: how many there may be, how many there are, and how to end them at a stop. */

export class Subscriptions {
  readonly #most: number;
  readonly #ends = new Set<() => void>();
  #asked = 0;
  #closed = false;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** Takes a place for one that is asked for; undefined: no room. The function gives it back, once it stands or is refused. */
  ask(): (() => void) | undefined {
    if (this.#closed || this.#ends.size + this.#asked >= this.#most) return undefined;
    this.#asked++;
    let given = false;
    return () => {
      if (!given) this.#asked--;
      given = true;
    };
  }

  /** Enters one; the function takes it out. `end` is called at a stop. */
  add(end: () => void): () => void {
    this.#ends.add(end);
    // not at once: whoever enters it has not finished making it
    if (this.#closed) queueMicrotask(end);
    return () => this.#ends.delete(end);
  }

  endAll(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
  }
}
