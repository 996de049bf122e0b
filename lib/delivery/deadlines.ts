/**
 * Many tasks, one timer: what falls due within one step of the wheel is done together, a step early rather than late, and only when
 * what the sockets have for us has been read: an answer that lies there already has come in time.
 */
import type { Clock } from '../ports/clock.ts';

/** ms */
const step = 10;
/** While somebody waits for a peer our own lateness is measured this often, ms. */
const beat = 50;
/** Lateness that is nothing special, ms; and the most that one beat can prove: a time of day set forward is no lateness. */
const usualLag = 20;
const mostLag = 5000;

export class Deadlines {
  readonly #clock: Clock;
  /** by number of the step */
  readonly #tasks = new Map<number, Set<() => void>>();
  #next = Number.POSITIVE_INFINITY;
  #stop: (() => void) | undefined;
  /** our own time: goes on with the clock's, but never back */
  #time = 0;
  #clockWas: number;
  /** when the timer was to go off, by our own time */
  #dueAt = 0;
  #lag = 0;
  #patient = 0;

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

  /**
   * For waiting on a peer: as `after`, but time in which we did not get to run ourselves (a busy machine, a stopped process) does not
   * count, since in it nothing could be sent or read.
   */
  patiently(ms: number, task: () => void): () => void {
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.#patient -= 1;
    };
    this.#patient += 1;
    const now = this.#now();
    const due = now - this.#lag + ms;
    const look = (): void => {
      const missing = due - (this.#time - this.#lag);
      if (missing > step) {
        stop = this.after(missing, look);
        return;
      }
      end();
      task();
    };
    let stop = this.after(ms, look);
    if (this.#dueAt - now > beat) this.#arm(this.#next, now);
    return () => {
      end();
      stop();
    };
  }

  #arm(number: number, now: number): void {
    this.#stop?.();
    this.#next = number;
    const wait = Math.max(0, number * step - now);
    const ms = this.#patient > 0 ? Math.min(beat, wait) : wait;
    this.#dueAt = now + ms;
    this.#stop = this.#clock.after(ms, () => {
      const late = this.#now() - this.#dueAt;
      if (late > usualLag) this.#lag += Math.min(late, mostLag);
      // the timer has run its time, whatever was done to the clock meanwhile
      this.#time = Math.max(this.#time, this.#dueAt);
      // timers come before sockets in every turn of the event loop
      const soon = setImmediate(() => this.#turn());
      this.#stop = () => clearImmediate(soon);
    });
  }

  #turn(): void {
    this.#now();
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
