/** Several redis-servers that belong together: a cluster, or a primary with a replica watched by Sentinel. They die with the test. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pathOf } from './needs.ts';

const run = promisify(execFile);

export interface GroupNode {
  readonly port: number;
  readonly child: ChildProcess;
  kill(): Promise<void>;
}

export interface RedisGroup {
  readonly nodes: readonly GroupNode[];
  /** the one on this port */
  at(port: number): GroupNode;
  stop(): Promise<void>;
}

const password = 'a-redis-password';
export const groupUrl = `redis://:${password}@127.0.0.1:6379`;

/** Where all of a group run, and words before a command that run it there. */
export interface GroupHost {
  readonly address: string;
  readonly within: readonly string[];
}

const here: GroupHost = { address: '127.0.0.1', within: [] };

function launch(host: GroupHost, words: readonly string[]): ChildProcess {
  const program = pathOf('redis-server');
  if (program === undefined) throw new Error('redis-server is not installed');
  const [first = program, ...rest] = [...host.within, program, ...words];
  return spawn(first, rest, { stdio: 'ignore' });
}

function startNode(host: GroupHost, folder: string, port: number, settings: readonly string[]): GroupNode {
  const base = ['--bind', host.address, '--port', String(port), '--dir', folder, '--save', '', '--appendonly', 'no'];
  // a replica is of use at once
  base.push('--repl-diskless-sync-delay', '0');
  const child = launch(host, [...base, ...settings]);
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  return {
    port,
    child,
    kill: async () => {
      process.off('exit', endWithUs);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Three primaries, each with a replica; a dead one is replaced after about two seconds. */
export async function startCluster(host: GroupHost = here): Promise<RedisGroup> {
  const { address } = host;
  const folder = mkdtempSync(join(tmpdir(), 'reveille-cluster-'));
  const ports = await freePorts(6);
  const nodes = ports.map((port) =>
    startNode(host, folder, port, [
      ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${port}.conf`],
      ...['--cluster-node-timeout', '2000', '--cluster-port', String(port + 10_000)],
      ...['--requirepass', password, '--masterauth', password],
    ]),
  );
  await Promise.all(ports.map((port) => answering(address, port)));
  await run('redis-cli', [
    ...['-a', password, '--no-auth-warning', '--cluster', 'create', ...ports.map((port) => `${address}:${port}`)],
    ...['--cluster-replicas', '1', '--cluster-yes'],
  ]);
  await Promise.all(
    ports.map((port) => until(address, port, 'cluster info', (text) => text.includes('cluster_state:ok'))),
  );
  return group(nodes, folder);
}

/** The first two nodes hold the data, the third is the Sentinel that fails over after a second. */
export async function startSentinel(host: GroupHost = here): Promise<RedisGroup> {
  const { address } = host;
  const folder = mkdtempSync(join(tmpdir(), 'reveille-sentinel-'));
  const [primary, replica, sentinel] = (await freePorts(3)) as [number, number, number];
  const secret = ['--requirepass', password, '--masterauth', password];
  const nodes = [
    startNode(host, folder, primary, secret),
    startNode(host, folder, replica, [...secret, '--replicaof', `${address} ${primary}`]),
  ];
  await Promise.all([primary, replica].map((port) => answering(address, port)));
  await until(address, primary, 'info', (text) => text.includes('state=online'));
  const config = join(folder, 'sentinel.conf');
  writeFileSync(
    config,
    [
      `bind ${address}`,
      `port ${sentinel}`,
      `dir ${folder}`,
      `requirepass sentinel-password`,
      `sentinel monitor the-primary ${address} ${primary} 1`,
      `sentinel auth-pass the-primary ${password}`,
      'sentinel down-after-milliseconds the-primary 1000',
      'sentinel failover-timeout the-primary 3000',
      '',
    ].join('\n'),
  );
  const child = launch(host, [config, '--sentinel']);
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  nodes.push({
    port: sentinel,
    child,
    kill: async () => {
      process.off('exit', endWithUs);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  });
  await answering(address, sentinel, 'sentinel-password');
  await until(
    address,
    sentinel,
    'sentinel replicas the-primary',
    (text) => text.includes(String(replica)),
    'sentinel-password',
  );
  return group(nodes, folder);
}

/** Asks one node something by its text protocol. */
export async function askNode(
  port: number,
  words: readonly string[],
  secret = password,
  address = '127.0.0.1',
): Promise<string> {
  const { stdout } = await run('redis-cli', [
    '-h',
    address,
    '-p',
    String(port),
    '-a',
    secret,
    '--no-auth-warning',
    ...words,
  ]);
  return stdout;
}

function group(nodes: readonly GroupNode[], folder: string): RedisGroup {
  return {
    nodes,
    at: (port) => {
      const found = nodes.find((node) => node.port === port);
      if (found === undefined) throw new Error(`no node on ${port}`);
      return found;
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answering(address: string, port: number, secret = password): Promise<void> {
  await until(address, port, 'ping', (text) => text.includes('PONG'), secret);
}

async function until(
  address: string,
  port: number,
  words: string,
  wanted: (text: string) => boolean,
  secret = password,
): Promise<void> {
  const endAt = Date.now() + 20_000;
  for (;;) {
    const text = await askNode(port, words.split(' '), secret, address).catch(() => '');
    if (wanted(text)) return;
    if (Date.now() > endAt) throw new Error(`${words} at ${port} did not become true: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** All open at once, so that they differ; below those the bus of a cluster adds 10,000 to. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      for (;;) {
        const server = createServer().listen(10_000 + Math.floor(Math.random() * 20_000), '127.0.0.1');
        const open = await Promise.race([
          once(server, 'listening').then(() => true),
          once(server, 'error').then(() => false),
        ]);
        if (open) return server;
      }
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(
    servers.map((server) => {
      server.close();
      return once(server, 'close');
    }),
  );
  return ports;
}
