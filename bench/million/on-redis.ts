/** A million phones in a Redis: what they cost, how fast they come, and how long anything stands still while they come, are listed, and end. */
import { Redis } from 'ioredis';
import { openRedis, type OpenRedis } from '../../lib/adapters/redis/open-redis.ts';
import { startRedis } from '../../test/support/redis-server.ts';
import { fill, listAll } from './load.ts';
import type { Phase } from './phase.ts';
import { aorOf, phoneAt } from './phones.ts';
import { watchLoop } from './stalls.ts';
import { watchRedis } from './watch-redis.ts';

export interface RedisLoad {
  readonly phones: number;
  /** used_memory of Redis for each phone, all keys together */
  readonly bytes: number;
  /** MEMORY USAGE of each kind of key for one phone, from a sample */
  readonly bytesOf: Readonly<Record<string, number>>;
  readonly keys: number;
  readonly keysWithoutExpiry: number;
  readonly loadRate: number;
}

export interface RedisFigures extends RedisLoad {
  readonly listRate: number;
  readonly expireSeconds: number;
  readonly phases: readonly Phase[];
}

type During = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** Watches this thread and Redis while work is done. */
export function watching(url: string, phases: Phase[], say: (text: string) => void): During {
  return async (name, work) => {
    say(name);
    const redis = await watchRedis(url);
    const loop = watchLoop();
    const from = performance.now();
    const result = await work();
    const seconds = (performance.now() - from) / 1000;
    const { idle, ...turns } = await loop();
    phases.push({ name, seconds, turns, idle, redis: await redis() });
    say(JSON.stringify(phases.at(-1)));
    return result;
  };
}

export async function onRedis(phones: number, say: (text: string) => void): Promise<RedisFigures> {
  const server = await startRedis();
  const opened = await openRedis({ url: server.url, keyPrefix: 'reveille:' });
  const operator = new Redis(server.url);
  const phases: Phase[] = [];
  const during = watching(server.url, phases, say);
  try {
    const loaded = await loadRedis(opened, operator, phones, during, say);
    const listed = await during('list', () => listAll(opened.store));
    if (listed.bindings < phones) throw new Error(`${listed.bindings} of ${phones} were listed`);
    await during('claim refresh tasks', async () => {
      const at = Date.now() + 7_200_000;
      for (let n = 0; n < 20; n++) await opened.agenda.claim(at, at + 60_000, 400);
    });
    say('all are to end together');
    const end = await endTogether(operator, phones);
    await pause(end - Date.now() - 1000);
    const expireSeconds = await during('expire', () =>
      ended(operator, phones, end, async (n) => {
        const now = Date.now();
        await opened.store.swap(aorOf(n), 0, [phoneAt(n, now, 3600)], now + 3_600_000);
      }),
    );
    const listSeconds = phases.find(({ name }) => name === 'list')?.seconds ?? Number.NaN;
    return { ...loaded, listRate: phones / listSeconds, expireSeconds, phases };
  } finally {
    await operator.quit();
    await opened.nodes.close();
    await opened.bus.close();
    await opened.store.close();
    await server.stop();
  }
}

export async function loadRedis(
  opened: OpenRedis,
  operator: Redis,
  phones: number,
  during: During,
  say: (text: string) => void,
): Promise<RedisLoad> {
  const before = await memoryOf(operator);
  const took = await during('load', () => fill(opened, { phones, seconds: 7200, say }));
  const bytes = ((await memoryOf(operator)) - before) / phones;
  const keyspace = /keys=(\d+),expires=(\d+)/.exec(await operator.info('keyspace'));
  const keys = Number(keyspace?.[1] ?? 0);
  return {
    ...{ phones, bytes, keys, loadRate: phones / took },
    bytesOf: await sampleBytes(operator, phones),
    keysWithoutExpiry: keys - Number(keyspace?.[2] ?? 0),
  };
}

async function memoryOf(operator: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await operator.info('memory'))?.[1]);
}

async function sampleBytes(operator: Redis, phones: number): Promise<Record<string, number>> {
  const sums = new Map(['set', 'owners'].map((kind) => [kind, { bytes: 0, count: 0, all: 0 }]));
  let agenda = 0;
  let cursor = '0';
  do {
    const [next, keys] = await operator.scan(cursor, 'COUNT', 1000);
    cursor = next;
    for (const key of keys) {
      const [, kind = '', shard] = /:(set|owners|agenda):(?:\{(\d)\}$)?/.exec(key) ?? [];
      const sum = sums.get(kind);
      if (kind === 'agenda' && shard !== undefined)
        agenda += (await operator.memory('USAGE', key, 'SAMPLES', 1000)) ?? 0;
      if (sum === undefined) continue;
      sum.all += 1;
      if (sum.count === 5000) continue;
      sum.bytes += (await operator.memory('USAGE', key)) ?? 0;
      sum.count += 1;
    }
  } while (cursor !== '0');
  const each = [...sums].map(([kind, { bytes, count, all }]) => [kind, ((bytes / Math.max(1, count)) * all) / phones]);
  return { ...Object.fromEntries(each), agenda: agenda / phones };
}

/** Gives every set and all owners of tokens the same end; when that is, ms since the epoch. */
export async function endTogether(operator: Redis, phones: number): Promise<number> {
  const end = Date.now() + 10_000 + Math.round(phones / 20);
  let cursor = '0';
  do {
    const [next, keys] = await operator.scan(cursor, 'COUNT', 1000);
    cursor = next;
    const pipeline = operator.pipeline();
    for (const key of keys) if (/:(?:set|owners):/.test(key)) pipeline.call('PEXPIREAT', key, String(end));
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
  } while (cursor !== '0');
  if (Date.now() > end) throw new Error('it took too long to give all the same end');
  return end;
}

/** The seconds from their common end until Redis has forgotten them. `register`: a phone comes every few milliseconds. */
export async function ended(
  operator: Redis,
  phones: number,
  end: number,
  register?: (n: number) => Promise<void>,
): Promise<number> {
  await pause(end - Date.now());
  let come = 0;
  // other keys live on, and some phones may come to an end later than others
  while ((await operator.dbsize()) > phones / 1000 + 50 + come) {
    await register?.(phones + come);
    if (register !== undefined) come += 1;
    await pause(10);
  }
  return (Date.now() - end) / 1000;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
