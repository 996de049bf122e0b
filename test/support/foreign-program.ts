/** A foreign program as a child: what it prints is kept and can be waited for, it is told things on stdin, and it never outlives the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { pathOf } from './needs.ts';

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Waiter {
  readonly look: () => boolean;
  readonly fail: (error: Error) => void;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) send(child, 'SIGKILL');
});

/** To the program and what it has started: some are several processes. */
function send(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // gone between the question and the signal
  }
}

export class Program {
  readonly name: string;
  /** everything it printed, both streams as they came */
  output = '';
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  readonly #waiters = new Set<Waiter>();
  #code: number | undefined;

  /** Starts it; `program` is looked up as a shell does. */
  constructor(program: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = program;
    this.#child = spawn(pathOf(program) ?? program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // the leader of a group of its own
      detached: true,
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    running.add(this.#child);
    const { stdin, stdout, stderr } = this.#child;
    stdin?.on('error', () => undefined); // it ended before it read: `exited` tells
    for (const stream of [stdout, stderr]) {
      stream?.setEncoding('latin1').on('data', (text: string) => {
        this.output += text;
        for (const waiter of this.#waiters) if (waiter.look()) this.#waiters.delete(waiter);
      });
    }
    this.exited = new Promise((done) => {
      const ended = (code: number, why = ''): void => {
        this.#code = code;
        running.delete(this.#child);
        this.output += why;
        for (const waiter of this.#waiters) {
          if (!waiter.look()) waiter.fail(new Error(`${program} ended with ${code}: ${this.tail}`));
        }
        this.#waiters.clear();
        done(code);
      };
      this.#child.once('error', (error) => ended(127, error.message));
      // after the streams, so that nobody misses last words
      this.#child.once('close', (code) => ended(code ?? 137));
    });
  }

  get running(): boolean {
    return this.#code === undefined;
  }

  /** The end of what it printed, for messages. */
  get tail(): string {
    return this.output.slice(-1500);
  }

  /** A line on its stdin. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Waits until it has printed something like this, at or after `from` characters of its output. */
  says(pattern: RegExp, withinMs = 15_000, from = 0): Promise<RegExpExecArray> {
    return new Promise((done, fail) => {
      const look = (): boolean => {
        const found = pattern.exec(this.output.slice(from));
        if (found === null) return false;
        clearTimeout(timer);
        done(found);
        return true;
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        fail(new Error(`${this.name} did not say ${String(pattern)} within ${withinMs} ms: ${this.tail}`));
      }, withinMs);
      const waiter: Waiter = {
        look,
        fail: (error) => {
          clearTimeout(timer);
          fail(error);
        },
      };
      if (look()) return;
      if (this.running) this.#waiters.add(waiter);
      else waiter.fail(new Error(`${this.name} ended with ${this.#code ?? '?'}: ${this.tail}`));
    });
  }

  /** How often it has printed this; the pattern needs the flag g. */
  count(pattern: RegExp): number {
    return [...this.output.matchAll(pattern)].length;
  }

  /** SIGSTOP: its sockets stay open and nothing is read from them, as an app in the background. */
  freeze(): void {
    send(this.#child, 'SIGSTOP');
  }

  thaw(): void {
    send(this.#child, 'SIGCONT');
  }

  /** As the system does it with an app that it suspends for good. */
  async kill(): Promise<void> {
    send(this.#child, 'SIGKILL');
    await this.exited;
  }

  /** Asks it to end and makes it when it does not; gives the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 3000): Promise<number> {
    // the leader tells the others how it wants them to end
    this.#child.kill(signal);
    const force = setTimeout(() => send(this.#child, 'SIGKILL'), graceMs);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}
