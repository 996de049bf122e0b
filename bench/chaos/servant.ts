/** A process of the run that can be killed, frozen and started again. It never outlives us. */
import { spawn, type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';

export interface ServantPlan {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** everything it prints, of all its runs */
  readonly logFile: string;
  /** speaks over IPC */
  readonly speaks?: (word: unknown) => void;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Servant {
  readonly #plan: ServantPlan;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  readonly #log: number;

  constructor(plan: ServantPlan) {
    this.#plan = plan;
    this.#log = openSync(plan.logFile, 'a');
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  get exited(): Promise<void> {
    return this.#exited;
  }

  start(): void {
    if (this.#child !== undefined) throw new Error(`${this.#plan.name} runs already`);
    const { command, args, cwd, speaks } = this.#plan;
    const child = spawn(command, [...args], {
      cwd,
      stdio: ['ignore', this.#log, this.#log, ...(speaks === undefined ? [] : (['ipc'] as const))],
    });
    this.#child = child;
    running.add(child);
    if (speaks !== undefined) child.on('message', speaks);
    this.#exited = new Promise((done) => {
      const over = (): void => {
        running.delete(child);
        if (this.#child === child) this.#child = undefined;
        done();
      };
      child.once('exit', over).once('error', over);
    });
  }

  say(order: object): void {
    // one that has just been killed hears nothing
    if (this.#child?.connected === true) this.#child.send(order, () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** SIGTERM, and SIGKILL when that is not enough. */
  async stop(withinMs: number): Promise<void> {
    this.signal('SIGTERM');
    const force = setTimeout(() => this.signal('SIGKILL'), withinMs);
    await this.#exited;
    clearTimeout(force);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#exited;
  }
}
