/** Starts a server process on the server core, waits until it is ready and ends it again. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { cpus } from 'node:os';

/** Where the measured servers run, and where everything else does. */
export const serverCore = 0;
export const loadCore = 1;

/** Without a second core or taskset nothing is pinned, and the report says so. */
export const pinned = cpus().length >= 2 && spawnSync('taskset', ['-V'], { stdio: 'ignore' }).status === 0;

export interface StartServer {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** everything the server prints goes here */
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly core?: number;
  /** true as soon as the server can be used */
  ready(): Promise<boolean>;
}

export interface RunningServer {
  readonly name: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
// a run that ends early must not leave its servers behind
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export async function startServer(what: StartServer): Promise<RunningServer> {
  const log = openSync(what.logFile, 'a');
  const core = what.core ?? serverCore;
  const [command, args] = pinned
    ? ['taskset', ['-c', String(core), what.command, ...what.args]]
    : [what.command, [...what.args]];
  const child = spawn(command, args, {
    cwd: what.cwd,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...what.env },
  });
  running.add(child);
  let ended: string | undefined;
  const over = new Promise<void>((done) => {
    child.on('error', (error) => {
      ended = error.message;
      done();
    });
    child.on('exit', (code, signal) => {
      ended ??= signal ?? `exit code ${code}`;
      running.delete(child);
      done();
    });
  });
  const giveUpAt = Date.now() + 20_000;
  while (!(await what.ready())) {
    if (ended !== undefined || Date.now() > giveUpAt) {
      child.kill('SIGKILL');
      throw new Error(`${what.name} did not start (${ended ?? 'not ready after 20 s'}): ${tail(what.logFile)}`);
    }
    await pause(50);
  }
  return {
    name: what.name,
    pid: child.pid as number,
    stop: async () => {
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), 6000);
      await over;
      clearTimeout(kill);
    },
  };
}

export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

export function answersTcp(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, host);
    socket.on('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.on('error', () => done(false));
  });
}

export function answersHttp(host: string, port: number, path: string): Promise<boolean> {
  return new Promise((done) => {
    const request = get({ host, port, path, agent: false, timeout: 1000 }, (response) => {
      response.resume();
      done(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => done(false));
  });
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').slice(-1500);
}
