/** A million phones in a store and before an edge: size, speed, and the longest time anything stood still. */
import { parseArgs } from 'node:util';
import { cpus } from 'node:os';
import { needs } from '../test/support/needs.ts';
import { grid } from './grid.ts';
import { lmdbEdge, redisEdge } from './million/before-edge.ts';
import { onLmdb } from './million/on-lmdb.ts';
import { onRedis } from './million/on-redis.ts';
import { type Phase, tableOf } from './million/phase.ts';

const help = `Usage: node scripts/run.mjs bench/million [NAME ...] [options]

  redis       in a Redis of its own (needs redis-server)
  lmdb        in an lmdb file
  redis-edge  before an edge on such a Redis: ready, listed, ended
  lmdb-edge   before an edge on such a file
              (without a name: all of them)

Options
  --phones N  how many (1000000)
  --json      one JSON object on stdout instead of tables
`;

const parts = { redis: onRedis, lmdb: onLmdb, 'redis-edge': redisEdge, 'lmdb-edge': lmdbEdge } as const;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { phones: { type: 'string', default: '1000000' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help === true) return void process.stdout.write(help);
  const phones = Number(values.phones);
  if (!Number.isInteger(phones) || phones < 1) throw new Error(`--phones: expected a number, found ${values.phones}`);
  const names = positionals.length === 0 ? Object.keys(parts) : positionals;
  const results: Record<string, unknown> = {
    started: new Date().toISOString(),
    machine: `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}`,
  };
  for (const name of names) {
    const part = parts[name as keyof typeof parts];
    if (part === undefined) throw new Error(`no measurement "${name}"; there are ${Object.keys(parts).join(', ')}`);
    const why = name.startsWith('redis') ? needs('redis-server') : undefined;
    if (why !== undefined) process.stderr.write(`${name}: skipped (${why})\n`);
    else results[name] = await part(phones, (text) => process.stderr.write(`[${name}] ${text}\n`));
  }
  process.stdout.write(values.json === true ? `${JSON.stringify(results, null, 2)}\n` : tablesOf(results));
}

function tablesOf(results: Readonly<Record<string, unknown>>): string {
  const texts = Object.entries(results).map(([name, result]) => {
    if (typeof result !== 'object' || result === null) return `${name}: ${String(result)}\n`;
    const { phases, ...figures } = result as { readonly phases: readonly Phase[] };
    const facts = Object.entries(figures).map(([what, value]) => `  ${what}: ${textOf(value)}\n`);
    return `\n${name}\n${facts.join('')}${grid(tableOf(phases))}`;
  });
  return texts.join('');
}

function textOf(value: unknown): string {
  if (typeof value === 'number') return value.toLocaleString('en', { maximumFractionDigits: 1 });
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, each]) => `${name} ${textOf(each)}`)
    .join(', ');
}

// so that servers of ours end with us
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
