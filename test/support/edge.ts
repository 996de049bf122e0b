/**
 * The built edge as a child process for the scenarios, on its embedded engine or, when REVEILLE_TEST_ENGINE is `drachtio`, on the
 * drachtio-server that DRACHTIO_HOST, DRACHTIO_PORT and DRACHTIO_SECRET name. Everything runs on loopback addresses of our own.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, onTestFinished } from 'vitest';
import { EdgeProcess, freePort } from '../../apps/demo/edge-process.ts';
import type { Remote, WireTransport } from '../../apps/demo/wire.ts';

/** One address for each kind of peer, so that trust by address can be seen to work. */
export const places = {
  edge: '127.0.30.1',
  pbx: '127.0.30.2',
  /** phones have addresses of their own; this one is for those that share one */
  phones: '127.0.30.3',
  /** nobody has told the edge about this one */
  stranger: '127.0.30.9',
} as const;

export const onDrachtio = process.env['REVEILLE_TEST_ENGINE'] === 'drachtio';

type Config = Readonly<Record<string, unknown>>;

export interface StartedEdge {
  readonly process: EdgeProcess;
  /** address:port of /metrics and /readyz */
  readonly http: string;
  /** its config and its store are in there */
  readonly dir: string;
  /** where phones and PBX send to */
  at(transport: WireTransport): Remote;
  /** SIGTERM, and the folder of its store goes; the exit code */
  close(): Promise<number>;
}

export interface EdgeOptions {
  /** sections of the config file; `sip`, `http`, `engine` and `store` are filled in when absent */
  readonly config: Config;
  /** what must not be in its environment or must be */
  readonly dir?: string;
}

/**
 * Edges that run, oldest first. A server of somebody else has one place for an edge (or for several on one Redis): a newer one
 * puts the older to sleep until it has ended, or the server would send every second request to the wrong one. Whatever a failed
 * test left behind is killed.
 */
const standing: { readonly edge: EdgeProcess; readonly store: string }[] = [];
afterAll(async () => {
  for (const { edge } of standing.splice(0)) await edge.kill();
});

async function takePlace(store: string): Promise<void> {
  const older = standing.at(-1);
  if (onDrachtio && older?.edge.child.running === true && older.store !== store) await older.edge.stop();
}

async function leavePlace(edge: EdgeProcess): Promise<void> {
  const at = standing.findIndex((one) => one.edge === edge);
  if (at < 0) return;
  standing.splice(at, 1);
  const older = standing.at(-1)?.edge;
  if (onDrachtio && at === standing.length && older?.child.running === false) await older.restart();
}

function endWithTest(edge: EdgeProcess): void {
  try {
    onTestFinished(async () => {
      if (edge.child.running) await edge.kill();
      await leavePlace(edge);
    });
  } catch {
    // started by a hook: whoever started it closes it
  }
}

export async function startEdge({ config, dir: givenDir }: EdgeOptions): Promise<StartedEdge> {
  const entry = fileURLToPath(new URL('../../dist/apps/edge/main.js', import.meta.url));
  if (!existsSync(entry)) throw new Error('dist/apps/edge/main.js is not there: run npm run build first');
  const dir = givenDir ?? mkdtempSync(join(tmpdir(), 'reveille-scenario-'));
  const sipPort = await freePort(places.edge);
  const http = `${places.edge}:${await freePort(places.edge)}`;
  const full = {
    ...(onDrachtio ? { engine: drachtioEngine() } : { sip: listen(sipPort) }),
    http: { listen: http },
    store: { kind: 'lmdb', path: join(dir, 'store') },
    ...config,
  };
  const store = JSON.stringify(full.store);
  await takePlace(store);
  const edge = await EdgeProcess.start({ entry, dir, http, config: full });
  standing.push({ edge, store });
  endWithTest(edge);
  // the line may still be in the pipe when /readyz has answered
  while (edge.child.running && !edge.logs.some(isUp)) await nextTurn();
  return {
    process: edge,
    http,
    dir,
    at: (transport) => placeOf(edge, transport),
    close: async () => {
      const code = edge.child.running ? await edge.stop() : await edge.child.exited;
      await leavePlace(edge);
      if (givenDir === undefined) rmSync(dir, { recursive: true, force: true });
      return code;
    },
  };
}

export function listen(port: number): Config {
  return { listen: [`udp://${places.edge}:${port}`, `tcp://${places.edge}:${port}`] };
}

/** Every transport there is, with this certificate; only the embedded engine can be told so by us. */
export async function listenEverywhere(certFile: string, keyFile: string): Promise<Config> {
  const port = await freePort(places.edge);
  const others = ['tls', 'ws', 'wss'].map((transport) => `${transport}://${places.edge}:0`);
  return {
    listen: [...(listen(port)['listen'] as string[]), ...others],
    tls: { cert_file: certFile, key_file: keyFile },
  };
}

function drachtioEngine(): Config {
  const {
    DRACHTIO_HOST: host = '127.0.0.1',
    DRACHTIO_PORT: port = '9022',
    DRACHTIO_SECRET: secret = 'cymru',
  } = process.env;
  return { kind: 'drachtio', drachtio: { host, port: Number(port), secret } };
}

function isUp(line: Config): boolean {
  return line['msg'] === 'edge is up';
}

/** From the addresses the engine told the edge. */
function placeOf(edge: EdgeProcess, transport: WireTransport): Remote {
  const up = edge.logs.findLast(isUp);
  const told = up?.['local'];
  const spoken = String(told)
    .split(/[\s,]+/)
    .map((one) => /^(udp|tcp|tls|wss?)\/\[?([^\]]+)\]?:(\d+)$/.exec(one))
    .filter((one) => one?.[1] === transport);
  const found = spoken.find((one) => one?.[2]?.startsWith('127.')) ?? spoken[0];
  if (found) return { transport, address: found[2] ?? '', port: Number(found[3]) };
  throw new Error(`the edge has no ${transport} listener: ${String(told)}`);
}
