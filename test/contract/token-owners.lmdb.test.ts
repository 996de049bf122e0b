import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { tokenOwnersContract } from './token-owners.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'reveille-owners-'));

// one process has this file to itself, so there is no other node
tokenOwnersContract('lmdb', async () => {
  const path = folder();
  const store = await openLmdbStore({ path });
  return {
    owners: store.owners,
    another: store.owners,
    close: async () => {
      await store.close();
      rmSync(path, { recursive: true });
    },
  };
});

it('knows the owners after a restart', async () => {
  const path = folder();
  const first = await openLmdbStore({ path });
  await first.owners.claim('kept', 'anna@example.org', Date.now() + 60_000);
  await first.close();
  const second = await openLmdbStore({ path });
  expect(await second.owners.claim('kept', 'berta@example.org', Date.now() + 60_000)).toBe('anna@example.org');
  await second.close();
  rmSync(path, { recursive: true });
});
