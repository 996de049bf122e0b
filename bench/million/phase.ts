/** One thing that was done with a million phones, and how long anybody stood still meanwhile. */
import type { RoundTrips } from './stalls.ts';
import type { Turns } from './turns.ts';
import type { RedisStalls } from './watch-redis.ts';

export interface Phase {
  readonly name: string;
  readonly seconds: number;
  /** of the thread that works with the store: ours, or the busiest of the edge */
  readonly turns: Turns;
  /** ms a thread missed that only waited */
  readonly idle?: number;
  readonly redis?: RedisStalls;
  /** OPTIONS to the edge, one every 5 ms, ms */
  readonly options?: RoundTrips;
  readonly rssMib?: number;
}

export function tableOf(phases: readonly Phase[]): readonly (readonly string[])[] {
  const head = ['', 's', 'loop ms', 'own CPU ms', 'turns > 50', 'GC ms', 'idle thread ms', 'PING p99 ms', 'PING max'];
  return [
    [...head, 'Redis CPU ms', 'Redis events ms', 'OPTIONS p50 ms', 'p99', 'max', 'RSS MiB'],
    ...phases.map(({ name, seconds, turns, idle, redis, options, rssMib }) => [
      ...[name, ms(seconds), ms(turns.loop), ms(turns.own), String(turns.over), ms(turns.gc), ms(idle)],
      ...[ms(redis?.ping.p99), ms(redis?.ping.max), ms(redis?.own)],
      Object.entries(redis?.events ?? {})
        .map(([event, longest]) => `${event} ${longest}`)
        .join(', '),
      ...[ms(options?.p50), ms(options?.p99), ms(options?.max), ms(rssMib)],
    ]),
  ];
}

function ms(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(1);
}
