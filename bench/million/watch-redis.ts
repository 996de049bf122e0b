/**
 * Asks a Redis every few milliseconds, in a thread of its own so that nothing we do delays it: how long an answer took, and how much CPU
 * of Redis was used meanwhile, which is what it did itself of that time.
 */
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { Samples } from '../figures.ts';
import type { RoundTrips } from './stalls.ts';
import { mainThreadCpu } from './turns.ts';

export interface RedisStalls {
  /** PING and its answer, ms */
  readonly ping: RoundTrips;
  /** most CPU of Redis between a PING and its answer, ms */
  readonly own: number;
  /** by its own latency monitor: the longest of each kind of event, ms by the clock */
  readonly events: Readonly<Record<string, number>>;
}

/** Call the result to end. */
export async function watchRedis(url: string): Promise<() => Promise<RedisStalls>> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { url } });
  const heard = (): Promise<unknown> =>
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await heard();
  return async () => {
    const told = heard();
    worker.postMessage('end');
    const stalls = (await told) as RedisStalls;
    await worker.terminate();
    return stalls;
  };
}

async function watch(url: string): Promise<void> {
  const redis = new Redis(url);
  const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
  await redis.config('SET', 'latency-monitor-threshold', '1');
  await redis.call('LATENCY', 'RESET');
  const cpu = mainThreadCpu(pid);
  const samples = new Samples();
  let own = 0;
  let ended = false;
  parentPort?.once('message', () => {
    ended = true;
  });
  parentPort?.postMessage('begun');
  while (!ended) {
    const from = { at: performance.now(), cpu: cpu.read() };
    await redis.ping();
    samples.add(performance.now() - from.at);
    own = Math.max(own, cpu.read() - from.cpu);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const latest = (await redis.call('LATENCY', 'LATEST')) as readonly (readonly [string, number, number, number])[];
  const { count, p50, p99, max } = samples.spread() ?? { count: 0, p50: 0, p99: 0, max: 0 };
  const stalls: RedisStalls = {
    ping: { count, p50, p99, max },
    own,
    events: Object.fromEntries(latest.map(([event, , , longest]) => [event, longest])),
  };
  cpu.close();
  await redis.quit();
  parentPort?.postMessage(stalls);
}

const given: unknown = workerData;
if (!isMainThread && typeof given === 'object' && given !== null && 'url' in given) await watch(String(given.url));
