/** CPU and memory of a process with all its threads and child processes, from /proc (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

export interface Usage {
  /** user and system time since the processes began, seconds; steps of 10 ms */
  readonly cpuSeconds: number;
  /** resident memory; pages shared by two processes count twice */
  readonly rssKib: number;
  /** resident memory that belongs to no file: without mapped libraries and without the mapped pages of an lmdb store */
  readonly anonKib: number;
  /** proportional share: pages shared by two processes count once */
  readonly pssKib: number;
  readonly processes: number;
  readonly threads: number;
}

const ticksPerSecond = 100;

export function usageOf(roots: readonly number[]): Usage {
  let cpuSeconds = 0;
  let rssKib = 0;
  let anonKib = 0;
  let pssKib = 0;
  let threads = 0;
  const pids = roots.flatMap((root) => treeOf(root));
  for (const pid of pids) {
    cpuSeconds += cpuOf(pid);
    const status = read(`/proc/${pid}/status`);
    rssKib += kib(status, 'VmRSS');
    anonKib += kib(status, 'RssAnon');
    threads += kib(status, 'Threads');
    pssKib += kib(read(`/proc/${pid}/smaps_rollup`), 'Pss');
  }
  return { cpuSeconds, rssKib, anonKib, pssKib, processes: pids.length, threads };
}

/** Only the CPU time: cheap enough to be read inside a measurement. */
export function cpuSecondsOf(roots: readonly number[]): number {
  let seconds = 0;
  for (const root of roots) for (const pid of treeOf(root)) seconds += cpuOf(pid);
  return seconds;
}

/** CPU seconds of every thread that lives now, by `process/thread`; precise to the microsecond where the kernel tells. */
export function cpuByThread(roots: readonly number[]): Map<string, number> {
  const seconds = new Map<string, number>();
  for (const root of roots) {
    for (const pid of treeOf(root)) {
      for (const task of list(`/proc/${pid}/task`)) {
        const name = task === String(pid) ? 'main' : `${read(`/proc/${pid}/task/${task}/comm`)} ${task}`;
        const nanoseconds = Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]);
        seconds.set(`${read(`/proc/${pid}/comm`)} ${pid} / ${name}`, nanoseconds / 1e9);
      }
    }
  }
  return seconds;
}

/** Busy seconds of one core since boot, whoever used it. */
export function coreSeconds(core: number): number {
  const line = read('/proc/stat')
    .split('\n')
    .find((one) => one.startsWith(`cpu${core} `));
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = (line ?? '').split(' ').slice(1).map(Number);
  return (user + nice + system + irq + softIrq) / ticksPerSecond;
}

function cpuOf(pid: number): number {
  // the name in parentheses may hold spaces: count fields from behind it (utime is field 14, cstime 17)
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond;
}

function treeOf(root: number): number[] {
  const children: number[] = [];
  for (const task of list(`/proc/${root}/task`)) {
    for (const child of read(`/proc/${root}/task/${task}/children`).split(' '))
      if (child !== '') children.push(Number(child));
  }
  return [root, ...children.flatMap((child) => treeOf(child))];
}

function kib(text: string, key: string): number {
  const at = text.indexOf(`${key}:`);
  return at < 0 ? 0 : Number.parseInt(text.slice(at + key.length + 1), 10);
}

/** Empty when the process has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
