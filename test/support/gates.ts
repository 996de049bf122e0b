/** Work that takes a while, whose end the test chooses: what is under way can be let go on in any order. */

export class Gates {
  readonly #waiting: (() => void)[] = [];
  /** closed: whatever passes waits to be let through */
  #closed = false;

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when it has been let through. */
  pass(): Promise<void> {
    if (!this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The same, before the work is done and after: what it says may be old when it is heard. */
  async around<T>(work: () => Promise<T>): Promise<T> {
    await this.pass();
    const done = await work().then(
      (value) => () => value,
      (error: unknown) => () => {
        throw error;
      },
    );
    await this.pass();
    return done();
  }

  /** Lets one through; `nth` counts round the waiting ones. */
  let(nth: number): void {
    this.#waiting.splice(nth % Math.max(1, this.#waiting.length), 1)[0]?.();
  }

  /** From now on whatever passes waits. */
  close(): void {
    this.#closed = true;
  }

  /** Nothing waits any more, from now on. */
  open(): void {
    this.#closed = false;
    for (const go of this.#waiting.splice(0)) go();
  }
}

/** Everything that was resolved has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
