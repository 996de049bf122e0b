/** Time of the load: a fixed rate that does not wait for answers, and pauses. */
import { wallMs } from './sip-text.ts';

/** Calls `each` `count` times, so many a second whatever comes back; what a late timer missed is caught up at once. */
export function paced(count: number, rate: number, each: (n: number) => void): Promise<void> {
  const from = wallMs();
  let started = 0;
  return new Promise((done) => {
    const pacer = setInterval(() => {
      const due = Math.min(count, Math.floor(((wallMs() - from) * rate) / 1000) + 1);
      for (; started < due; started++) each(started);
      if (started < count) return;
      clearInterval(pacer);
      done();
    }, 1);
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
