import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
