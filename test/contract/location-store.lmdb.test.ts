import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { aBinding } from '../support/a-binding.ts';
import { compiled } from '../support/compiled.ts';
import { knownSecrets, locationStoreContract } from './location-store.ts';

locationStoreContract('lmdb', async () => {
  const path = mkdtempSync(join(tmpdir(), 'reveille-lmdb-'));
  const options = { path, secrets: knownSecrets, sweepEveryMs: 10 };
  const store = await openLmdbStore(options);
  const another = await openLmdbStore(options);
  return {
    store,
    another,
    close: async () => {
      await Promise.all([store.close(), another.close()]);
      rmSync(path, { recursive: true });
    },
  };
});

describe('lmdb store', () => {
  let path: string;

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'reveille-lmdb-'));
  });
  afterEach(() => rmSync(path, { recursive: true }));

  describe('killed', () => {
    let child: ReturnType<typeof compiled>;

    beforeAll(() => {
      child = compiled('test/contract/children/swap-and-die.ts');
    });
    afterAll(() => child.remove());

    it('has what swap had confirmed after SIGKILL in the very next moment, twenty times', {
      timeout: 60_000,
    }, async () => {
      for (let cseq = 1; cseq <= 20; cseq += 1) {
        const died = spawnSync(process.execPath, [child.path, path, String(cseq), String((cseq % 5) * 40)]);
        expect([died.signal, String(died.stderr)]).toEqual(['SIGKILL', '']);
        if (cseq % 4 !== 0) continue; // the next child reads what this one has written
        const store = await openLmdbStore({ path });
        const { bindings, version } = await store.read('alice@example.com');
        expect(bindings).toEqual([aBinding({ cseq })]);
        expect(await store.swap('alice@example.com', version, bindings, Date.now() + 3_600_000)).toBe('stored');
        await store.close();
      }
    });
  });

  it('keeps sets and shared values over close and open, and gives no version again', async () => {
    const first = await openLmdbStore({ path });
    await first.swap('alice@example.com', 0, [aBinding()], Date.now() + 3_600_000);
    await first.swap('bob@example.com', 0, [aBinding()], Date.now() + 3_600_000);
    const bob = await first.read('bob@example.com');
    await first.swap('bob@example.com', bob.version, [], 0);
    await first.shared('token-key', () => 'made once');
    await first.close();

    const second = await openLmdbStore({ path });
    expect((await second.read('alice@example.com')).bindings).toEqual([aBinding()]);
    expect(await second.shared('token-key', () => 'made twice')).toBe('made once');
    await second.swap('bob@example.com', 0, [aBinding()], Date.now() + 3_600_000);
    expect((await second.read('bob@example.com')).version).toBeGreaterThan(bob.version);
    expect(await second.swap('bob@example.com', bob.version, [], 0)).toBe('conflict');
    await second.close();
  });

  it('makes a folder that only its user can read', async () => {
    const store = await openLmdbStore({ path: join(path, 'new', 'store') });
    await store.close();
    expect(statSync(join(path, 'new', 'store')).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['garbage', (data: string) => writeFileSync(data, 'this is not a database '.repeat(1000))],
    ['too short', (data: string) => writeFileSync(data, 'abc')],
    ['all zero', (data: string) => writeFileSync(data, Buffer.alloc(32_768))],
    ['a folder', (data: string) => mkdirSync(data)],
  ])('says so and does not crash when data.mdb is %s', async (_, spoil) => {
    spoil(join(path, 'data.mdb'));
    await expect(openLmdbStore({ path })).rejects.toMatchObject({
      code: 'EDGE_STORE_UNAVAILABLE',
      message: expect.stringContaining(path),
    });
  });

  it('refuses a folder that cannot be one', async () => {
    // /proc takes no folders, and Node's recursive mkdir would try for ever
    if (process.platform === 'linux') {
      await expect(openLmdbStore({ path: '/proc/reveille/data' })).rejects.toMatchObject({
        code: 'EDGE_STORE_UNAVAILABLE',
      });
    }
    writeFileSync(join(path, 'file'), '');
    await expect(openLmdbStore({ path: join(path, 'file') })).rejects.toMatchObject({ code: 'EDGE_STORE_UNAVAILABLE' });
  });

  it('reads but does not write when the disk is nearly full', async () => {
    const before = await openLmdbStore({ path });
    await before.swap('alice@example.com', 0, [aBinding()], Date.now() + 3_600_000);
    await before.close();
    const store = await openLmdbStore({ path, minFree: Number.MAX_SAFE_INTEGER });
    const { version, bindings } = await store.read('alice@example.com');
    expect(bindings).toEqual([aBinding()]);
    const full = { code: 'EDGE_STORE_UNAVAILABLE', message: expect.stringContaining('MiB are free') };
    await expect(store.swap('alice@example.com', version, [], 0)).rejects.toMatchObject(full);
    await expect(store.shared('name', () => 'value')).rejects.toMatchObject(full);
    await expect(store.ping()).rejects.toMatchObject(full);
    await store.close();
  });

  it('refuses a store of another format and leaves it alone', async () => {
    const root = open<string, string>({ path, noSubdir: false, encoding: 'string', maxDbs: 8 });
    await root.openDB({ name: 'meta', encoding: 'string' }).put('format', '99');
    await root.close();
    await expect(openLmdbStore({ path })).rejects.toMatchObject({
      code: 'EDGE_STORE_UNAVAILABLE',
      message: expect.stringContaining('format 99'),
    });
  });
});
