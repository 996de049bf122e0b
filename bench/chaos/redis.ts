/** The redis-server of the run. It writes down what it is told, as a location store should, so that a restart forgets nothing. */
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { pause } from '../load/pace.ts';
import type { NodePlan } from './node.ts';
import { Servant } from './servant.ts';

const port = 6379;

export class ChaosRedis {
  readonly url: string;
  readonly #host: string;
  readonly #servant: Servant;

  constructor(host: string, folder: string, at: NodePlan['at']) {
    const program = redisServer();
    if (program === undefined) throw new Error('redis-server is not installed (Debian: apt install redis-server)');
    this.#host = host;
    this.url = `redis://${host}:${port}/0`;
    const data = join(folder, 'redis');
    mkdirSync(data, { recursive: true });
    const args = ['--bind', host, '--port', String(port), '--dir', data, '--save', '', '--appendonly', 'yes'];
    const more = ['--appendfsync', 'everysec', '--protected-mode', 'no', '--maxmemory-policy', 'noeviction'];
    const logFile = join(folder, 'redis.log');
    this.#servant = new Servant({ name: 'redis', ...at(program, [...args, ...more]), cwd: data, logFile });
  }

  /** Until it answers PING, with everything loaded. */
  async start(): Promise<void> {
    this.#servant.start();
    while (!(await this.#pings())) {
      if (!this.#servant.running) throw new Error('redis-server does not start; see redis.log');
      await pause(20);
    }
  }

  async kill(): Promise<void> {
    await this.#servant.kill();
  }

  async stop(): Promise<void> {
    await this.#servant.stop(5000);
  }

  freeze(): void {
    this.#servant.signal('SIGSTOP');
  }

  thaw(): void {
    this.#servant.signal('SIGCONT');
  }

  #pings(): Promise<boolean> {
    return new Promise((done) => {
      const socket = connect({ host: this.#host, port, timeout: 500 });
      const end = (pongs: boolean): void => {
        socket.destroy();
        done(pongs);
      };
      socket.on('connect', () => socket.write('PING\r\n'));
      socket.on('data', (bytes) => end(bytes.toString('latin1').startsWith('+PONG')));
      socket.on('error', () => end(false));
      socket.on('timeout', () => end(false));
    });
  }
}

/** Where it is, looked up as a shell does, and in the folders Debian keeps for root. */
export function redisServer(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/sbin', '/usr/local/bin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'redis-server'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
