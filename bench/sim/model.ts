/**
 * A day of many phones, second by second, against measured costs. Deterministic: expected values, no dice but one seeded source for
 * the noise of the call curve, so every run with one seed gives the same day. Pure: no clock, no files. What it leaves out is
 * written in docs/capacity.md.
 */
import { randomFrom } from '../figures.ts';

export interface Costs {
  /** CPU in microseconds of one core, memory in octets */
  readonly edge: {
    readonly registerMicros: number;
    /** with the REGISTER that ends the wait, and its push */
    readonly wokenCallMicros: number;
    readonly awakeCallMicros: number;
    readonly refreshPushMicros: number;
    /** of a core, for an edge with nothing to do */
    readonly baseShare: number;
    readonly flowBytes: number;
    readonly heldBytes: number;
  };
  readonly redis: {
    readonly bytesPerPhone: number;
    readonly registerCommands: number;
    readonly registerMicros: number;
    /** with its REGISTER */
    readonly wokenCallCommands: number;
    readonly wokenCallMicros: number;
    readonly awakeCallCommands: number;
    readonly awakeCallMicros: number;
    readonly refreshPushCommands: number;
    readonly refreshPushMicros: number;
    /** of one edge, a second */
    readonly idleCommands: number;
    readonly idleMicros: number;
  };
  /** octets on the wire, both sides of the edge */
  readonly network: { readonly registerBytes: number; readonly callBytes: number; readonly pushBytes: number };
}

export interface Day {
  readonly phones: number;
  readonly nodes: number;
  readonly seed: number;
  /** registration time, s, and at what part of it a phone that runs refreshes */
  readonly expirySeconds: number;
  readonly refreshAt: number;
  /** of the phones: run all the time and hold a connection; the others sleep and are refreshed by push */
  readonly awakeShare: number;
  /** of the sleeping phones: pushed by APNs; the others by FCM */
  readonly apnsShare: number;
  /** calls to each phone in the day */
  readonly callsPerPhone: number;
  /** seconds from push to REGISTER: this share within each second, the rest never comes */
  readonly wakeAfter: readonly number[];
  /** held so long when the phone does not come */
  readonly holdSeconds: number;
  readonly talkSeconds: number;
  /** seconds of the day; undefined: it does not happen */
  readonly pbxRestartAt: number | undefined;
  /** every phone that is awake registers anew within so many seconds after it */
  readonly stormSeconds: number;
  readonly nodeDeathAt: number | undefined;
  readonly redisFailoverAt: number | undefined;
  readonly redisOutSeconds: number;
}

export const secondsOfDay = 86_400;

/** A weekday of a telephone company with business customers mostly. */
export const usualDay: Omit<Day, 'phones' | 'nodes'> = {
  seed: 1,
  expirySeconds: 3600,
  refreshAt: 0.5,
  awakeShare: 0.2,
  apnsShare: 0.55,
  callsPerPhone: 3,
  wakeAfter: [0.35, 0.35, 0.15, 0.06, 0.03, 0.02],
  holdSeconds: 20,
  talkSeconds: 120,
  pbxRestartAt: 11 * 3600,
  stormSeconds: 120,
  nodeDeathAt: 14 * 3600,
  redisFailoverAt: 16 * 3600,
  redisOutSeconds: 10,
};

/** One number for each second of the day. */
export interface Curves {
  readonly registers: Float64Array;
  readonly calls: Float64Array;
  readonly wokenCalls: Float64Array;
  readonly refreshPushes: Float64Array;
  readonly apns: Float64Array;
  readonly fcm: Float64Array;
  /** INVITEs that wait for a phone */
  readonly held: Float64Array;
  /** calls and REGISTERs answered with 503 while Redis is away */
  readonly refused: Float64Array;
  readonly talking: Float64Array;
  /** share of its core that an edge uses */
  readonly edgeCpu: Float64Array;
  readonly redisCommands: Float64Array;
  /** share of the one core of a Redis that has all keys */
  readonly redisCpu: Float64Array;
  /** bit/s, all nodes */
  readonly bits: Float64Array;
}

export interface Simulated {
  readonly day: Day;
  readonly curves: Curves;
  /** octets in Redis */
  readonly redisBytes: number;
  /** octets of one edge: connections of awake phones, and held INVITEs at their peak */
  readonly edgeBytes: number;
}

export function simulate(day: Day, costs: Costs): Simulated {
  const series = (): Float64Array => new Float64Array(secondsOfDay);
  const curves: Curves = {
    registers: series(),
    calls: series(),
    wokenCalls: series(),
    refreshPushes: series(),
    apns: series(),
    fcm: series(),
    held: series(),
    refused: series(),
    talking: series(),
    edgeCpu: series(),
    redisCommands: series(),
    redisCpu: series(),
    bits: series(),
  };
  spreadRegisters(day, curves);
  spreadCalls(day, curves);
  if (day.pbxRestartAt !== undefined) storm(day.pbxRestartAt, day, curves);
  // its phones connect and register with the others as soon as they notice
  if (day.nodeDeathAt !== undefined && day.nodes > 1)
    add(curves.registers, day.nodeDeathAt, day.stormSeconds, awakePhones(day) / day.nodes);
  if (day.redisFailoverAt !== undefined) failover(day.redisFailoverAt, day, curves);
  price(day, costs, curves);
  const held = curves.held.reduce((most, each) => Math.max(most, each), 0);
  return {
    day,
    curves,
    redisBytes: day.phones * costs.redis.bytesPerPhone,
    edgeBytes: (awakePhones(day) * costs.edge.flowBytes + held * costs.edge.heldBytes) / day.nodes,
  };
}

export function awakePhones({ phones, awakeShare }: Pick<Day, 'phones' | 'awakeShare'>): number {
  return phones * awakeShare;
}

/** REGISTERs of a second with nothing special: each phone once in the time between two of its refreshes. */
export function steadyRegisters({ phones, expirySeconds, refreshAt, awakeShare }: Day): {
  readonly awake: number;
  readonly pushed: number;
} {
  return {
    awake: (phones * awakeShare) / (expirySeconds * refreshAt),
    // a refresh push comes when it is nearly over: 300 s before, or half of a short one
    pushed: (phones * (1 - awakeShare)) / (expirySeconds - Math.min(300, expirySeconds / 2)),
  };
}

function spreadRegisters(day: Day, { registers, refreshPushes, apns, fcm }: Curves): void {
  const { awake, pushed } = steadyRegisters(day);
  for (let at = 0; at < secondsOfDay; at++) {
    bump(registers, at, awake + pushed);
    bump(refreshPushes, at, pushed);
    bump(apns, at, pushed * day.apnsShare);
    bump(fcm, at, pushed * (1 - day.apnsShare));
  }
}

/** Two humps of office hours with a dip at noon, an evening, hardly anything at night; and a burst when work begins. */
export function callShape(at: number): number {
  const hour = at / 3600;
  const hump = (middle: number, width: number): number => Math.exp(-(((hour - middle) / width) ** 2));
  const burst = at >= 8 * 3600 && at < 8 * 3600 + 300 ? 0.6 : 0;
  return 0.02 + hump(10.3, 1.7) + 0.85 * hump(15, 2) + 0.25 * hump(19.5, 1.5) + burst;
}

function spreadCalls(day: Day, curves: Curves): void {
  const random = randomFrom(day.seed);
  const shape = Float64Array.from({ length: secondsOfDay }, (_, at) => callShape(at) * (0.95 + 0.1 * random()));
  const sum = shape.reduce((total, each) => total + each, 0);
  const total = day.phones * day.callsPerPhone;
  for (let at = 0; at < secondsOfDay; at++) {
    const calls = (total * (shape[at] ?? 0)) / sum;
    const woken = calls * (1 - day.awakeShare);
    bump(curves.calls, at, calls);
    bump(curves.wokenCalls, at, woken);
    bump(curves.apns, at, woken * day.apnsShare);
    bump(curves.fcm, at, woken * (1 - day.apnsShare));
    bump(curves.talking, at, calls - woken);
    let waiting = woken;
    for (let after = 0; after < day.holdSeconds; after++) {
      bump(curves.held, at + after, waiting);
      const awake = woken * (day.wakeAfter[after] ?? 0);
      waiting -= awake;
      bump(curves.talking, at + after, awake);
    }
  }
  // calls in progress: each that began stays for talkSeconds
  const begun = Float64Array.from(curves.talking);
  let now = 0;
  for (let at = -day.talkSeconds; at < secondsOfDay; at++) {
    now += begun[wrap(at)] ?? 0;
    if (at >= 0) now -= begun[wrap(at - day.talkSeconds)] ?? 0;
    if (at >= 0) curves.talking[at] = Math.max(0, now);
  }
}

/** All phones that are awake register anew: they lost the PBX and try again within `stormSeconds`. */
function storm(at: number, day: Day, { registers }: Curves): void {
  add(registers, at, day.stormSeconds, awakePhones(day));
}

/** While there is no primary, what needs it is refused, and comes again when it is back, over the same time and what Retry-After adds. */
function failover(at: number, day: Day, curves: Curves): void {
  let registers = 0;
  for (let second = 0; second < day.redisOutSeconds; second++) {
    const now = wrap(at + second);
    registers += curves.registers[now] ?? 0;
    curves.refused[now] = (curves.registers[now] ?? 0) + (curves.calls[now] ?? 0);
    curves.registers[now] = 0;
    curves.calls[now] = 0;
    curves.wokenCalls[now] = 0;
    curves.refreshPushes[now] = 0;
    curves.apns[now] = 0;
    curves.fcm[now] = 0;
  }
  add(curves.registers, at + day.redisOutSeconds, 3 * day.redisOutSeconds, registers);
}

function price(day: Day, { edge, redis, network }: Costs, curves: Curves): void {
  const { registers, calls, wokenCalls, refreshPushes, apns, fcm } = curves;
  for (let at = 0; at < secondsOfDay; at++) {
    const [r, all, woken, refresh] = [registers[at] ?? 0, calls[at] ?? 0, wokenCalls[at] ?? 0, refreshPushes[at] ?? 0];
    const awake = all - woken;
    const micros =
      r * edge.registerMicros +
      woken * edge.wokenCallMicros +
      awake * edge.awakeCallMicros +
      refresh * edge.refreshPushMicros;
    curves.edgeCpu[at] = edge.baseShare + micros / 1e6 / livingNodes(day, at);
    const commands =
      r * redis.registerCommands +
      woken * redis.wokenCallCommands +
      awake * redis.awakeCallCommands +
      refresh * redis.refreshPushCommands;
    curves.redisCommands[at] = commands + day.nodes * redis.idleCommands;
    const spent =
      r * redis.registerMicros +
      woken * redis.wokenCallMicros +
      awake * redis.awakeCallMicros +
      refresh * redis.refreshPushMicros;
    curves.redisCpu[at] = (spent + day.nodes * redis.idleMicros) / 1e6;
    const pushes = (apns[at] ?? 0) + (fcm[at] ?? 0);
    curves.bits[at] = 8 * ((r + woken) * network.registerBytes + all * network.callBytes + pushes * network.pushBytes);
  }
}

/** The one that died comes back after five minutes. */
function livingNodes({ nodes, nodeDeathAt }: Day, at: number): number {
  const isOut = nodeDeathAt !== undefined && nodes > 1 && at >= nodeDeathAt && at < nodeDeathAt + 300;
  return isOut ? nodes - 1 : nodes;
}

/** `total` more, evenly over `seconds` from `at`. */
function add(series: Float64Array, at: number, seconds: number, total: number): void {
  for (let second = 0; second < seconds; second++) bump(series, at + second, total / seconds);
}

function bump(series: Float64Array, at: number, by: number): void {
  const place = wrap(at);
  series[place] = (series[place] ?? 0) + by;
}

/** The day goes on where it began. */
function wrap(at: number): number {
  return ((at % secondsOfDay) + secondsOfDay) % secondsOfDay;
}
