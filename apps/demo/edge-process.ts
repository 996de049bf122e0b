/** The real edge as a child process: started from a config object, ready when /readyz says so, its log lines kept. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import type { Line } from './json-lines.ts';

export interface EdgeProcessOptions {
  /** the built entry, dist/apps/edge/main.js */
  readonly entry: string;
  /** an existing folder for the config file; relative paths in the config start here */
  readonly dir: string;
  /** as the YAML file has it; `http.listen` must have a port of its own, not 0 */
  readonly config: Readonly<Record<string, unknown>>;
  readonly http: string;
  readonly onLog?: (line: Line) => void;
  /** sees each run as soon as it is there, before it is ready */
  readonly onStart?: (child: Child) => void;
  /** words before the command, as in Child */
  readonly within?: readonly string[];
}

export class EdgeProcess {
  readonly #options: EdgeProcessOptions;
  readonly #file: string;
  #child: Child;
  /** log lines of all runs */
  readonly logs: Line[] = [];

  private constructor(options: EdgeProcessOptions, file: string) {
    this.#options = options;
    this.#file = file;
    this.#child = this.#spawn();
  }

  static async start(options: EdgeProcessOptions): Promise<EdgeProcess> {
    const file = join(options.dir, `reveille-${randomBytes(3).toString('hex')}.yaml`);
    // JSON is YAML
    writeFileSync(file, JSON.stringify(options.config, undefined, 2), { mode: 0o600 });
    const edge = new EdgeProcess(options, file);
    await edge.ready();
    return edge;
  }

  #spawn(): Child {
    const child = new Child(
      'the edge',
      ['--enable-source-maps', this.#options.entry, '--config', this.#file],
      (line) => {
        this.logs.push(line);
        this.#options.onLog?.(line);
      },
      environment(),
      this.#options.within,
    );
    this.#options.onStart?.(child);
    return child;
  }

  get child(): Child {
    return this.#child;
  }

  /** all it ever printed that was no log line */
  get noise(): readonly string[] {
    return this.#child.noise;
  }

  /** Waits until /readyz answers 200. */
  async ready(withinMs = 45_000): Promise<void> {
    const endAt = Date.now() + withinMs;
    for (;;) {
      if (!this.#child.running) throw new Error(`the edge did not start: ${this.#said()}`);
      if ((await this.readyz()) === 200) return;
      if (Date.now() > endAt) throw new Error(`the edge is not ready after ${withinMs} ms: ${this.#said()}`);
      await pause(25);
    }
  }

  #said(): string {
    return [...this.#child.noise, ...this.#child.lines.map((line) => JSON.stringify(line))].slice(-8).join(' | ');
  }

  /** Status of /readyz; 0 when nobody answers. */
  async readyz(): Promise<number> {
    return fetch(`http://${this.#options.http}/readyz`).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://${this.#options.http}/metrics`)).text();
  }

  /** A new run after `kill` or `stop`, with the same config and the same store. */
  async restart(): Promise<void> {
    this.#child = this.#spawn();
    await this.ready();
  }

  /** As the power cord does it. */
  async kill(): Promise<void> {
    this.#child.signal('SIGKILL');
    await this.#child.exited;
  }

  /** SIGTERM; gives the exit code. */
  stop(graceMs = 10_000): Promise<number> {
    return this.#child.stop(graceMs);
  }
}

/** Ours without what would win over the config file: whoever has an edge of his own in his environment still sees the demo. */
export function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:REVEILLE|DRACHTIO)_/.test(name)));
}

/** A port that is free now for both UDP and TCP. */
export async function freePort(address: string): Promise<number> {
  for (;;) {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const port = await new Promise<number>((done, fail) => {
      udp.once('error', fail);
      udp.bind(0, address, () => done(udp.address().port));
    });
    const tcp = createServer();
    const free = await new Promise<boolean>((done) => {
      tcp.once('error', () => done(false)).listen(port, address, () => done(true));
    });
    await Promise.all([
      new Promise<void>((done) => udp.close(() => done())),
      free ? new Promise((done) => tcp.close(done)) : undefined,
    ]);
    if (free) return port;
  }
}
