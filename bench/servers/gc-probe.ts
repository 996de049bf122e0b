/**
 * Loaded into a measured node by `--import`: notes every garbage collection pause of each of its threads, and leaves them in the
 * folder BENCH_GC_DIR when the thread ends.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { threadId } from 'node:worker_threads';

const folder = process.env['BENCH_GC_DIR'];
/** when it began, on the clock of the machine, and how long it took, ms */
const pauses: [at: number, ms: number][] = [];
const observer = new PerformanceObserver((list) => take(list.getEntries()));

function take(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
  for (const { startTime, duration } of entries) pauses.push([performance.timeOrigin + startTime, duration]);
}

if (folder !== undefined) {
  observer.observe({ entryTypes: ['gc'] });
  process.on('exit', () => {
    take(observer.takeRecords());
    writeFileSync(join(folder, `${process.pid}-${threadId}.json`), JSON.stringify(pauses));
  });
}
