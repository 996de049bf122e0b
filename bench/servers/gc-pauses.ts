/** Reads what gc-probe.ts has left. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Samples, round } from '../figures.ts';
import { projectRoot, type Place } from './place.ts';

export interface GcPauses {
  readonly count: number;
  /** ms; 0 when there was none */
  readonly longest: number;
  readonly p99: number;
  /** of the time that was watched */
  readonly share: number;
}

/** What a measured node must be started with. */
export function gcProbe(place: Place): { readonly args: readonly string[]; readonly env: Record<string, string> } {
  const folder = join(place.folder, 'gc');
  mkdirSync(folder, { recursive: true });
  return { args: ['--import', join(projectRoot, 'dist/bench/servers/gc-probe.js')], env: { BENCH_GC_DIR: folder } };
}

/** Pauses of every thread of this process that began between two moments (Date.now()); undefined when nothing was noted. */
export function pausesOf(pid: number, place: Place, from: number, to: number): GcPauses | undefined {
  const folder = join(place.folder, 'gc');
  const files = readdirSync(folder).filter((name) => name.startsWith(`${pid}-`));
  if (files.length === 0) return undefined;
  const samples = new Samples();
  let total = 0;
  for (const file of files) {
    for (const [at, ms] of JSON.parse(readFileSync(join(folder, file), 'utf8')) as [number, number][]) {
      if (at < from || at > to) continue;
      samples.add(ms);
      total += ms;
    }
  }
  const spread = samples.spread();
  return {
    count: samples.count,
    longest: spread?.max ?? 0,
    p99: spread?.p99 ?? 0,
    share: round(total / Math.max(1, to - from)),
  };
}
