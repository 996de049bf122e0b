/** A child process of the demo or of a test: JSON lines both ways, what it said on stderr kept, and a sure end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Line, readLines } from './json-lines.ts';
import { Mailbox } from './mailbox.ts';

export class Child {
  readonly name: string;
  /** every JSON line of its stdout */
  readonly lines: Line[] = [];
  /** the rest: stdout that is no JSON, and stderr */
  readonly noise: string[] = [];
  readonly exited: Promise<number>;
  readonly #process: ChildProcess;
  readonly #mailbox = new Mailbox<Line>();
  #running = true;

  constructor(
    name: string,
    args: readonly string[],
    onLine: (line: Line) => void = () => undefined,
    env: NodeJS.ProcessEnv = process.env,
    /** words before the command that run it somewhere else, without a process of their own */
    within: readonly string[] = [],
  ) {
    this.name = name;
    const [program = process.execPath, ...words] = [...within, process.execPath, ...args];
    this.#process = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
    const { stdin, stdout, stderr } = this.#process;
    stdin?.on('error', () => undefined); // it ended before it read: `exited` tells
    if (stdout !== null)
      void readLines(
        stdout,
        (line) => {
          this.lines.push(line);
          onLine(line);
          this.#mailbox.put(line);
        },
        (text) => this.noise.push(text),
      );
    if (stderr !== null)
      void readLines(
        stderr,
        (line) => this.noise.push(JSON.stringify(line)),
        (text) => this.noise.push(text),
      );
    this.exited = new Promise((done) => {
      this.#process.once('error', (error) => {
        this.noise.push(error.message);
        this.#running = false;
        done(1);
      });
      this.#process.once('exit', (code) => {
        this.#running = false;
        done(code ?? 1);
      });
    });
  }

  get running(): boolean {
    return this.#running;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  command(what: string, facts: Line = {}): void {
    this.#process.stdin?.write(`${JSON.stringify({ do: what, ...facts })}\n`);
  }

  /** The next JSON line that matches; rejects when the time is over or the process ended. */
  async next(matches: (line: Line) => boolean, withinMs: number, what: string): Promise<Line> {
    const ended = this.exited.then(async (code): Promise<Line> => {
      // lines may still be on their way through the pipe
      await new Promise((done) => setImmediate(done));
      throw new Error(`${this.name} ended with ${code} instead of ${what}: ${this.noise.slice(-5).join(' | ')}`);
    });
    ended.catch(() => undefined);
    return Promise.race([this.#mailbox.next(matches, withinMs, `${what} from ${this.name}`), ended]);
  }

  event(name: string, withinMs = 10_000): Promise<Line> {
    return this.next((line) => line['event'] === name, withinMs, `"${name}"`);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#process.kill(signal);
  }

  /** Asks it to end, and makes it when it does not. */
  async stop(graceMs = 3000): Promise<number> {
    this.#process.stdin?.end();
    this.signal('SIGTERM');
    const force = setTimeout(() => this.signal('SIGKILL'), graceMs);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}
