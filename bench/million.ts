/** A million phones in a store and before an edge: size, speed, and the longest time anything stood still. */
import { parseArgs } from 'node:util';
import { cpus } from 'node:os';
import { needs } from '../test/support/needs.ts';
import { grid } from './grid.ts';
import { onLmdb } from './million/on-lmdb.ts';
import { onRedis, type Phase } from './million/on-redis.ts';

const help = `Usage: node scripts/run.mjs bench/million [redis] [lmdb] [options]

  redis       in a Redis of its own (needs redis-server)
  lmdb        in an lmdb file

Options
  --phones N  how many (1000000)
  --json      one JSON object on stdout instead of tables
`;

const parts = { redis: onRedis, lmdb: onLmdb } as const;

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
    const why = name === 'redis' ? needs('redis-server') : undefined;
    if (why !== undefined) process.stderr.write(`${name}: skipped (${why})\n`);
    else results[name] = await part(phones, (text) => process.stderr.write(`[${name}] ${text}\n`));
  }
  process.stdout.write(values.json === true ? `${JSON.stringify(results, null, 2)}\n` : tablesOf(results));
}

function tablesOf(results: Readonly<Record<string, unknown>>): string {
  const texts = Object.entries(results).map(([name, result]) => {
    if (typeof result !== 'object' || result === null) return `${name}: ${String(result)}\n`;
    const { phases, ...figures } = result as { readonly phases: readonly Phase[] } & Record<string, unknown>;
    const facts = Object.entries(figures).map(([what, value]) => `  ${what}: ${textOf(value)}\n`);
    const head = ['', 's', 'loop ms', 'idle thread ms', 'ping p99 ms', 'ping max', 'slowest command'];
    const rows = phases.map(({ name: phase, seconds, stalls, ping, slowest }) => [
      phase,
      seconds.toFixed(1),
      stalls.loop.toFixed(1),
      stalls.idle.toFixed(1),
      ping?.p99.toFixed(1) ?? '-',
      ping?.max.toFixed(1) ?? '-',
      slowest === undefined ? '-' : `${slowest.ms.toFixed(1)} ms ${slowest.command}`,
    ]);
    return `\n${name}\n${facts.join('')}${grid([head, ...rows])}`;
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

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
