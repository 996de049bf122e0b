/** A million phones in a Redis: what they cost, how fast they come, and how long anything stands still while they come, are listed, and end. */
import { Redis } from 'ioredis';
import { openRedis } from '../../lib/adapters/redis/open-redis.ts';
import { startRedis } from '../../test/support/redis-server.ts';
import { fill, listAll } from './load.ts';
import { aorOf, phoneAt } from './phones.ts';
import { probe, type RoundTrips, type Stalls, watchLoop } from './stalls.ts';

export interface RedisFigures {
  readonly phones: number;
  /** used_memory of Redis for each phone, all keys together */
  readonly bytes: number;
  /** MEMORY USAGE of each kind of key, mean over a sample, for one phone */
  readonly bytesOf: Readonly<Record<string, number>>;
  readonly keys: number;
  readonly keysWithoutExpiry: number;
  readonly loadRate: number;
  readonly listRate: number;
  readonly expireSeconds: number;
  readonly phases: readonly Phase[];
}

export interface Phase {
  readonly name: string;
  readonly seconds: number;
  readonly stalls: Stalls;
  /** round trips of a command of another connection, ms */
  readonly ping?: RoundTrips;
  /** longest command by Redis' own clock, ms */
  readonly slowest?: { readonly ms: number; readonly command: string };
}

export async function onRedis(phones: number, say: (text: string) => void): Promise<RedisFigures> {
  const server = await startRedis({ settings: ['--slowlog-log-slower-than', '500', '--slowlog-max-len', '1000'] });
  const opened = await openRedis({ url: server.url, keyPrefix: 'reveille:' });
  const operator = new Redis(server.url);
  const phases: Phase[] = [];
  const during = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    say(name);
    await operator.slowlog('RESET');
    const loop = watchLoop();
    const ping = probe(5, () => operator.ping());
    const from = performance.now();
    const result = await work();
    const seconds = (performance.now() - from) / 1000;
    phases.push({
      name,
      seconds,
      ping: ping(),
      stalls: await loop(),
      slowest: slowestOf(await operator.slowlog('GET', 1000)),
    });
    return result;
  };
  try {
    const before = await memoryOf(operator);
    const took = await during('load', () => fill(opened, { phones, seconds: 7200 }));
    const bytes = ((await memoryOf(operator)) - before) / phones;
    const bytesOf = await sampleBytes(operator, phones);
    const { keys, withoutExpiry } = await expiries(operator);
    const listed = await during('list', () => listAll(opened.store));
    if (listed.bindings < phones) throw new Error(`${listed.bindings} of ${phones} were listed`);
    await during('claim refresh tasks', async () => {
      const at = Date.now() + 7_200_000;
      for (let n = 0; n < 20; n++) await opened.agenda.claim(at, at + 60_000, 400);
    });
    say('all are to end together');
    await endTogether(operator, Date.now() + 10_000 + phones / 12);
    const expireSeconds = await during('expire', async () => {
      while ((await operator.dbsize()) >= keys) await pause(20);
      const from = performance.now();
      let n = phones;
      // a thousandth may live on: shared values, agendas, and what registers meanwhile
      while ((await operator.dbsize()) > n - phones + 1000) {
        const now = Date.now();
        await opened.store.swap(aorOf(n), 0, [phoneAt(n, now, 3600)], now + 3_600_000);
        n += 1;
        await pause(5);
      }
      return (performance.now() - from) / 1000;
    });
    const secondsOf = (name: string): number => phases.find((phase) => phase.name === name)?.seconds ?? Number.NaN;
    return {
      ...{ phones, bytes, bytesOf, keys, keysWithoutExpiry: withoutExpiry, expireSeconds, phases },
      loadRate: phones / took,
      listRate: phones / secondsOf('list'),
    };
  } finally {
    await operator.quit();
    await opened.nodes.close();
    await opened.bus.close();
    await opened.store.close();
    await server.stop();
  }
}

async function memoryOf(operator: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await operator.info('memory'))?.[1]);
}

async function sampleBytes(operator: Redis, phones: number): Promise<Record<string, number>> {
  const kinds = ['set', 'token', 'agenda'];
  const sums = new Map(kinds.map((kind) => [kind, { bytes: 0, count: 0 }]));
  let cursor = '0';
  let seen = 0;
  do {
    const [next, keys] = await operator.scan(cursor, 'COUNT', 500);
    cursor = next;
    for (const key of keys) {
      const sum = sums.get(key.split(':')[1] ?? '');
      if (sum === undefined || key.includes(':agenda:')) continue;
      sum.bytes += (await operator.memory('USAGE', key)) ?? 0;
      sum.count += 1;
      seen += 1;
    }
  } while (cursor !== '0' && seen < 5000);
  let agenda = 0;
  for (let shard = 0; shard < 8; shard++)
    agenda += (await operator.memory('USAGE', `reveille:agenda:{${shard}}`, 'SAMPLES', 1000)) ?? 0;
  const mean = (kind: string): number => (sums.get(kind)?.bytes ?? 0) / Math.max(1, sums.get(kind)?.count ?? 1);
  // three of five phones have two tokens
  return { set: mean('set'), tokens: mean('token') * 1.6, agenda: agenda / phones };
}

async function expiries(operator: Redis): Promise<{ readonly keys: number; readonly withoutExpiry: number }> {
  const keyspace = /keys=(\d+),expires=(\d+)/.exec(await operator.info('keyspace'));
  const keys = Number(keyspace?.[1] ?? 0);
  return { keys, withoutExpiry: keys - Number(keyspace?.[2] ?? 0) };
}

/** Gives every set and token the same end, ms since the epoch. */
export async function endTogether(operator: Redis, at: number): Promise<void> {
  let cursor = '0';
  do {
    const [next, keys] = await operator.scan(cursor, 'COUNT', 2000);
    cursor = next;
    const pipeline = operator.pipeline();
    for (const key of keys) if (/:(?:set|token):/.test(key)) pipeline.call('PEXPIREAT', key, String(Math.round(at)));
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
  } while (cursor !== '0');
}

function slowestOf(entries: unknown): { readonly ms: number; readonly command: string } {
  let slowest = { ms: 0, command: 'none above 0.5 ms' };
  if (!Array.isArray(entries)) return slowest;
  for (const [, , micros, words] of entries as readonly [number, number, number, readonly string[]][]) {
    // not the arguments: a token may be in them
    if (micros / 1000 > slowest.ms) slowest = { ms: micros / 1000, command: String(words[0]) };
  }
  return slowest;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
