/** Fuzzes the parsers, the framing and the engine: `npm run fuzz -- [TARGET ...]`. Prints what it does; keeps what it finds. */
import { createHash, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { longest } from './mutate.ts';
import { targets } from './targets/all.ts';
import type { Message, Order } from './worker.ts';

const names = Object.keys(targets);
const help = `Usage: npm run fuzz -- [TARGET ...] [options]

Targets (default: all): ${names.join(', ')}

Options
  --minutes N     for all targets together (1)
  --seed N        the same seed, code and corpus give the same inputs (random)
  --corpus DIR    begin with what earlier runs kept there, and keep more
  --findings DIR  where inputs that break something are kept (fuzz-findings)
  --replay FILE   run one kept input through the targets and say what happens
  --help
Exit code 1 when something was found.
`;

const options = {
  minutes: { type: 'string', default: '1' },
  seed: { type: 'string' },
  corpus: { type: 'string' },
  findings: { type: 'string', default: 'fuzz-findings' },
  replay: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

const root = fileURLToPath(new URL('../..', import.meta.url));
/** No single input may take so much CPU time of ours; by the clock a busy machine would look like a hang. */
const hangSeconds = 20;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.help) return void process.stdout.write(help);
  const chosen = positionals.length === 0 ? names : positionals;
  for (const name of chosen)
    if (!names.includes(name)) throw new Error(`no target "${name}"; there are ${names.join(', ')}`);
  if (values.replay !== undefined) return replay(values.replay, chosen);
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes and --seed are numbers');
  say(`seed ${seed}, ${minutes} min for ${chosen.join(', ')}`);
  let found = 0;
  for (const target of chosen) {
    const seconds = (minutes * 60) / chosen.length;
    found += await fuzzOne({ target, seed, seconds, corpusFolder: values.corpus, findings: values.findings });
  }
  say(found === 0 ? 'Nothing found.' : `${found} found; see ${values.findings}.`);
  if (found > 0) process.exitCode = 1;
}

interface Run {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  readonly corpusFolder: string | undefined;
  readonly findings: string;
}

/** How many findings there were. */
function fuzzOne({ target, seed, seconds, corpusFolder, findings }: Run): Promise<number> {
  const folder = corpusFolder === undefined ? undefined : join(corpusFolder, target);
  const current = new SharedArrayBuffer(8 + longest);
  const order: Order = { target, seed, seconds, root, corpus: readAll(folder), current };
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
  let lastInput = 0;
  let spentBefore = cpuSeconds();
  const inputs = new Int32Array(current, 0, 1);
  let toldAt = 0;
  let firstHeap: number | undefined;
  return new Promise((resolve) => {
    const keep = (why: string, input: string): void => {
      mkdirSync(findings, { recursive: true });
      const file = join(findings, `${target}-${nameOf(input)}`);
      writeFileSync(file, input, 'latin1');
      say(`${target}: FOUND ${file} (${input.length} octets)\n  ${why.replaceAll('\n', '\n  ')}`);
    };
    const ended = (why: string): void => {
      clearInterval(watch);
      keep(why, currentInput(current));
      resolve(1);
    };
    const watch = setInterval(() => {
      if (inputs[0] !== lastInput) {
        lastInput = inputs[0] ?? 0;
        spentBefore = cpuSeconds();
      }
      if (cpuSeconds() - spentBefore < hangSeconds) return;
      void worker.terminate();
      ended(`hang: ${hangSeconds} s of CPU time for one input`);
    }, 1000);
    worker.on('error', (error: Error) => ended(`the thread ended: ${error.message}`));
    worker.on('message', (message: Message) => {
      if (message.is === 'progress') {
        firstHeap ??= message.heapMb;
        if (performance.now() - toldAt < 10_000) return;
        toldAt = performance.now();
        const { executions, corpus, covered, slowestMs } = message.progress;
        say(
          `${target}: ${executions} run, corpus ${corpus}, ${covered} characters covered, slowest ${slowestMs.toFixed(1)} ms, heap ${message.heapMb} MB`,
        );
        return;
      }
      clearInterval(watch);
      const { outcome, heapMb, shares } = message;
      for (const { why, input } of outcome.found) keep(why, input);
      if (folder !== undefined) writeAll(folder, outcome.kept);
      const { executions, corpus, slowestMs } = outcome;
      say(
        `${target}: done, ${executions} run, corpus ${corpus}, slowest ${slowestMs.toFixed(1)} ms, heap ${firstHeap ?? heapMb} to ${heapMb} MB, ${outcome.found.length} found`,
      );
      for (const [url, { ran, all }] of shares)
        say(
          `  ${String(Math.round((100 * ran) / Math.max(1, all))).padStart(3)} % of ${url.slice(url.lastIndexOf('/lib/') + 5)}`,
        );
      resolve(outcome.found.length);
    });
  });
}

async function replay(file: string, chosen: readonly string[]): Promise<void> {
  const input = readFileSync(file, 'latin1');
  for (const name of chosen) {
    const target = await targets[name]?.(root);
    if (target === undefined) continue;
    try {
      const from = performance.now();
      await target.run(input);
      say(`${name}: holds, ${(performance.now() - from).toFixed(1)} ms`);
    } catch (error) {
      say(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      process.exitCode = 1;
    }
    await target.close?.();
  }
}

function currentInput(current: SharedArrayBuffer): string {
  const length = new Int32Array(current, 0, 2)[1] ?? 0;
  return Buffer.from(current, 8, length).toString('latin1');
}

function readAll(folder: string | undefined): string[] {
  if (folder === undefined || !existsSync(folder)) return [];
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'));
}

function writeAll(folder: string, inputs: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  for (const input of inputs) writeFileSync(join(folder, nameOf(input)), input, 'latin1');
}

function nameOf(input: string): string {
  return createHash('sha256').update(input, 'latin1').digest('hex').slice(0, 16);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
