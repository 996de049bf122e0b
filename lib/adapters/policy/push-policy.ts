/**
 * An operator's policy in a thread of its own, so that a loop without end, a crash or a leak in it costs no call: whatever is not
 * answered in time is as the config says, and a thread that has gone quiet is ended and begun anew.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { PushRules } from '../../core/push-ladder.ts';
import { decidedRules, type PushFacts } from '../../core/push-policy.ts';
import { EdgeError } from '../../errors.ts';
import type { PushRuleBook } from '../../ports/push-policy.ts';
import type { FromPolicy, ToPolicy } from './words.ts';

export type PolicyTrouble = 'timeout' | 'failed' | 'invalid' | 'stopped' | 'busy';

export interface PolicyOptions {
  /** .mjs, .js or .ts */
  readonly file: string;
  readonly timeoutMs: number;
  readonly configured: PushRuleBook['configured'];
  readonly decided: () => void;
  /** one question was answered by the config in its place */
  readonly trouble: (what: PolicyTrouble, why: string) => void;
}

export interface PolicyRuleBook extends PushRuleBook {
  close(): Promise<void>;
}

interface Question {
  readonly facts: PushFacts;
  readonly settle: (rules: PushRules) => void;
  readonly timer: NodeJS.Timeout;
  readonly askedAt: number;
}

const startMs = 10_000;
/** a thread that has answered nothing for so long after a late question is stuck */
const stuckMs = 1000;
const restartMs = 1000;
const mostQuestions = 10_000;

/** Rejects with EDGE_CONFIG_INVALID when the file is no policy. */
export async function openPushPolicy(options: PolicyOptions): Promise<PolicyRuleBook> {
  const compiled = extname(options.file) === '.ts' ? await compile(options.file) : undefined;
  const host = new PolicyHost(options, compiled?.file ?? options.file);
  const close = async (): Promise<void> => {
    await host.close();
    await compiled?.remove();
  };
  try {
    await host.start();
  } catch (cause) {
    await close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `push.policy_file ${options.file}: expected a policy, found: ${why}`,
      cause,
    );
  }
  return { configured: options.configured, decide: (facts) => host.decide(facts), close };
}

class PolicyHost {
  readonly #options: PolicyOptions;
  readonly #file: string;
  readonly #questions = new Map<number, Question>();
  #worker: Worker | undefined;
  #ids = 0;
  #heardAt = 0;
  #restart: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PolicyOptions, file: string) {
    this.#options = options;
    this.#file = file;
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(workerFile(), {
        workerData: { file: this.#file },
        resourceLimits: { maxOldGenerationSizeMb: 128 },
        env: {},
      });
      const late = setTimeout(() => fail(new Error('it did not load in 10 s')), startMs);
      const fail = (why: Error): void => {
        clearTimeout(late);
        void worker.terminate();
        reject(why);
      };
      worker.unref();
      worker.on('message', (word: FromPolicy) => {
        this.#heardAt = performance.now();
        if (word.is === 'unusable') return fail(new Error(word.why));
        if (word.is !== 'ready') return this.#hear(word);
        clearTimeout(late);
        this.#worker = worker;
        resolve();
      });
      // a crash ends the thread, and its end is what counts
      worker.on('error', fail);
      worker.on('exit', () => {
        fail(new Error('it ended'));
        if (this.#worker === worker) this.#lost('it ended');
      });
    });
  }

  decide(facts: PushFacts): PushRules | Promise<PushRules> {
    const worker = this.#worker;
    if (worker === undefined) return this.#instead(facts, 'stopped', 'its thread is not running');
    if (this.#questions.size >= mostQuestions) return this.#instead(facts, 'busy', 'too many questions wait');
    const id = ++this.#ids;
    return new Promise((settle) => {
      const timer = setTimeout(() => this.#late(id), this.#options.timeoutMs);
      this.#questions.set(id, { facts, settle, timer, askedAt: performance.now() });
      worker.postMessage({ id, facts } satisfies ToPolicy);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#settleAll('stopped', 'the edge is stopping');
    await worker?.terminate();
  }

  #hear(word: Extract<FromPolicy, { is: 'decided' | 'failed' }>): void {
    const question = this.#questions.get(word.id);
    if (question === undefined) return;
    this.#questions.delete(word.id);
    clearTimeout(question.timer);
    const { facts, settle } = question;
    if (word.is === 'failed') return settle(this.#instead(facts, 'failed', word.why));
    const rules = decidedRules(facts.rules, word.decision);
    if (rules === undefined) return settle(this.#instead(facts, 'invalid', 'its decision is none'));
    this.#options.decided();
    settle(rules);
  }

  #late(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    this.#questions.delete(id);
    question.settle(this.#instead(question.facts, 'timeout', `no answer in ${this.#options.timeoutMs} ms`));
    const worker = this.#worker;
    if (worker === undefined) return;
    // asked again, it may still be only slow
    setTimeout(() => {
      if (this.#worker === worker && this.#heardAt <= question.askedAt) void worker.terminate();
    }, stuckMs).unref();
  }

  #lost(why: string): void {
    this.#worker = undefined;
    this.#settleAll('stopped', why);
    if (this.#closed) return;
    this.#restart = setTimeout(() => {
      this.start().catch((error: unknown) => this.#lost(String(error)));
    }, restartMs).unref();
  }

  #settleAll(what: PolicyTrouble, why: string): void {
    for (const { facts, settle, timer } of this.#questions.values()) {
      clearTimeout(timer);
      settle(this.#instead(facts, what, why));
    }
    this.#questions.clear();
  }

  #instead({ rules }: PushFacts, what: PolicyTrouble, why: string): PushRules {
    this.#options.trouble(what, why);
    return rules;
  }
}

/** From the sources (tests) the built one: threads run no TypeScript. */
function workerFile(): URL {
  const here = import.meta.url;
  return here.endsWith('.ts')
    ? new URL('../../../dist/lib/adapters/policy/worker.js', here)
    : new URL('./worker.js', here);
}

/** Node 20 runs no TypeScript, so the compiler of the installation takes the types out: one file, which imports types only. */
async function compile(file: string): Promise<{ readonly file: string; remove(): Promise<void> }> {
  let compiler: string;
  try {
    compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  } catch (cause) {
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `push.policy_file ${file}: expected a .mjs file, or a .ts file where TypeScript is installed; compile it first (docs/push-policy.md).`,
      cause,
    );
  }
  const folder = await mkdtemp(join(tmpdir(), 'reveille-policy-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const words = ['--ignoreConfig', '--noCheck', '--noResolve', '--module', 'esnext', '--target', 'es2022'];
  await new Promise<void>((resolve) => {
    // what it says about types does not matter here; what it could not write is seen below
    execFile(process.execPath, [compiler, file, ...words, '--outDir', folder], { timeout: startMs }, () => resolve());
  });
  const [made] = await readdir(folder);
  if (made === undefined) {
    await remove();
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `push.policy_file ${file}: expected TypeScript, found a file that cannot be compiled.`,
    );
  }
  const ready = join(folder, 'policy.mjs');
  await rename(join(folder, made), ready);
  return { file: ready, remove };
}
