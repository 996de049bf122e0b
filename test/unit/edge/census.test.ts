/** The census against a moved clock: what it counts, how little it asks for at once, and that of several edges one counts. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Census, startCensus } from '../../../apps/edge/census.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { memoryRecords } from '../../../lib/adapters/memory/records.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import type { Records } from '../../../lib/ports/records.ts';
import { aBinding } from '../../support/a-binding.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const start = 1_790_000_000_000;

async function storeOf(phones: number): Promise<LocationStore> {
  const store = openMemoryStore({ now: () => start });
  for (let n = 0; n < phones; n++) await put(store, `u${n}@example.com`, {});
  return store;
}

async function put(store: LocationStore, aor: string, changes: Partial<Binding>): Promise<void> {
  const binding = aBinding({ aor, registeredAt: start, expiresAt: start + 86_400_000, ...changes });
  await store.swap(aor, (await store.read(aor)).version, [binding], start + 86_400_000);
}

interface Node {
  readonly census: Census;
  readonly telemetry: TelemetryRecorder;
  /** pages asked of the store */
  pages(): number;
  /** most sets asked of the store and not yet answered */
  mostAtOnce(): number;
}

function aNode(store: LocationStore, clock: MovedClock, shared?: Records): Node {
  const telemetry = new TelemetryRecorder();
  let pages = 0;
  let open = 0;
  let most = 0;
  const watched: Pick<LocationStore, 'scan' | 'read'> = {
    scan: (cursor, limit) => {
      pages++;
      return store.scan(cursor, limit);
    },
    read: async (aor) => {
      most = Math.max(most, ++open);
      await nextTurn();
      open--;
      return store.read(aor);
    },
  };
  const census = startCensus({ store: watched, telemetry, isAwake: () => false, clock, shared });
  return { census, telemetry, pages: () => pages, mostAtOnce: () => most };
}

/** Moves the clock on in steps, with time for what is done in each. */
async function pass(clock: MovedClock, ms: number): Promise<void> {
  const until = clock.now() + ms;
  while (clock.now() < until) {
    clock.move(Math.min(until - clock.now(), Math.max(1, (clock.next ?? until) - clock.now())));
    for (let turn = 0; turn < 8; turn++) await nextTurn();
  }
}

describe('census', () => {
  it('counts every binding by its state', async () => {
    const clock = new MovedClock(start);
    const store = await storeOf(3);
    const { push: _, ...plain } = aBinding();
    await store.swap('plain@example.com', 0, [{ ...plain, expiresAt: start + 86_400_000 }], start + 86_400_000);
    const { census, telemetry } = aNode(store, clock);
    expect(census.counted).toBeUndefined();
    await pass(clock, 2000);
    expect(census.counted).toEqual({ awake: 0, asleep: 3, plain: 1, unpushable: 0, lapsed: 0 });
    expect(telemetry.level('bindings', { state: 'asleep' })).toBe(3);
    census.stop();
    expect(clock.waiting).toBe(0);
  });

  it('never asks for more than a page at once, and rests between two', async () => {
    const clock = new MovedClock(start);
    const node = aNode(await storeOf(1050), clock);
    await pass(clock, 60_000);
    expect(node.census.counted?.asleep).toBe(1050);
    expect(node.mostAtOnce()).toBeLessThanOrEqual(100);
    expect(node.pages()).toBeGreaterThan(10);
    node.census.stop();
  });

  it('of three edges on one store one counts, and all tell its figures', async () => {
    const clock = new MovedClock(start);
    const store = await storeOf(250);
    const records = memoryRecords();
    const nodes = Array.from({ length: 3 }, () => aNode(store, clock, records));
    await pass(clock, 15_000);
    expect(nodes.map(({ census }) => census.counted?.asleep)).toEqual([250, 250, 250]);
    expect(nodes.reduce((sum, { pages }) => sum + pages(), 0)).toBe(3);
    // and again later, whoever it is then
    await put(store, 'another@example.com', {});
    await pass(clock, 90_000);
    expect(nodes.map(({ census }) => census.counted?.asleep)).toEqual([251, 251, 251]);
    for (const { census } of nodes) census.stop();
  });

  it('another edge counts when the one that began dies, and not before', async () => {
    const clock = new MovedClock(start);
    const store = await storeOf(250);
    const records = memoryRecords();
    const dying = aNode(store, clock, records);
    clock.move(1000);
    for (let turn = 0; turn < 20 && dying.pages() === 0; turn++) await nextTurn();
    expect(dying.pages()).toBeGreaterThan(0);
    dying.census.stop();
    for (let turn = 0; turn < 8; turn++) await nextTurn();
    const heir = aNode(store, clock, records);
    await pass(clock, 15_000);
    expect([heir.pages(), heir.census.counted]).toEqual([0, undefined]);
    await pass(clock, 15_000);
    expect(heir.census.counted?.asleep).toBe(250);
    heir.census.stop();
  });

  it('counts all the same where the record is none of ours', async () => {
    const clock = new MovedClock(start);
    const records = memoryRecords();
    await records.swap('census', 'bindings', 0, '{"counting": "perhaps"}');
    const { census } = aNode(await storeOf(2), clock, records);
    await pass(clock, 15_000);
    expect(census.counted?.asleep).toBe(2);
    census.stop();
  });
});
