/** The run in words: how calls ended, by what, and what was wrong. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawRun } from './picture.ts';
import { type Fault, nameOf } from './fault.ts';
import type { Call } from './ledger.ts';
import type { RunResult } from './run.ts';
import type { Verdict } from './verdict.ts';

export interface Report {
  readonly seed: number;
  readonly minutes: number;
  readonly rate: number;
  readonly nodes: number;
  readonly phones: number;
  /** false in a rolling restart: every call has to be answered */
  readonly mayFail: boolean;
  readonly calls: number;
  readonly skipped: number;
  /** of the calls, by end */
  readonly ends: Readonly<Record<string, number>>;
  /** calls that another node took over from one that said nothing, or 503 */
  readonly retried: number;
  /** faults by kind */
  readonly faults: Readonly<Record<string, number>>;
  /** calls that did not go through, by the first fault that explains them */
  readonly explainedBy: Readonly<Record<string, number>>;
  /** what was wrong, by what it was */
  readonly wrong: Readonly<Record<string, number>>;
  readonly strangers: number;
  readonly failedStarts: number;
  readonly loadLateMs: RunResult['loadLateMs'];
  /** what could not be done on this machine */
  readonly leftOut: readonly string[];
  readonly aftermath: RunResult['aftermath'];
}

export interface Judged {
  readonly call: Call;
  readonly verdict: Verdict;
}

export function summarise(
  plan: Pick<Report, 'seed' | 'minutes' | 'rate' | 'nodes' | 'phones' | 'leftOut' | 'mayFail'>,
  result: RunResult,
  judged: readonly Judged[],
): Report {
  const faultOf = new Map(result.faults.map((fault) => [fault.id, fault]));
  return {
    ...{ seed: plan.seed, minutes: plan.minutes, rate: plan.rate, nodes: plan.nodes, phones: plan.phones },
    ...{ leftOut: plan.leftOut, mayFail: plan.mayFail },
    calls: judged.length,
    skipped: result.skipped,
    ends: countBy(judged.map(({ verdict }) => verdict.end)),
    retried: judged.filter(({ call }) => call.attempts.length > 1).length,
    faults: countBy(result.faults.map(({ kind }) => kind)),
    explainedBy: countBy(
      judged.flatMap(({ verdict: { because } }) => {
        const fault = faultOf.get(because[0] ?? 0);
        return fault === undefined ? [] : [fault.kind];
      }),
    ),
    wrong: countBy([...judged.flatMap(({ verdict }) => verdict.wrong), ...result.aftermath.wrong]),
    strangers: result.strangers,
    failedStarts: result.failedStarts,
    loadLateMs: result.loadLateMs,
    aftermath: result.aftermath,
  };
}

export function isGood({ wrong, strangers, ends }: Report): boolean {
  return Object.keys(wrong).length === 0 && strangers === 0 && (ends['answered'] ?? 0) > 0;
}

export function tableOf(report: Report, result: RunResult, judged: readonly Judged[]): string {
  const { ends, aftermath } = report;
  const lines = [
    `seed ${report.seed}: ${report.calls} calls in ${report.minutes} min at ${report.rate}/s to ${report.phones} phones on ${report.nodes} nodes`,
    row('ends', ends),
    `  at another node than the first  ${report.retried}`,
    row('faults', report.faults),
    row('calls lost, by the fault that explains it', report.explainedBy),
    row('wrong', report.wrong),
  ];
  if (report.skipped > 0) lines.push(`not placed, because every phone was busy: ${report.skipped}`);
  if (report.strangers > 0) lines.push(`INVITEs at phones of no call of ours: ${report.strangers}`);
  if (report.failedStarts > 0) lines.push(`starts of nodes that had to be repeated: ${report.failedStarts}`);
  lines.push(`timers of the load were late by ${report.loadLateMs.p99} ms (p99), ${report.loadLateMs.max} ms at most`);
  for (const what of report.leftOut) lines.push(`left out: ${what}`);
  lines.push('afterwards');
  for (const [n, node] of aftermath.nodes.entries())
    lines.push(
      `  node ${n}: held ${node.held}, calls ${node.calls}, ${(node.rssKibBefore / 1024).toFixed(0)} MiB before, ${(node.rssKibAfter / 1024).toFixed(0)} MiB after`,
    );
  lines.push(
    `  Redis: ${aftermath.redisKeys} keys, ${Object.values(aftermath.endless).reduce((sum, count) => sum + count, 0)} without an end`,
  );
  const bad = judged.filter(({ verdict }) => verdict.wrong.length > 0);
  for (const one of bad.slice(0, 20)) lines.push(`  ${lineOf(one, result.faults)}`);
  if (bad.length > 20) lines.push(`  and ${bad.length - 20} more`);
  return `${lines.join('\n')}\n`;
}

/** Calls and faults line by line, the figures and the picture. */
export function writeReport(folder: string, report: Report, result: RunResult, judged: readonly Judged[]): void {
  mkdirSync(folder, { recursive: true });
  const lines = (values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');
  writeFileSync(join(folder, 'calls.jsonl'), lines(judged.map(({ call, verdict }) => ({ ...call, ...verdict }))));
  writeFileSync(join(folder, 'faults.jsonl'), lines(result.faults.map((fault) => ({ name: nameOf(fault), ...fault }))));
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(join(folder, 'report.txt'), tableOf(report, result, judged));
  writeFileSync(join(folder, 'chaos.svg'), drawRun(judged, result.faults, report));
}

function lineOf({ call, verdict }: Judged, faults: readonly Fault[]): string {
  const attempts = call.attempts.map(
    ({ node, at, status, abandoned }) =>
      `node ${node} at ${(at / 1000).toFixed(1)} s: ${abandoned === '' ? status : abandoned}`,
  );
  const near = faults.filter(({ since, to }) => since <= call.at + 20_000 && to >= call.at - 5000).map(nameOf);
  return `call ${call.n} (${call.transport}, phone ${call.phone}): ${verdict.wrong.join(', ')}; ${attempts.join('; ')}; near: ${near.join(', ') || 'no fault'}`;
}

function row(title: string, counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return [
    title,
    ...parts.map(([name, count]) => `  ${name.padEnd(30)}  ${count}`),
    ...(parts.length === 0 ? ['  none'] : []),
  ].join('\n');
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
