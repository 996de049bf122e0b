/** So many pushes at a time go to one service over HTTP/1.1; the others wait in order of urgency, and none beyond its deadline. */
import type { Clock } from '../ports/clock.ts';
import { Deadlines } from './deadlines.ts';
import { type Urgency, WaitingLine } from './waiting-line.ts';

/** `full`: too many wait, and none of them is less urgent. */
export type Admission = 'in' | 'full' | 'late' | 'cancelled';

export class Bulkhead {
  readonly #atOnce: number;
  readonly #clock: Clock;
  readonly #waiting: WaitingLine<(result: Admission) => void>;
  readonly #deadlines: Deadlines;
  #inside = 0;

  constructor(atOnce: number, queueLimit: number, clock: Clock) {
    this.#atOnce = atOnce;
    this.#clock = clock;
    this.#waiting = new WaitingLine(queueLimit);
    this.#deadlines = new Deadlines(clock);
  }

  get load(): { readonly inside: number; readonly waiting: number } {
    return { inside: this.#inside, waiting: this.#waiting.size };
  }

  /** Who got `in` must `leave`. `deadline`: ms since the epoch. */
  enter(urgency: Urgency, deadline: number, signal: AbortSignal): Promise<Admission> {
    if (signal.aborted) return Promise.resolve('cancelled');
    if (this.#inside < this.#atOnce) {
      this.#inside += 1;
      return Promise.resolve('in');
    }
    return new Promise((resolve) => {
      const end = (result: Admission): void => {
        stop();
        signal.removeEventListener('abort', abort);
        if (result !== 'in') this.#waiting.delete(end);
        resolve(result);
      };
      const abort = (): void => end('cancelled');
      const stop = this.#deadlines.after(Math.max(0, deadline - this.#clock.now()), () => end('late'));
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.add(end, urgency)?.('full');
    });
  }

  leave(): void {
    const next = this.#waiting.take();
    if (next === undefined) this.#inside -= 1;
    else next('in');
  }
}
