/** Tasks on a clock and those under way, which end together. */
import type { Clock } from '../ports/clock.ts';

/** What is under way at the end is waited for so long, ms. */
const longestEndMs = 3000;

export class Work {
  readonly #clock: Clock;
  readonly #onFailed: (err: unknown) => void;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #timers = new Set<() => void>();
  #stopped = false;

  /** `onFailed` hears of each task that rejects; nobody else does. */
  constructor(clock: Clock, onFailed: (err: unknown) => void) {
    this.#clock = clock;
    this.#onFailed = onFailed;
  }

  /** Waits for what is under way, for a while; nothing begins any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    const quiet = Promise.allSettled([...this.#underWay]);
    let cancel = (): void => undefined;
    await Promise.race([quiet, new Promise<void>((resolve) => (cancel = this.#clock.after(longestEndMs, resolve)))]);
    cancel();
  }

  run(work: Promise<unknown>): void {
    const watched = work.catch(this.#onFailed).finally(() => this.#underWay.delete(watched));
    this.#underWay.add(watched);
  }

  once(ms: number, task: () => Promise<void>): void {
    if (this.#stopped) return;
    const cancel = this.#clock.after(ms, () => {
      this.#timers.delete(cancel);
      this.run(task());
    });
    this.#timers.add(cancel);
  }

  /** The next one begins when this one has ended. */
  every(ms: number, task: () => Promise<void>): void {
    this.once(ms, async () => {
      try {
        await task();
      } catch (err) {
        this.#onFailed(err);
      }
      this.every(ms, task);
    });
  }
}
