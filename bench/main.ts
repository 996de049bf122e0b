/** Measures the edge beside its yardsticks: `npm run bench -- NAME ...`. Plans runs, starts each in its own process, reports. */
import { fork } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { drawCharts } from './chart.ts';
import type { Job, Result, RunMessage, RunOrder } from './job.ts';
import { groups, planOf, type Group, type GroupPlan, type Sizes } from './plan.ts';
import { printProfile } from './profile.ts';
import { judge, summarise, tableOf, type Report, type Row } from './report.ts';
import { projectRoot } from './servers/place.ts';
import { loadCore, pinned, serverCore } from './servers/server.ts';

const help = `Usage: npm run bench -- [NAME ...] [options]

Names (default: register wake)
  register        REGISTER as fast as answers come, all servers in turn
  register-rate   REGISTER at a fixed rate
  wake            calls to sleeping phones at a fixed rate, pushes over HTTP/2 and TLS
  bursts          1,000 wake-ups at 20 a second, random REGISTER bursts: 1,000 answered, 1,000 INVITEs
  holds           5,000 INVITEs held at once, then cancelled
  engine          REGISTER to an engine alone with a trivial app, and garbage collection pauses at half of that rate
  calls           calls bridged by a trivial app on an engine alone
  parse           the text of a REGISTER, read and written without a socket
  flows           connections held at once by an engine alone: memory of each
  all             everything

Options
  --only REGEX       only rows whose name matches
  --runs N           runs of each row, in turn; the median counts (3)
  --seconds N        length of a REGISTER measurement (8)
  --phones N         phones that register (10000)
  --in-flight N      REGISTERs in flight in the closed loop (32)
  --register-rate N  REGISTERs a second (1000)
  --calls N          calls measured (1000)
  --warm-up N        calls before those, at twice the rate (4000)
  --call-rate N      calls a second (100)
  --held N           INVITEs held at once (5000)
  --settle N         seconds from the last 487 to the last reading of memory (45)
  --rounds N         rounds of holding and cancelling on the same servers (2)
  --seed N           of the random bursts (1)
  --flows N          connections held at once (10000)
  --net A.B.C        loopback addresses to use (127.0.40)
  --cpu-prof DIR     CPU profiles of the edge or engine, one folder for each run
  --node-args=TEXT   further arguments for the node of the edge, as in --node-args=--trace-deopt
  --keep DIR         keep configs and logs of the runs here
  --json             one JSON object on stdout instead of tables
  --svg FILE         a picture of the figures
  --check            exit code 1 when a figure misses its limit
  --help
Environment: DRACHTIO_BIN, KAMAILIO_BIN, BENCH_REDIS_URL name servers to measure beside; see bench/README.md.
`;

const options = {
  only: { type: 'string' },
  runs: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '8' },
  phones: { type: 'string', default: '10000' },
  'in-flight': { type: 'string', default: '32' },
  'register-rate': { type: 'string', default: '1000' },
  calls: { type: 'string', default: '1000' },
  'warm-up': { type: 'string', default: '4000' },
  'call-rate': { type: 'string', default: '100' },
  held: { type: 'string', default: '5000' },
  settle: { type: 'string', default: '45' },
  rounds: { type: 'string', default: '2' },
  seed: { type: 'string', default: '1' },
  flows: { type: 'string', default: '10000' },
  net: { type: 'string', default: '127.0.40' },
  'cpu-prof': { type: 'string' },
  'node-args': { type: 'string', default: '' },
  keep: { type: 'string' },
  json: { type: 'boolean', default: false },
  svg: { type: 'string' },
  check: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.help) return void process.stdout.write(help);
  const names = positionals.length === 0 ? ['register', 'wake'] : positionals.includes('all') ? groups : positionals;
  for (const name of names)
    if (!groups.includes(name as Group))
      throw new Error(`no measurement "${name}"; there are ${groups.join(', ')} and all`);
  if (!/^127(\.\d{1,3}){2}$/.test(values.net))
    throw new Error(`--net: expected three numbers of a loopback address, found ${values.net}`);
  const number = (name: keyof typeof options): number => {
    const value = Number(values[name]);
    if (!(value >= 0)) throw new Error(`--${name}: expected a number, found ${String(values[name])}`);
    return value;
  };
  const sizes: Sizes = {
    seconds: number('seconds'),
    phones: number('phones'),
    inFlight: number('in-flight'),
    registerRate: number('register-rate'),
    calls: number('calls'),
    warmUp: number('warm-up'),
    callRate: number('call-rate'),
    held: number('held'),
    settleSeconds: number('settle'),
    rounds: number('rounds'),
    seed: number('seed'),
    flows: number('flows'),
  };
  const only = values.only === undefined ? undefined : new RegExp(values.only, 'i');
  const plans = names.map((name) => planOf(name as Group, sizes, number('runs'), only));
  const started = new Date();
  const rows: Row[] = [];
  for (const plan of plans) {
    rows.push(
      ...(await runGroup(plan, {
        net: values.net,
        profiles: values['cpu-prof'],
        keep: values.keep,
        nodeArgs: values['node-args'].split(' ').filter((arg) => arg !== ''),
      })),
    );
  }
  const report: Report = {
    started: started.toISOString(),
    machine: `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}`,
    pinning: pinned
      ? `servers on core ${serverCore}, load on core ${loadCore}`
      : 'nothing pinned: needs taskset and two cores',
    sizes: { ...sizes },
    rows,
    skipped: plans.flatMap(({ group, skipped }) => skipped.map((one) => ({ group, ...one }))),
    limits: judge(rows),
  };
  if (values.svg !== undefined) writeFileSync(values.svg, drawCharts(report));
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : tableOf(report));
  const broken = rows.some(({ failed }) => failed !== undefined) || report.limits.some(({ hard, met }) => hard && !met);
  if (broken || (values.check && report.limits.some(({ met }) => !met))) process.exitCode = 1;
}

interface Surroundings {
  readonly net: string;
  readonly profiles: string | undefined;
  readonly keep: string | undefined;
  readonly nodeArgs: readonly string[];
}

/** Runs all rows once, then all again: whatever slows the machine for a while slows them all. */
async function runGroup(plan: GroupPlan, { net, profiles, keep, nodeArgs }: Surroundings): Promise<Row[]> {
  const results = new Map<Job, (Result | string)[]>(plan.jobs.map((job) => [job, []]));
  for (let run = 1; run <= plan.runs; run++) {
    for (const job of plan.jobs) {
      const label = `[${plan.group} ${run}/${plan.runs}] ${job.name}`;
      const folder = `${plan.group}-${job.name.replaceAll(/[^A-Za-z0-9]+/g, '-')}-${run}`;
      const profiling = profiles === undefined ? [] : profilerArgs(resolve(profiles, folder));
      const kept = keep === undefined ? undefined : resolve(keep, folder);
      const outcome = await runOne({ job, net, nodeArgs: [...nodeArgs, ...profiling], keep: kept }, (text) =>
        process.stderr.write(`${label}: ${text}\n`),
      );
      if (typeof outcome === 'string') process.stderr.write(`${label}: FAILED, ${outcome}\n`);
      results.get(job)?.push(outcome);
      if (profiles !== undefined) process.stderr.write(profilesIn(resolve(profiles, folder)));
    }
  }
  return summarise(plan.group, results);
}

/** What the profiles of one run say; start and warm-up, about a third, are left out. */
function profilesIn(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files.map((name) => printProfile(join(folder, name), 0.35)).join('\n');
}

function profilerArgs(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`];
}

/** The result, or why there is none. */
function runOne(order: RunOrder, onProgress: (text: string) => void): Promise<Result | string> {
  const pinning = pinned ? { execPath: 'taskset', execArgv: ['-c', String(loadCore), process.execPath] } : {};
  const child = fork(join(projectRoot, 'dist/bench/run-one.js'), {
    ...pinning,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((done) => {
    child.on('message', (message: RunMessage) => {
      if (message.is === 'progress') onProgress(message.text);
      else done(message.is === 'result' ? message.result : message.why);
    });
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => done(`the run ended without a result (${signal ?? code})`));
    child.send(order);
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
