/** `npm run sim`: a day of ten million phones against the measured costs; a table, and the curves as SVG. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { grid } from '../grid.ts';
import { projectRoot } from '../servers/place.ts';
import { readCosts } from './costs.ts';
import { clock, drawDay } from './curves.ts';
import { type Costs, type Curves, type Day, simulate, usualDay } from './model.ts';
import { nodesFor, phonesFor, type Plan, planFor, usualLimits } from './plan.ts';

const help = `Usage: npm run sim -- [options]

  --phones N      how many (10000000)
  --nodes N       edges, a core each; as many as the target needs when left out
  --target SHARE  of its core an edge may use at the peak (0.6)
  --calls N       calls to each phone in the day (3)
  --expires N     registration time, seconds (3600)
  --quiet         no restart of the PBX, no death of an edge, no failover of Redis
  --seed N        of the noise of the call curve (1)
  --costs FILE    what one of each costs (bench/sim/costs.json)
  --svg FILE      the curves
  --json          one JSON object on stdout instead of tables
`;

function main(): void {
  const { values } = parseArgs({
    options: {
      phones: { type: 'string', default: '10000000' },
      nodes: { type: 'string' },
      target: { type: 'string', default: String(usualLimits.edgeShare) },
      calls: { type: 'string', default: String(usualDay.callsPerPhone) },
      expires: { type: 'string', default: String(usualDay.expirySeconds) },
      quiet: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      costs: { type: 'string', default: join(projectRoot, 'bench/sim/costs.json') },
      svg: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(help);
  const positive = (name: 'phones' | 'nodes' | 'target' | 'calls' | 'expires' | 'seed', from: string): number => {
    const value = Number(from);
    if (!(value > 0 && value < 1e12)) throw new Error(`--${name}: expected a number above 0, found ${from}`);
    return value;
  };
  const costs = readCosts(readFileSync(values.costs, 'utf8'));
  const limits = { ...usualLimits, edgeShare: positive('target', values.target) };
  if (limits.edgeShare <= costs.edge.baseShare || limits.edgeShare > 1)
    throw new Error(`--target: expected a share of a core above ${costs.edge.baseShare}, to 1, found ${values.target}`);
  const nothing = { pbxRestartAt: undefined, nodeDeathAt: undefined, redisFailoverAt: undefined };
  const day = {
    ...usualDay,
    ...(values.quiet ? nothing : {}),
    phones: positive('phones', values.phones),
    callsPerPhone: positive('calls', values.calls),
    expirySeconds: positive('expires', values.expires),
    seed: positive('seed', values.seed),
    nodes: 1,
  };
  const nodes = values.nodes === undefined ? nodesFor(day, costs, limits) : positive('nodes', values.nodes);
  const simulated = simulate({ ...day, nodes }, costs);
  const plan = planFor(simulated, costs, limits);
  if (values.svg !== undefined) writeFileSync(values.svg, drawDay(simulated, plan, limits.edgeShare));
  const carried = [1, 10, 1000].map((each) => carriedBy(each, day, costs, limits));
  if (values.json) process.stdout.write(`${JSON.stringify({ day: simulated.day, plan, carried }, null, 2)}\n`);
  else process.stdout.write(tablesOf(plan, limits.edgeShare) + carriedTable(carried));
}

interface Carried {
  readonly nodes: number;
  readonly phones: number;
  readonly plan: Plan;
}

function carriedBy(nodes: number, day: Day, costs: Costs, limits: typeof usualLimits): Carried {
  const asked = { ...day, nodes };
  const phones = phonesFor(asked, costs, limits);
  return { nodes, phones, plan: planFor(simulate({ ...asked, phones }, costs), costs, limits) };
}

const rows: readonly (readonly [string, keyof Curves, number, number])[] = [
  ['REGISTERs a second', 'registers', 1, 0],
  ['calls a second', 'calls', 1, 0],
  ['woken calls a second', 'wokenCalls', 1, 0],
  ['held INVITEs', 'held', 1, 0],
  ['calls in progress', 'talking', 1, 0],
  ['refresh pushes a second', 'refreshPushes', 1, 0],
  ['pushes to APNs a second', 'apns', 1, 0],
  ['pushes to FCM a second', 'fcm', 1, 0],
  ['refused with 503 a second', 'refused', 1, 0],
  ['CPU of an edge, % of a core', 'edgeCpu', 100, 1],
  ['commands a second to Redis', 'redisCommands', 1, 0],
  ['CPU of Redis, % of a core', 'redisCpu', 100, 1],
  ['network without media, Mbit/s', 'bits', 1e-6, 0],
];

function tablesOf({ phones, nodes, peaks, totals, ...plan }: Plan, target: number): string {
  const lines = rows.map(([name, of, scale, digits]) => [
    name,
    number(peaks[of].value * scale, digits),
    clock(peaks[of].at),
  ]);
  return (
    `${number(phones)} phones, ${number(nodes)} edges of one core\n\n${grid([['at the peak', '', 'at'], ...lines])}\n` +
    `in the day: ${number(totals.registers)} REGISTERs, ${number(totals.calls)} calls, ${number(totals.pushes)} pushes, ${number(totals.refused)} refused\n` +
    `memory: Redis ${number(plan.redisBytes / 1e9, 1)} GB, an edge ${number(plan.edgeBytes / 1e6)} MB above its start\n` +
    `needed: ${number(plan.nodesNeeded)} edges to stay at ${number(target * 100)} % of a core, ` +
    `${plan.shardsNeeded === 1 ? 'one Redis' : `a Redis Cluster of ${plan.shardsNeeded} primaries`}\n` +
    `runs out first with these edges and one Redis: ${plan.first.what}, at ${number(plan.first.phones)} phones\n`
  );
}

function carriedTable(carried: readonly Carried[]): string {
  const head = [
    'edges',
    'phones',
    'REGISTER/s',
    'calls/s',
    'held',
    'Redis commands/s',
    'Redis GB',
    'primaries',
    'APNs/s',
    'FCM/s',
  ];
  const lines = carried.map(({ nodes, phones, plan: { peaks, redisBytes, shardsNeeded } }) => [
    number(nodes),
    number(phones),
    ...[peaks.registers, peaks.calls, peaks.held, peaks.redisCommands].map(({ value }) => number(value)),
    number(redisBytes / 1e9, 1),
    number(shardsNeeded),
    number(peaks.apns.value),
    number(peaks.fcm.value),
  ]);
  return `\nwhat so many edges carry, by their CPU\n${grid([head, ...lines])}`;
}

function number(value: number, digits = 0): string {
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

try {
  main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
