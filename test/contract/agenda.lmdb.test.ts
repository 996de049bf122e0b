import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { expect, it } from 'vitest';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { agendaContract } from './agenda.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'reveille-agenda-'));

// one process has this file to itself, so there is no other node
agendaContract('lmdb', async () => {
  const path = folder();
  const store = await openLmdbStore({ path });
  return {
    agenda: store.agenda,
    another: store.agenda,
    close: async () => {
      await store.close();
      rmSync(path, { recursive: true });
    },
  };
});

it('keeps its tasks over a restart, also the ones that were claimed', async () => {
  const path = folder();
  const first = await openLmdbStore({ path });
  await first.agenda.put('claimed', 1000);
  await first.agenda.put('waiting', 5000);
  await first.agenda.claim(2000, 3000, 1);
  await first.close();
  const second = await openLmdbStore({ path });
  expect(await second.agenda.claim(6000, 9000, 10)).toEqual([
    { task: 'claimed', until: 9000 },
    { task: 'waiting', until: 9000 },
  ]);
  await second.close();
  rmSync(path, { recursive: true });
});

it('has one row for a phone that registers again and again, and comes back to it in time', async () => {
  const path = folder();
  const store = await openLmdbStore({ path });
  for (let at = 100_000; at < 100_200; at++) await store.agenda.put('often', at);
  expect(await store.agenda.claim(99_999, 160_000, 10)).toEqual([]);
  // the claim has made all before 160,000 somebody's, so this one is written again
  await store.agenda.put('often', 150_000);
  expect(await store.agenda.claim(149_999, 210_000, 10)).toEqual([]);
  expect(await store.agenda.claim(150_000, 210_000, 10)).toEqual([{ task: 'often', until: 210_000 }]);
  for (let at = 400_000; at < 400_200; at++) await store.agenda.put('often', at);
  await store.close();
  const root = open<string, string>({ path });
  expect(root.openDB({ name: 'agenda times', encoding: 'string' }).getCount()).toBeLessThanOrEqual(2);
  await root.close();
  rmSync(path, { recursive: true });
});
