/** Judges a run once more from what it has left in its folder: when the rules have changed since, or to see how they judge. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from './fault.ts';
import type { Call } from './ledger.ts';
import type { Report } from './report.ts';
import type { RunResult } from './run.ts';

export interface Kept {
  readonly report: Report;
  readonly result: RunResult;
}

export function readRun(folder: string): Kept {
  const lines = <T>(file: string): T[] =>
    readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line, asNumber) as T);
  const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report;
  const faults = lines<Fault>('faults.jsonl').map((fault) => ({
    ...fault,
    to: Number.isNaN(fault.to) ? Number.POSITIVE_INFINITY : fault.to,
  }));
  return { report, result: { ...report, calls: lines<Call>('calls.jsonl'), faults } };
}

/** JSON has no NaN; what has not happened is null there. */
function asNumber(_: string, value: unknown): unknown {
  return value === null ? Number.NaN : value;
}
