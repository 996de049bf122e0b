/** A real edge on a store with a million phones: how soon it is ready, and how long anybody waits while it lists them and while they end. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
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
import { ended, endTogether, loadRedis, type RedisLoad, watching } from './on-redis.ts';
import type { Phase } from './phase.ts';
import { optionsProbe, probe } from './stalls.ts';
import type { Turns } from './turns.ts';
import { watchRedis } from './watch-redis.ts';

export interface EdgeFigures {
  readonly phones: number;
  readonly readySeconds: number;
  readonly listedRows: number;
  readonly listRate: number;
  readonly expireSeconds?: number;
  readonly phases: readonly Phase[];
}

const net = '127.0.62';

export async function redisEdge(phones: number, say: (text: string) => void): Promise<EdgeFigures & RedisLoad> {
  const server = await startRedis();
  process.env['BENCH_REDIS_URL'] = server.url;
  const operator = new Redis(server.url);
  try {
    const opened = await openRedis({ url: server.url, keyPrefix: `bench-${process.pid}:` });
    const phases: Phase[] = [];
    const loaded = await loadRedis(opened, operator, phones, watching(server.url, phases, say), say);
    await opened.nodes.close();
    await opened.bus.close();
    await opened.store.close();
    const figures = await withEdge('redis', phones, say, {
      redis: server.url,
      expire: async (during) => {
        say('all are to end together');
        const end = await endTogether(operator, phones);
        await pause(end - Date.now() - 1000);
        return during('all end', () => ended(operator, phones, end));
      },
    });
    return { ...loaded, ...figures, phases: [...phases, ...figures.phases] };
  } finally {
    await operator.quit();
    await server.stop();
  }
}

export async function lmdbEdge(phones: number, say: (text: string) => void): Promise<EdgeFigures> {
  return withEdge('lmdb', phones, say, {
    prepare: async (place) => {
      say('load');
      const path = join(place.folder, 'data');
      const store = await openLmdbStore({ path });
      await fill({ store, agenda: store.agenda, owners: store.owners }, { phones, seconds: 7200, say });
      await store.close();
    },
  });
}

type During = <T>(name: string, work: () => Promise<T>) => Promise<T>;

interface WithStore {
  /** the Redis to watch beside the edge */
  readonly redis?: string;
  /** lets all of them end, and resolves to the seconds from then until they are gone */
  readonly expire?: (during: During) => Promise<number>;
  /** fills a store that is in the folder of the edge */
  readonly prepare?: (place: Place) => Promise<void>;
}

async function withEdge(
  store: 'redis' | 'lmdb',
  phones: number,
  say: (text: string) => void,
  { redis, expire, prepare }: WithStore,
): Promise<EdgeFigures> {
  const place = placeIn(net, mkdtempSync(join(tmpdir(), 'reveille-million-')));
  const phases: Phase[] = [];
  let servers: readonly RunningServer[] = [];
  try {
    mkdirSync(join(place.folder, 'data'), { recursive: true });
    // the edge and the command both read it
    process.env['REVEILLE_API_TOKEN'] ??= 'of-the-bench-with-a-million-phones';
    process.env['BENCH_TURNS'] = place.folder;
    await prepare?.(place);
    say('edge starts');
    const from = performance.now();
    const nodeArgs = ['--import', join(projectRoot, 'dist/bench/million/turns-inside.js')];
    servers = await startEdge(
      { engine: 'embedded', registration: 'mid-registrar', store, users: 0, push: undefined, nodeArgs },
      place,
    );
    const readySeconds = (performance.now() - from) / 1000;
    const pids = servers.map(({ pid }) => pid);
    const asker = await optionsProbe(place.server, place.phones);
    const during: During = async (name, work) => {
      say(name);
      await turnsOf(place);
      const watched = redis === undefined ? undefined : await watchRedis(redis);
      const options = probe(5, () => asker.ask());
      const begun = performance.now();
      const result = await work();
      const seconds = (performance.now() - begun) / 1000;
      const answered = options();
      const [turns, atRedis] = [await turnsOf(place), await watched?.()];
      phases.push({
        ...{ name, seconds, turns, options: answered, rssMib: usageOf(pids).rssKib / 1024 },
        ...(atRedis === undefined ? {} : { redis: atRedis }),
      });
      say(JSON.stringify(phases.at(-1)));
      return result;
    };
    await during('census under way', () => pause(20_000));
    const listFrom = performance.now();
    // what it says when it fails is worth no less than the rest of a long run
    const listedRows = await during('reveille registrations --all', () =>
      listedByCommand(place).catch((error: unknown) => {
        say(String(error));
        return Number.NaN;
      }),
    );
    const listRate = (listedRows * 1000) / (performance.now() - listFrom);
    const expireSeconds = await expire?.(during);
    asker.close();
    const figures = { phones, readySeconds, listedRows, listRate, phases };
    return expireSeconds === undefined ? figures : { ...figures, expireSeconds };
  } finally {
    for (const server of servers) await server.stop();
    rmSync(place.folder, { recursive: true, force: true });
  }
}

/** Of all threads of the edge, since they were asked before: the longest of each. */
async function turnsOf({ folder }: Place): Promise<Turns> {
  const sockets = readdirSync(folder).filter((name) => name.startsWith('turns-'));
  const all = await Promise.all(sockets.map((name) => toldAt(join(folder, name))));
  const most = (of: keyof Turns): number => Math.max(...all.map((turns) => turns[of]));
  return { loop: most('loop'), own: most('own'), gc: most('gc'), over: most('over') };
}

async function toldAt(path: string): Promise<Turns> {
  const socket = connect(path);
  let text = '';
  socket.setEncoding('utf8');
  for await (const part of socket) text += String(part);
  return JSON.parse(text) as Turns;
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
      code === 0
        ? resolve(rows)
        : reject(new Error(`reveille registrations ended with ${String(code)} after ${rows} rows`)),
    );
  });
}
