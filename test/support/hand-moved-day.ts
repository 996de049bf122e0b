/** Real timers, and a time of day that is moved by hand. */
import type { Clock } from '../../lib/ports/clock.ts';

export function aClock(): Clock & { move(ms: number): void } {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    after(ms, task) {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    move(ms) {
      offset += ms;
    },
  };
}
