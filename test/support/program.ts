/** A program of the system as a child of a test: what it prints is kept, it ends with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { pathOf } from './needs.ts';

const running = new Set<Program>();

export class Program {
  readonly #child: ChildProcess;
  /** stdout and stderr */
  printed = '';
  /** the exit code; 128 when a signal ended it */
  readonly ended: Promise<number>;

  constructor(
    name: string,
    args: readonly string[],
    options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
  ) {
    const path = pathOf(name);
    if (path === undefined) throw new Error(`${name} is not installed`);
    this.#child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    const keep = (chunk: Buffer): void => {
      this.printed = (this.printed + chunk.toString('latin1')).slice(-200_000);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#child.stdin?.on('error', () => undefined);
    const endWithUs = (): void => void this.#child.kill('SIGKILL');
    process.once('exit', endWithUs);
    running.add(this);
    this.ended = new Promise((done) => {
      this.#child.once('error', () => done(127));
      this.#child.once('exit', (code) => {
        process.off('exit', endWithUs);
        running.delete(this);
        done(code ?? 128);
      });
    });
  }

  /** Ends what a failed test has left. */
  static async stopAll(): Promise<void> {
    await Promise.all([...running].map((program) => program.stop('SIGKILL')));
  }

  type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Waits until it has printed this. */
  async prints(pattern: RegExp, withinMs = 10_000): Promise<void> {
    const endAt = Date.now() + withinMs;
    let running = true;
    void this.ended.then(() => {
      running = false;
    });
    while (!pattern.test(this.printed)) {
      if (!running || Date.now() > endAt)
        throw new Error(
          `${running ? 'waited in vain' : 'it ended'} before ${String(pattern)}: ${this.printed.slice(-2000)}`,
        );
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  /** Killed when it has not ended `withinMs` after the signal. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = 3000): Promise<void> {
    this.#child.kill(signal);
    const force = setTimeout(() => this.#child.kill('SIGKILL'), withinMs);
    await this.ended;
    clearTimeout(force);
  }
}
