/** Keys that were named a while ago, the oldest forgotten first: bounded in number and in time. */
export class Recent {
  readonly #most: number;
  readonly #keptMs: number;
  readonly #now: () => number;
  readonly #until = new Map<string, number>();

  constructor(most: number, keptMs: number, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#keptMs = keptMs;
    this.#now = now;
  }

  get size(): number {
    return this.#until.size;
  }

  add(key: string): void {
    this.#until.delete(key);
    this.#until.set(key, this.#now() + this.#keptMs);
    if (this.#until.size <= this.#most) return;
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest);
      return;
    }
  }

  has(key: string): boolean {
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (until > this.#now()) return true;
    this.#until.delete(key);
    return false;
  }

  delete(key: string): void {
    this.#until.delete(key);
  }
}
