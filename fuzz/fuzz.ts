/**
 * The loop: mutates inputs of the corpus, runs them in batches, and keeps those that made new source text run. The same target,
 * seed and number of executions give the same inputs, as long as the code is the same.
 */
import type { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import type { Target } from './target.ts';

export interface Plan {
  readonly seed: number;
  /** stops when this says so; asked between batches */
  readonly done: (executions: number) => boolean;
  /** without it nothing is learnt from what an input did */
  readonly coverage?: Coverage;
  /** before each input */
  readonly onInput?: (input: string) => void;
  readonly onBatch?: (progress: Progress) => void;
  /** stop at so many findings */
  readonly mostFindings: number;
}

export interface Progress {
  readonly executions: number;
  readonly corpus: number;
  /** characters of source text that have run */
  readonly covered: number;
  readonly findings: number;
  readonly slowestMs: number;
}

export interface Finding {
  readonly input: string;
  readonly why: string;
}

export interface Outcome extends Progress {
  readonly found: readonly Finding[];
  /** inputs worth beginning with next time */
  readonly kept: readonly string[];
}

const batchSize = 100;
const maxCorpus = 4000;

export async function fuzz(target: Target, plan: Plan): Promise<Outcome> {
  const random = new Random(plan.seed);
  const corpus: string[] = [];
  const kept: string[] = [];
  const found = new Map<string, Finding>();
  let executions = 0;
  let covered = 0;
  let slowestMs = 0;

  const progress = (): Progress => ({ executions, corpus: corpus.length, covered, findings: found.size, slowestMs });

  const runOne = async (input: string): Promise<void> => {
    plan.onInput?.(input);
    executions++;
    const why = await attempt(target, input, (ms) => {
      slowestMs = Math.max(slowestMs, ms);
    });
    if (why === undefined) return;
    const kind = kindOf(why);
    const known = found.get(kind);
    // the shortest of a kind is the easiest to understand
    if (known === undefined || known.input.length > input.length) found.set(kind, { input, why });
  };

  const runBatch = async (inputs: readonly string[]): Promise<void> => {
    for (const input of inputs) await runOne(input);
    const { coverage } = plan;
    const fresh = coverage?.take() ?? 0;
    if (coverage === undefined || fresh === 0) return;
    covered += fresh;
    // which of them was it? Once more, one at a time
    for (const input of inputs) {
      if (coverage.explained) return;
      await runOne(input);
      if (coverage.explains()) keep(input);
    }
  };

  const keep = (input: string): void => {
    kept.push(input);
    if (corpus.length < maxCorpus) corpus.push(input);
    else corpus[random.below(corpus.length)] = input;
  };

  for (const seed of target.seeds) {
    corpus.push(seed);
    await runOne(seed);
  }
  covered += plan.coverage?.take() ?? 0;
  if (corpus.length === 0) corpus.push('');
  while (!plan.done(executions) && found.size < plan.mostFindings) {
    const batch = Array.from({ length: batchSize }, () =>
      mutate(pickFrom(corpus, random), random.pick(corpus), target.words, random),
    );
    await runBatch(batch);
    plan.onBatch?.(progress());
  }
  return { ...progress(), found: [...found.values()], kept };
}

/** Why it failed; undefined when all is well. */
async function attempt(target: Target, input: string, took: (ms: number) => void): Promise<string | undefined> {
  try {
    let least = await timed(target, input);
    // others use this machine as well: only what is slow every time is slow
    for (let again = 0; again < 6 && least > target.withinMs; again++)
      least = Math.min(least, await timed(target, input));
    took(least);
    return least > target.withinMs ? `slow: ${Math.round(least)} ms for ${input.length} octets` : undefined;
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}\n${stackOf(error)}` : String(error);
  }
}

/** CPU time, ms: the clock would blame an input for what else runs on the machine. */
async function timed(target: Target, input: string): Promise<number> {
  const from = process.cpuUsage();
  const pending = target.run(input);
  if (pending !== undefined) await pending;
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
}

function stackOf(error: Error): string {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 6)
    .join('\n');
}

/** Findings with the same beginning and place are the same fault. */
function kindOf(why: string): string {
  const [first = '', ...stack] = why.split('\n');
  return `${first.replaceAll(/[^A-Za-z ].*$/g, '').slice(0, 60)} ${stack.find((line) => !line.includes('/target.')) ?? ''}`;
}

/** The later ones came of what is new: half of the time one of those. */
function pickFrom(corpus: readonly string[], random: Random): string {
  return random.once(2) ? random.pick(corpus) : (corpus[corpus.length - 1 - random.small(corpus.length - 1)] as string);
}
