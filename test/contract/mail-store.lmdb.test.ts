import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { aMessage, mailStoreContract } from './mail-store.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'reveille-mail-'));

mailStoreContract('lmdb', async () => {
  const path = folder();
  const store = await openLmdbStore({ path });
  return {
    store: store.mail,
    close: async () => {
      await store.close();
      rmSync(path, { recursive: true });
    },
  };
});

test('lmdb: messages are still there after a restart', async () => {
  const path = folder();
  const before = await openLmdbStore({ path });
  await before.mail.keep(aMessage('1'), 10);
  await before.close();
  const after = await openLmdbStore({ path });
  expect((await after.mail.waiting('alice@example.com')).map(({ id }) => id)).toEqual(['1']);
  await after.close();
  rmSync(path, { recursive: true });
});
