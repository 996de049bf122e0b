import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { recordsContract } from './records.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'reveille-records-'));

recordsContract('lmdb', async () => {
  const path = folder();
  const first = await openLmdbStore({ path });
  const second = await openLmdbStore({ path });
  return {
    records: first.records,
    another: second.records,
    close: async () => {
      await first.close();
      await second.close();
      rmSync(path, { recursive: true });
    },
  };
});

it('keeps its records and their versions over a restart', async () => {
  const path = folder();
  const first = await openLmdbStore({ path });
  const version = await first.records.swap('account', 'alice@example.com', 0, 'sealed');
  await first.close();
  const second = await openLmdbStore({ path });
  expect(await second.records.read('account', 'alice@example.com')).toEqual({
    name: 'alice@example.com',
    version,
    value: 'sealed',
  });
  expect(await second.records.swap('account', 'alice@example.com', version ?? 0, 'anew')).toBeGreaterThan(version ?? 0);
  await second.close();
  rmSync(path, { recursive: true });
});
