/** Many tasks, one timer: what falls due within one step of the wheel is done together, a step early rather than late. */
import type { Clock } from '../ports/clock.ts';

/** ms */
const step = 10;

export class Deadlines {
  readonly #clock: Clock;
  /** by number of the step */
  readonly #tasks = new Map<number, Set<() => void>>();
  #next = Number.POSITIVE_INFINITY;
  #stop: (() => void) | undefined;
  /** our own time: goes on with the clock's, but never back */
  #time = 0;
  #clockWas: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#clockWas = clock.now();
  }

  /** As Clock.after. */
  after(ms: number, task: () => void): () => void {
    const now = this.#now();
    const number = Math.max(Math.floor((now + ms) / step), Math.floor(now / step) + 1);
    let tasks = this.#tasks.get(number);
    if (tasks === undefined) {
      tasks = new Set();
      this.#tasks.set(number, tasks);
    }
    // two may be one and the same function
    const one = (): void => task();
    tasks.add(one);
    if (number < this.#next) this.#arm(number, now);
    const home = tasks;
    return () => {
      if (home.delete(one) && home.size === 0) this.#tasks.delete(number);
    };
  }

  #arm(number: number, now: number): void {
    this.#stop?.();
    this.#next = number;
    this.#stop = this.#clock.after(Math.max(0, number * step - now), () => this.#turn());
  }

  #turn(): void {
    // the timer has run its time, whatever was done to the clock meanwhile
    this.#time = Math.max(this.#now(), this.#next * step);
    const now = this.#time;
    this.#stop = undefined;
    this.#next = Number.POSITIVE_INFINITY;
    const due = [...this.#tasks.keys()].filter((number) => number * step <= now).toSorted((a, b) => a - b);
    for (const number of due) {
      const tasks = this.#tasks.get(number) ?? new Set();
      this.#tasks.delete(number);
      for (const task of tasks) task();
    }
    let first = Number.POSITIVE_INFINITY;
    for (const number of this.#tasks.keys()) first = Math.min(first, number);
    if (first < this.#next) this.#arm(first, this.#now());
  }

  #now(): number {
    const now = this.#clock.now();
    this.#time += Math.max(0, now - this.#clockWas);
    this.#clockWas = now;
    return this.#time;
  }
}
