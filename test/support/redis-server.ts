/** A real redis-server as a child process with a folder of its own; it dies with the test. Ask needs('redis-server') first. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathOf } from './needs.ts';

export interface RedisServer {
  /** `redis://<address>:<port>/0`, with the password when there is one */
  readonly url: string;
  readonly port: number;
  /** SIGSTOP: connections stay open, nothing is answered */
  freeze(): void;
  thaw(): void;
  /** SIGKILL, as a crash; nothing was written to the disk */
  kill(): Promise<void>;
  /** Starts again on the same port, empty. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  readonly password?: string;
  /** further lines of configuration, as command line arguments */
  readonly settings?: readonly string[];
  /** another host, and words before the command that run it there; 127.0.0.1 when absent */
  readonly host?: { readonly address: string; readonly within: readonly string[] };
  /** paths of PEM files; then it speaks nothing but TLS, and wants a certificate of this CA */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const program = pathOf('redis-server');
  if (program === undefined) throw new Error('redis-server is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'reveille-redis-'));
  const { password, host } = options;
  const address = host?.address ?? '127.0.0.1';
  const port = host === undefined ? await freePort() : 6379;
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    const settings = [
      ...['--bind', address, '--protected-mode', 'no'],
      ...(options.tls === undefined
        ? ['--port', String(port)]
        : [
            ...['--port', '0', '--tls-port', String(port), '--tls-cert-file', options.tls.cert],
            ...['--tls-key-file', options.tls.key, '--tls-ca-cert-file', options.tls.ca],
          ]),
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    if (password !== undefined) settings.push('--requirepass', password);
    const [first = program, ...words] = [...(host?.within ?? []), program, ...settings, ...(options.settings ?? [])];
    child = spawn(first, words, { stdio: 'ignore' });
    await answering(address, port, child);
  };
  const kill = async (): Promise<void> => {
    const dying = child;
    child = undefined;
    if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) return;
    dying.kill('SIGKILL'); // also ends a frozen one
    await once(dying, 'exit');
  };
  const endWithUs = (): void => void child?.kill('SIGKILL');
  process.once('exit', endWithUs);
  await start();

  return {
    url: `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}${address}:${port}/0`,
    port,
    freeze: () => child?.kill('SIGSTOP'),
    thaw: () => child?.kill('SIGCONT'),
    kill,
    restart: async () => {
      await kill();
      await start();
    },
    stop: async () => {
      await kill();
      process.off('exit', endWithUs);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when the port accepts connections; rejects when the server has ended instead. */
async function answering(address: string, port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, address);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('redis-server does not listen');
}
