/** From single runs to a report: medians, ratios within one round, limits, tables. */
import type { HoldResult, Job, RegisterResult, Result, WakeResult } from './job.ts';
import { engineLimits, engineTables } from './report-engine.ts';
import { median, round, type Spread } from './figures.ts';
import { grid, mib, ms, percent, range } from './grid.ts';
import type { Group } from './plan.ts';

export interface Row {
  readonly group: Group;
  readonly name: string;
  /** the run whose CPU is the median; undefined when every run failed */
  readonly result: Result | undefined;
  /** CPU figure of every run, microseconds or milliseconds an operation */
  readonly cpuOfRuns: readonly number[];
  /** CPU as a multiple of the plain Node responder with a map, median over the rounds */
  readonly ratio: number | undefined;
  readonly failed: string | undefined;
}

export interface Limit {
  readonly what: string;
  readonly found: string;
  readonly met: boolean;
  /** about right or wrong, not about speed: missing it is an error in any case */
  readonly hard: boolean;
}

export interface Report {
  readonly started: string;
  readonly machine: string;
  readonly pinning: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly rows: readonly Row[];
  readonly skipped: readonly { readonly group: Group; readonly name: string; readonly why: string }[];
  readonly limits: readonly Limit[];
}

const yardstick = 'Node responder with map';

export function summarise(group: Group, results: ReadonlyMap<Job, readonly (Result | string)[]>): Row[] {
  const baseline = [...results].find(([{ name }]) => name === yardstick)?.[1];
  return [...results].map(([job, runs]) => {
    const good = runs.filter((run) => typeof run !== 'string');
    const cpuOfRuns = good.map(cpuOf);
    const middle = median(cpuOfRuns);
    const nearest = [...good].sort((a, b) => Math.abs(cpuOf(a) - middle) - Math.abs(cpuOf(b) - middle))[0];
    const ratios = runs.flatMap((run, at) => {
      const beside = baseline?.[at];
      return typeof run === 'string' || beside === undefined || typeof beside === 'string'
        ? []
        : [cpuOf(run) / cpuOf(beside)];
    });
    return {
      group,
      name: job.name,
      result: nearest,
      cpuOfRuns,
      ratio: ratios.length === 0 ? undefined : round(median(ratios)),
      failed: runs.find((run) => typeof run === 'string'),
    };
  });
}

function cpuOf(result: Result): number {
  switch (result.is) {
    case 'register':
    case 'calls':
    case 'flows':
      return result.cpuMicros;
    case 'wake':
      return result.cpuMs;
    case 'hold':
      return result.rounds[0]?.cpuMs ?? Number.NaN;
    case 'parse':
      return result.steps.find(({ name }) => name === 'parse and serialise')?.least ?? Number.NaN;
    default:
      return result satisfies never;
  }
}

/** The limits of the project, for the rows of the edge on its own engine with its durable store. */
export function judge(rows: readonly Row[]): Limit[] {
  return rows.flatMap((row): Limit[] => {
    const { result, name } = row;
    if (result === undefined) return [];
    if (!name.startsWith('edge')) return engineLimits(name, result);
    switch (result.is) {
      case 'register':
        return row.group === 'register' && /^edge, (?:UDP|TCP)$/.test(name) ? [registerLimit(name, result)] : [];
      case 'wake':
        return wakeLimits(row, result);
      case 'hold':
        return holdLimits(name, result);
      case 'calls':
      case 'flows':
      case 'parse':
        return [];
      default:
        return result satisfies never;
    }
  });
}

function registerLimit(name: string, { rate }: RegisterResult): Limit {
  return { what: `${name}: at least 4,500 REGISTER/s on one core`, found: `${rate}`, met: rate >= 4500, hard: false };
}

function wakeLimits({ group, name }: Row, result: WakeResult): Limit[] {
  const { calls, answered, invitesAtPhones, phonesWithOneInvite } = result;
  const right: Limit[] = [
    { what: `${name}: ${calls} answered`, found: `${answered}`, met: answered === calls, hard: true },
    {
      what: `${name}: one INVITE at each phone`,
      found: `${invitesAtPhones} at ${phonesWithOneInvite} phones with one`,
      met: phonesWithOneInvite === calls,
      hard: true,
    },
  ];
  if (group !== 'wake' || name.includes('drachtio') || name.includes('Redis')) return right;
  return [
    ...right,
    { what: `${name}: at most 1.5 ms CPU a call`, found: `${result.cpuMs}`, met: result.cpuMs <= 1.5, hard: false },
    latencyLimit(`${name}: INVITE to push`, result.inviteToPushMs),
    latencyLimit(`${name}: REGISTER to INVITE`, result.registerToInviteMs),
  ];
}

function latencyLimit(what: string, spread: Spread | null): Limit {
  return {
    what: `${what} below 2 ms (p50) and 10 ms (p99)`,
    found: spread === null ? 'nothing' : `${spread.p50} and ${spread.p99}`,
    met: spread !== null && spread.p50 < 2 && spread.p99 < 10,
    hard: false,
  };
}

function holdLimits(name: string, { rounds }: HoldResult): Limit[] {
  return rounds.flatMap(({ held, terminated, kibPerHeld, proceeding }, at): Limit[] => [
    {
      what: `${name}, round ${at + 1}: ${held} held at once`,
      found: `${proceeding}`,
      met: proceeding === held,
      hard: true,
    },
    {
      what: `${name}, round ${at + 1}: ${held} times 487`,
      found: `${terminated}`,
      met: terminated === held,
      hard: true,
    },
    {
      what: `${name}, round ${at + 1}: at most 40 KiB a held call`,
      found: `${kibPerHeld}`,
      met: kibPerHeld <= 40,
      hard: false,
    },
  ]);
}

export function tableOf(report: Report): string {
  const parts = [`${report.machine}\n${report.pinning}\n`];
  const inGroup = (group: Group): readonly Row[] => report.rows.filter((row) => row.group === group);
  for (const group of ['register', 'register-rate', 'engine'] as const) {
    const rows = inGroup(group);
    if (rows.length > 0) parts.push(registerTable(group, rows));
  }
  for (const group of ['wake', 'bursts'] as const) {
    const rows = inGroup(group);
    if (rows.length > 0) parts.push(wakeTable(group, rows));
  }
  if (inGroup('holds').length > 0) parts.push(holdTable(inGroup('holds')));
  parts.push(engineTables(report.rows));
  for (const { group, name, why } of report.skipped) parts.push(`skipped: ${group}, ${name}: ${why}\n`);
  for (const { name, failed } of report.rows) if (failed !== undefined) parts.push(`failed: ${name}: ${failed}\n`);
  if (report.limits.length > 0) {
    parts.push(
      `\nlimits\n${report.limits.map(({ what, found, met }) => `  ${met ? 'met   ' : 'MISSED'}  ${what}; found ${found}`).join('\n')}\n`,
    );
  }
  return parts.join('');
}

function registerTable(group: Group, rows: readonly Row[]): string {
  const head = [
    '',
    'REGISTER/s',
    'CPU us/op',
    '(runs)',
    'least',
    'per core',
    'busy',
    'others',
    'load',
    'x responder',
    'p50 ms',
    'p99 ms',
    'repeated',
    'lost',
    'refused',
    'RSS MiB',
    'load us/op',
  ];
  const lines = rows.flatMap(({ name, result, cpuOfRuns, ratio }) =>
    result?.is === 'register'
      ? [
          [
            name,
            `${result.rate}`,
            result.cpuMicros.toFixed(1),
            range(cpuOfRuns),
            result.leastMicros.toFixed(1),
            `${Math.round(1e6 / result.cpuMicros)}`,
            percent(result.cpuShare),
            percent(result.foreignShare),
            percent(result.loadShare),
            ratio === undefined ? '-' : ratio.toFixed(1),
            ...ms(result.latencyMs),
            `${result.retransmissions}`,
            `${result.lost}`,
            `${result.refused}`,
            mib(result.memory.rssKib),
            result.loadMicros.toFixed(1),
          ],
        ]
      : [],
  );
  return `\n${group}\n${grid([head, ...lines])}`;
}

function wakeTable(group: Group, rows: readonly Row[]): string {
  const head = [
    '',
    'calls',
    'answered',
    'INVITEs',
    'one each',
    'CPU ms/call',
    '(runs)',
    'least',
    'busy',
    'others',
    'load',
    'INVITE>push p50',
    'p99',
    'REGISTER>INVITE p50',
    'p99',
    '200>INVITE p50',
    'p99',
    'RSS MiB',
  ];
  const lines = rows.flatMap(({ name, result, cpuOfRuns }) =>
    result?.is === 'wake'
      ? [
          [
            name,
            `${result.calls}`,
            `${result.answered}`,
            `${result.invitesAtPhones}`,
            `${result.phonesWithOneInvite}`,
            result.cpuMs.toFixed(2),
            range(cpuOfRuns),
            result.leastMs.toFixed(2),
            percent(result.cpuShare),
            percent(result.foreignShare),
            percent(result.loadShare),
            ...ms(result.inviteToPushMs),
            ...ms(result.registerToInviteMs),
            ...ms(result.acceptedToInviteMs),
            mib(result.memory.rssKib),
          ],
        ]
      : [],
  );
  const failures = rows.flatMap(({ name, result }) =>
    result?.is === 'wake'
      ? Object.entries(result.failures).map(([why, count]) => `  ${name}: ${count} x ${why}\n`)
      : [],
  );
  return `\n${group}\n${grid([head, ...lines])}${failures.join('')}`;
}

function holdTable(rows: readonly Row[]): string {
  const head = [
    '',
    'round',
    'held',
    'pushed',
    '487',
    'others',
    'RSS MiB before',
    'peak',
    'cancelled',
    'after',
    'KiB/held',
    'anon before',
    'peak',
    'after',
    'CPU ms/call',
  ];
  const lines = rows.flatMap(({ name, result }) =>
    result?.is === 'hold'
      ? result.rounds.map((one, at) => [
          name,
          `${at + 1}`,
          `${one.proceeding}`,
          `${one.pushes}`,
          `${one.terminated}`,
          Object.entries(one.others)
            .map(([status, count]) => `${count}x${status}`)
            .join(' ') || '0',
          mib(one.before.rssKib),
          mib(one.peak.rssKib),
          mib(one.cancelled.rssKib),
          mib(one.after.rssKib),
          one.kibPerHeld.toFixed(1),
          mib(one.before.anonKib),
          mib(one.peak.anonKib),
          mib(one.after.anonKib),
          one.cpuMs.toFixed(2),
        ])
      : [],
  );
  return `\nholds\n${grid([head, ...lines])}`;
}
