/** What the measurements of an engine alone say: bridged calls, text, connections held, garbage collection. */
import type { Result } from './job.ts';
import { grid, mib, ms, percent, range } from './grid.ts';
import type { Limit, Row } from './report.ts';

/** The aims of the project for the engine; none of them is about right or wrong. */
export function engineLimits(name: string, result: Result): Limit[] {
  const aim = (what: string, found: number, met: boolean): Limit[] => [
    { what: `${name}: ${what}`, found: `${found}`, met, hard: false },
  ];
  switch (result.is) {
    case 'register':
      return result.gcAtHalf === undefined
        ? []
        : aim('no collection above 20 ms at half load', result.gcAtHalf.longest, result.gcAtHalf.longest <= 20);
    case 'parse': {
      const both = result.steps.find((step) => step.name === 'parse and serialise')?.least ?? Number.NaN;
      return aim('parse and serialise below 8 us', both, both < 8);
    }
    case 'flows':
      return [{ what: `${name}: all held`, found: `${result.held}`, met: result.held === result.flows, hard: true }];
    case 'calls':
    case 'wake':
    case 'hold':
      return [];
    default:
      return result satisfies never;
  }
}

export function engineTables(rows: readonly Row[]): string {
  return [processTable(rows), gcTable(rows), callTable(rows), flowTable(rows), parseTable(rows)].join('');
}

function processTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ group, name, result }) =>
    group === 'engine' && result?.is === 'register' && result.threadMicros.length > 1
      ? [[name, ...result.threadMicros.slice(0, 2).map(total)]]
      : [],
  );
  return table('engine, CPU us/op by process', ['', 'engine', 'app'], lines);
}

function total(micros: readonly number[]): string {
  return `${micros.reduce((sum, each) => sum + each, 0)}`;
}

function gcTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, result }) => {
    if (result?.is !== 'register' || result.gcAtHalf === undefined) return [];
    const { count, longest, p99, share } = result.gcAtHalf;
    return [[name, `${count}`, p99.toFixed(2), longest.toFixed(2), `${(share * 100).toFixed(1)} %`]];
  });
  return table(
    'garbage collection of the engine at half load',
    ['', 'pauses', 'p99 ms', 'longest', 'of the time'],
    lines,
  );
}

function callTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, result, cpuOfRuns }) =>
    result?.is === 'calls'
      ? [
          [
            name,
            `${result.rate}`,
            result.cpuMicros.toFixed(0),
            range(cpuOfRuns),
            ...[result.threadMicros[0] ?? [], result.threadMicros[1] ?? []].map(total),
            percent(result.cpuShare),
            percent(result.foreignShare),
            percent(result.loadShare),
            ...ms(result.answeredMs),
            `${result.failed}`,
            `${result.retransmissions}`,
            `${result.lost}`,
          ],
        ]
      : [],
  );
  const head = ['', 'calls/s', 'CPU us/call', '(runs)', 'engine', 'app', 'busy', 'others', 'load'];
  return table('calls', [...head, 'INVITE>200 p50', 'p99', 'failed', 'repeated', 'lost'], lines);
}

function flowTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, result }) =>
    result?.is === 'flows'
      ? [
          [
            name,
            `${result.held}`,
            mib(result.before.rssKib),
            mib(result.memory.rssKib),
            result.kibPerFlow.toFixed(1),
            result.cpuMicros.toFixed(0),
          ],
        ]
      : [],
  );
  return table('flows', ['', 'held', 'RSS MiB before', 'with them', 'KiB/flow', 'CPU us to open'], lines);
}

function parseTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ result }) =>
    result?.is === 'parse'
      ? result.steps.map((step) => [step.name, step.least.toFixed(2), step.median.toFixed(2), step.ratio.toFixed(2)])
      : [],
  );
  return table('parse, us for one REGISTER', ['', 'least', 'median', 'x responder'], lines);
}

function table(title: string, head: readonly string[], lines: readonly (readonly string[])[]): string {
  return lines.length === 0 ? '' : `\n${title}\n${grid([head, ...lines])}`;
}
