import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { open } from 'lmdb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeAor, decodeBindings, decodeKeepUntil, encode, keyOf } from '../../lib/adapters/lmdb/encoding.ts';
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

    it('has what swap had confirmed after SIGKILL in the very next moment, twenty times', { timeout: 60_000 }, async () => {
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
    writeFileSync(join(path, 'file'), '');
    await expect(openLmdbStore({ path: join(path, 'file') })).rejects.toMatchObject({ code: 'EDGE_STORE_UNAVAILABLE' });
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

describe('encoding', () => {
  it('reads back any set under any AOR', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.maxSafeNat(), (aor, keepUntil) => {
        const key = keyOf(aor);
        const text = encode(aor, key, [aBinding({ aor })], keepUntil);
        expect(decodeBindings(text)).toEqual([aBinding({ aor })]);
        expect(decodeAor(key, text)).toBe(aor);
        expect(decodeKeepUntil(text)).toBe(keepUntil);
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(400);
      }),
    );
  });

  it.each(['', '[', '[]', '{}', 'null', '[1,2]', '["x",[]', '\0\0'])('takes %j for an empty set that may go', (text) => {
    expect(decodeBindings(text)).toEqual([]);
    expect(decodeKeepUntil(text)).toBeLessThan(Date.now());
    expect(decodeAor(keyOf('ü'.repeat(1000)), text)).toBeUndefined();
  });
});
