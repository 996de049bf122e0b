/** A real edge on a store with a million phones: how soon it is ready, and how long anybody waits while it lists them and while they end. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { startRedis } from '../../test/support/redis-server.ts';
import { startEdge } from '../servers/edge.ts';
import { placeIn, projectRoot, type Place } from '../servers/place.ts';
import { usageOf } from '../servers/process-usage.ts';
import { pause, type RunningServer } from '../servers/server.ts';
import { fill } from './load.ts';
import { endTogether } from './on-redis.ts';
import { optionsProbe, probe, type RoundTrips } from './stalls.ts';

export interface EdgeFigures {
  readonly phones: number;
  readonly readySeconds: number;
  readonly listedRows: number;
  readonly listSeconds: number;
  readonly phases: readonly EdgePhase[];
}

export interface EdgePhase {
  readonly name: string;
  readonly seconds: number;
  /** OPTIONS, one every 5 ms, ms */
  readonly options: RoundTrips;
  /** the edge's own words: longest lag of its event loop, ms */
  readonly lag: number;
  readonly rssMib: number;
}

const net = '127.0.44';

export async function redisEdge(phones: number, say: (text: string) => void): Promise<EdgeFigures> {
  const server = await startRedis();
  process.env['BENCH_REDIS_URL'] = server.url;
  const operator = new Redis(server.url);
  try {
    say('load');
    const opened = await openRedis({ url: server.url, keyPrefix: `bench-${process.pid}:` });
    await fill(opened, { phones, seconds: 7200 });
    await opened.nodes.close();
    await opened.bus.close();
    await opened.store.close();
    return await withEdge('redis', phones, say, async () => {
      const full = await operator.dbsize();
      await endTogether(operator, Date.now() + 10_000 + phones / 12);
      while ((await operator.dbsize()) > full / 1000) await pause(100);
    });
  } finally {
    await operator.quit();
    await server.stop();
  }
}

export async function lmdbEdge(phones: number, say: (text: string) => void): Promise<EdgeFigures> {
  return withEdge('lmdb', phones, say, undefined, async (place) => {
    say('load');
    const path = join(place.folder, 'data');
    const store = await openLmdbStore({ path });
    await fill({ store, agenda: store.agenda, owners: store.owners }, { phones, seconds: 7200 });
    await store.close();
  });
}

/** `expire`: lets all of them end, and resolves when they are gone. */
async function withEdge(
  store: 'redis' | 'lmdb',
  phones: number,
  say: (text: string) => void,
  expire: (() => Promise<void>) | undefined,
  prepare: (place: Place) => Promise<void> = async () => undefined,
): Promise<EdgeFigures> {
  const place = placeIn(net, mkdtempSync(join(tmpdir(), 'reveille-million-')));
  const phases: EdgePhase[] = [];
  let servers: readonly RunningServer[] = [];
  try {
    mkdirSync(join(place.folder, 'data'), { recursive: true });
    // the edge and the command both read it
    process.env['REVEILLE_API_TOKEN'] ??= 'of-the-bench-with-a-million-phones';
    await prepare(place);
    const from = performance.now();
    servers = await startEdge(
      { engine: 'embedded', registration: 'mid-registrar', store, users: 0, push: undefined, nodeArgs: [] },
      place,
    );
    const readySeconds = (performance.now() - from) / 1000;
    const pids = servers.map(({ pid }) => pid);
    const asker = await optionsProbe(place.server, place.phones);
    const during = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      say(name);
      await lagOf(place);
      const options = probe(5, () => asker.ask());
      const begun = performance.now();
      const result = await work();
      const seconds = (performance.now() - begun) / 1000;
      const figures = options();
      phases.push({
        ...{ name, seconds, options: figures, lag: await lagOf(place) },
        rssMib: usageOf(pids).rssKib / 1024,
      });
      return result;
    };
    await during('census under way, else idle', () => pause(20_000));
    const listFrom = performance.now();
    const listedRows = await during('reveille registrations --all', () => listedByCommand(place));
    const listSeconds = (performance.now() - listFrom) / 1000;
    if (expire !== undefined) await during('all end', expire);
    asker.close();
    return { phones, readySeconds, listedRows, listSeconds, phases };
  } finally {
    for (const server of servers) await server.stop();
    rmSync(place.folder, { recursive: true, force: true });
  }
}

/** ms since the scrape before. */
async function lagOf({ http }: Place): Promise<number> {
  const response = await fetch(`http://${http.host}:${http.port}/metrics`);
  return Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(await response.text())?.[1] ?? Number.NaN) * 1000;
}

/** Lines about phones that the command prints; in little memory, so that it cannot keep them. */
function listedByCommand(place: Place): Promise<number> {
  const config = join(place.folder, 'edge.yaml');
  const child = spawn(
    process.execPath,
    [
      '--max-old-space-size=64',
      join(projectRoot, 'dist/apps/cli/main.js'),
      'registrations',
      '--inbound',
      '--all',
      '--config',
      config,
    ],
    { cwd: place.folder, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let rows = 0;
  let rest = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.includes('@example.com')) rows += 1;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(rows) : reject(new Error(`reveille registrations ended with ${String(code)}`)),
    );
  });
}
