/** A process of a property test that can be stopped between any two of its steps, with a clock that is wrong. */
import type { Clock } from '../../lib/ports/clock.ts';
import type { MovedClock } from './moved-clock.ts';

/** A process that can be stopped: nothing of it runs then, its timers fall due meanwhile, and what it asked for waits to be heard. */
export class PausedNode implements Clock {
  readonly #world: MovedClock;
  readonly #skew: number;
  /** ms until it hears of what it asked for: time enough to be stopped in between */
  readonly #latency: number;
  #paused = false;
  #waiting: (() => void)[] = [];

  constructor(world: MovedClock, skew: number, latency: number) {
    this.#latency = latency;
    this.#world = world;
    this.#skew = skew;
  }

  now(): number {
    return this.#world.now() + this.#skew;
  }

  after(ms: number, task: () => void): () => void {
    let over = false;
    const stop = this.#world.after(ms, () => this.#run(() => over || task()));
    return () => {
      over = true;
      stop();
    };
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Work of another process: begun when this one runs, and heard of when it does. */
  readonly hearing = <A extends readonly unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      await this.turn();
      return this.heard(work(...args));
    };
  };

  /** What was asked for is done there and then; that it was is heard when the node runs. */
  async heard<T>(work: Promise<T>): Promise<T> {
    const done = await work.then(
      (value) => () => value,
      (error: unknown) => () => {
        throw error;
      },
    );
    if (this.#latency > 0) await new Promise<void>((resolve) => this.#world.after(this.#latency, resolve));
    await this.turn();
    return done();
  }

  /** What it wants to ask next. */
  async turn(): Promise<void> {
    while (this.#paused) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #run(task: () => void): void {
    if (this.#paused) this.#waiting.push(task);
    else task();
  }
}

/** Moves the time until `work` is done; an hour at most. */
export async function whilePassing<T>(work: Promise<T>, pass: (ms: number) => Promise<void>): Promise<T> {
  let over = false;
  const done = work.finally(() => (over = true));
  // heard below
  done.catch(() => undefined);
  for (let seconds = 0; !over && seconds < 3600; seconds++) await pass(1000);
  if (!over) throw new Error('not done within an hour of moved time');
  return done;
}
