/** Turns of the event loop of the thread that asks: how long the longest was, and how much of it was its own doing. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';

export interface Turns {
  /** ms by the clock from one turn of the event loop to the next, less the 1 ms it was to rest */
  readonly loop: number;
  /** ms of CPU this thread used within one such gap: what is ours of it. The kernel counts in steps of up to 4 ms; NaN where it does not tell */
  readonly own: number;
  /** ms by the clock of the longest pause of V8's garbage collector */
  readonly gc: number;
  /** turns with more than 50 ms of own CPU */
  readonly over: number;
}

export interface TurnWatch {
  /** since the last time it was asked */
  take(): Turns;
  stop(): void;
}

export const limitMs = 50;

export function watchTurns(): TurnWatch {
  const cpu = ownCpu();
  const nothing = { loop: 0, own: 0, gc: 0, over: 0 };
  let longest = { ...nothing };
  let last = { at: performance.now(), cpu: cpu.read() };
  const look = (): void => {
    const now = { at: performance.now(), cpu: cpu.read() };
    const own = now.cpu - last.cpu;
    longest.loop = Math.max(longest.loop, now.at - last.at - 1);
    longest.own = Math.max(longest.own, own);
    if (own > limitMs) longest.over += 1;
    last = now;
  };
  const ticks = setInterval(look, 1).unref();
  const collector = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest.gc = Math.max(longest.gc, duration);
  });
  collector.observe({ entryTypes: ['gc'] });
  return {
    take: () => {
      const seen = longest;
      longest = { ...nothing };
      return seen;
    },
    stop: () => {
      clearInterval(ticks);
      collector.disconnect();
      cpu.close();
    },
  };
}

/** ms of CPU of this thread so far (Linux). */
function ownCpu(): { read(): number; close(): void } {
  // another name of the file of the thread that opens it
  const file = '/proc/thread-self/schedstat';
  return existsSync(file) ? cpuIn(file) : { read: () => Number.NaN, close: () => undefined };
}

/** ms of CPU of the main thread of a process so far (Linux). */
export function mainThreadCpu(pid: number): { read(): number; close(): void } {
  return cpuIn(`/proc/${pid}/task/${pid}/schedstat`);
}

function cpuIn(file: string): { read(): number; close(): void } {
  const descriptor = openSync(file, 'r');
  const text = Buffer.alloc(64);
  return {
    read: () => Number.parseInt(text.toString('latin1', 0, readSync(descriptor, text, 0, 64, 0)), 10) / 1e6,
    close: () => closeSync(descriptor),
  };
}
