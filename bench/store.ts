/**
 * Speed and size of the location stores: read+swap pairs (one REGISTER each) with 100 in flight, bytes per binding, and the
 * longest time the event loop stood still while expired sets were swept. `node dist/bench/store.js [sets] [pairs] [memory,lmdb,redis]`
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Redis } from 'ioredis';
import { openLmdbStore } from '../lib/adapters/lmdb/location-store.ts';
import { openMemoryStore } from '../lib/adapters/memory/location-store.ts';
import { openRedis } from '../lib/adapters/redis/open-redis.ts';
import type { LocationStore } from '../lib/ports/location-store.ts';
import { aBinding } from '../test/support/a-binding.ts';
import { needs } from '../test/support/needs.ts';
import { startRedis } from '../test/support/redis-server.ts';

const sets = Number(process.argv[2] ?? 100_000);
const pairs = Number(process.argv[3] ?? 200_000);
const inFlight = 100;

/** A binding of the n-th phone whose random parts are as random as real ones. */
function bindingOf(n: number): ReturnType<typeof aBinding> {
  const hex = (octets: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(octets))).toString('hex');
  const token = hex(32);
  const instanceId = `urn:uuid:${crypto.randomUUID()}`;
  const sample = aBinding({ aor: aorOf(n) });
  const swapParts = (text: string): string =>
    text.replaceAll('0123456789abcdef'.repeat(4), token).replaceAll(sample.instanceId ?? '', instanceId);
  return {
    ...sample,
    id: hex(12),
    callId: hex(11),
    contact: swapParts(sample.contact),
    instanceId,
    ...(sample.push === undefined ? {} : { push: { ...sample.push, tokens: [{ kind: 'voip' as const, token }] } }),
  };
}

function aorOf(n: number): string {
  return `phone${n}@example.com`;
}

async function concurrently(count: number, task: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const n = next;
      next += 1;
      if (n >= count) return;
      await task(n);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

async function measure(name: string, store: LocationStore, bytes: () => Promise<number>): Promise<void> {
  const keepUntil = Date.now() + 3_600_000;
  const before = await bytes();
  await concurrently(sets, async (n) => void (await store.swap(aorOf(n), 0, [bindingOf(n)], keepUntil)));
  const size = ((await bytes()) - before) / sets;

  const took: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const start = performance.now();
  await concurrently(pairs, async (n) => {
    const aor = aorOf((n * 7919) % sets);
    const begun = performance.now();
    const { version, bindings } = await store.read(aor);
    const [first] = bindings;
    if (first === undefined) throw new Error(`${aor} was lost`);
    const result = await store.swap(
      aor,
      version,
      [{ ...first, cseq: first.cseq + 1, registeredAt: Date.now() }],
      keepUntil,
    );
    if (result === 'conflict') throw new Error(`${aor} was changed by somebody else`);
    took.push(performance.now() - begun);
  });
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  delay.disable();
  took.sort((a, b) => a - b);
  const at = (share: number): string => (took[Math.floor(took.length * share)] ?? 0).toFixed(2);
  console.log(
    `${name}: ${Math.round(pairs / seconds)} read+swap pairs/s, ${inFlight} in flight, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ` +
      `${((used.user + used.system) / pairs).toFixed(1)} us CPU a pair in this process, ${Math.round(size)} bytes a binding ` +
      `(JSON text: ${Buffer.byteLength(JSON.stringify(aBinding()))}), longest stall ${(delay.max / 1e6).toFixed(1)} ms`,
  );
}

async function sweepLmdb(path: string): Promise<void> {
  const past = Date.now() - 1;
  const writer = await openLmdbStore({ path });
  await concurrently(sets, async (n) => {
    const { version, bindings } = await writer.read(aorOf(n));
    await writer.swap(aorOf(n), version, bindings, past);
  });
  await writer.close();

  const store = await openLmdbStore({ path, sweepEveryMs: 1000 });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  const cpu = process.cpuUsage();
  while ((await store.scan('', 1)).aors.length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  const used = process.cpuUsage(cpu);
  delay.disable();
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `lmdb sweep of ${sets} expired sets: ${seconds.toFixed(1)} s, ` +
      `${((used.user + used.system) / 1e4 / seconds).toFixed(0)} % CPU, longest stall ${(delay.max / 1e6).toFixed(1)} ms`,
  );
  await store.close();
}

async function benchMemory(): Promise<void> {
  const store = openMemoryStore();
  await measure('memory', store, async () => process.memoryUsage().heapUsed);
  await store.close();
}

async function benchLmdb(): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'reveille-bench-'));
  const store = await openLmdbStore({ path });
  await measure('lmdb', store, async () => statSync(join(path, 'data.mdb')).size);
  await store.close();
  await sweepLmdb(path);
  rmSync(path, { recursive: true });
}

async function benchRedis(): Promise<void> {
  const missing = needs('redis-server');
  if (missing !== undefined) return console.log(`redis: skipped (${missing})`);
  const server = await startRedis();
  const { store, bus } = await openRedis({ url: server.url, keyPrefix: 'bench:' });
  const operator = new Redis(server.url);
  await measure('redis', store, async () => Number(/used_memory:(\d+)/.exec(await operator.info('memory'))?.[1]));
  await operator.quit();
  await bus.close();
  await store.close();
  return server.stop();
}

const benches = { memory: benchMemory, lmdb: benchLmdb, redis: benchRedis };
for (const [name, bench] of Object.entries(benches)) {
  if ((process.argv[4] ?? name).split(',').includes(name)) await bench();
}
