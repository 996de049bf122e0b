/** What a simulated day says to whoever has to buy machines: peaks, how many nodes and Redis primaries, what runs out first. */
import { type Costs, type Curves, type Day, secondsOfDay, type Simulated, simulate } from './model.ts';

/** What things carry, and how full they may be. */
export interface Limits {
  /** share of a core an edge may use at the peak */
  readonly edgeShare: number;
  /** share of its one core a Redis primary may use at the peak */
  readonly redisShare: number;
  /** octets of one primary */
  readonly redisBytes: number;
  /** pushes a second that are usual without asking the provider */
  readonly apnsPerSecond: number;
  readonly fcmPerSecond: number;
}

/** FCM: 600,000 a minute for a project by default. APNs names no number; one connection does some thousand a second. */
export const usualLimits: Limits = {
  edgeShare: 0.6,
  redisShare: 0.6,
  redisBytes: 25e9,
  apnsPerSecond: 100_000,
  fcmPerSecond: 10_000,
};

export interface Peak {
  readonly value: number;
  /** seconds of the day */
  readonly at: number;
}

export interface Plan {
  readonly phones: number;
  readonly nodes: number;
  readonly peaks: Readonly<Record<keyof Curves, Peak>>;
  readonly totals: {
    readonly registers: number;
    readonly calls: number;
    readonly pushes: number;
    readonly refused: number;
  };
  readonly redisBytes: number;
  readonly edgeBytes: number;
  readonly nodesNeeded: number;
  /** primaries of a Redis Cluster; 1: one Redis does */
  readonly shardsNeeded: number;
  /** what reaches its limit first when the phones grow, and at how many phones, with these nodes and one Redis */
  readonly first: { readonly what: string; readonly phones: number };
}

export function planFor({ curves, day, redisBytes, edgeBytes }: Simulated, costs: Costs, limits: Limits): Plan {
  const peaks = Object.fromEntries(
    Object.entries(curves).map(([name, series]: [string, Float64Array]) => [name, peakOf(series)]),
  ) as Readonly<Record<keyof Curves, Peak>>;
  const sum = (series: Float64Array): number => series.reduce((total, each) => total + each, 0);
  const idleRedis = (day.nodes * costs.redis.idleMicros) / 1e6;
  const full: readonly (readonly [string, number])[] = [
    ['CPU of the edges', (peaks.edgeCpu.value - costs.edge.baseShare) / (limits.edgeShare - costs.edge.baseShare)],
    ['CPU of one Redis', (peaks.redisCpu.value - idleRedis) / Math.max(1e-9, limits.redisShare - idleRedis)],
    ['memory of one Redis', redisBytes / limits.redisBytes],
    ['pushes to APNs', peaks.apns.value / limits.apnsPerSecond],
    ['pushes to FCM', peaks.fcm.value / limits.fcmPerSecond],
  ];
  const [what, share] = full.reduce((most, each) => (each[1] > most[1] ? each : most));
  return {
    ...{ phones: day.phones, nodes: day.nodes, peaks, redisBytes, edgeBytes },
    totals: {
      registers: sum(curves.registers),
      calls: sum(curves.calls),
      pushes: sum(curves.apns) + sum(curves.fcm),
      refused: sum(curves.refused),
    },
    nodesNeeded: nodesFor(day, costs, limits),
    shardsNeeded: Math.max(
      1,
      Math.ceil(redisBytes / limits.redisBytes),
      Math.ceil(peaks.redisCpu.value / limits.redisShare),
    ),
    first: { what, phones: Math.floor(day.phones / share) },
  };
}

/** The fewest nodes that stay below the share they may use in every second, a dead one counted. */
export function nodesFor(day: Day, costs: Costs, limits: Limits): number {
  // the work of a day does not depend on the nodes but for the phones of the one that dies: from an estimate upwards
  const { curves } = simulate({ ...day, nodes: 1, nodeDeathAt: undefined }, costs);
  const work = peakOf(curves.edgeCpu).value - costs.edge.baseShare;
  for (let nodes = Math.max(1, Math.floor(work / limits.edgeShare)); ; nodes++) {
    const { value } = peakOf(simulate({ ...day, nodes }, costs).curves.edgeCpu);
    if (value <= limits.edgeShare) return nodes;
  }
}

/** How many phones so many nodes carry, and what stops them, with as many Redis primaries as are needed or with one. */
export function phonesFor(day: Day, costs: Costs, limits: Limits): number {
  const perPhone = peakOf(simulate({ ...day, phones: 1e6 }, costs).curves.edgeCpu).value - costs.edge.baseShare;
  return Math.floor((1e6 * (limits.edgeShare - costs.edge.baseShare)) / perPhone);
}

export function peakOf(series: Float64Array): Peak {
  let at = 0;
  for (let second = 1; second < secondsOfDay; second++) if ((series[second] ?? 0) > (series[at] ?? 0)) at = second;
  return { value: series[at] ?? 0, at };
}
