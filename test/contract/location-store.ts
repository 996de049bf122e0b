/** What every LocationStore promises; each adapter's test file runs it. Promises about time are waited for, never timed. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keptUntil, liveBindings, wakeableBindings } from '../../lib/core/binding-set.ts';
import type { Binding } from '../../lib/core/binding.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import { aBinding } from '../support/a-binding.ts';
import { titled } from '../support/needs.ts';

export interface StoreUnderTest {
  /** empty but for `knownSecrets`; forgets within a second of keepUntil */
  readonly store: LocationStore;
  /** a second handle on the same data; left out where there is no such thing */
  readonly another?: LocationStore;
  close(): Promise<void>;
}

export const knownSecrets = [
  { user: 'alice', realm: 'example.com', md5: 'a'.repeat(32), sha256: 'b'.repeat(64) },
  { user: 'bob', realm: 'example.com', sha256: 'c'.repeat(64) },
  { user: 'o{d}d@u%7Bs:er', realm: 'A "quoted" realm\\ü', md5: 'd'.repeat(32) },
] as const;

const oddAors = [
  'alice@example.com',
  'Alice@example.com',
  '@example.com',
  ' @x',
  '{@x',
  '}@x',
  '{}@x',
  '{a}b@x',
  'a}b{c@x',
  '%7Ba%7D@x',
  '*@x',
  'a?[b]\\@x',
  'a:b@x',
  'a\r\nb\0c@x',
  '\0@x',
  '"quoted name"@x',
  "a'b@x",
  'ünï-ö@bücher.example',
  '日本😀@x',
  '\ud83d@x',
  '\ude00@x',
  '\ufffd@x',
  '\uffff@x',
  '',
  '1@2001:db8::1',
  `${'u'.repeat(300)}@x`,
  `${'u'.repeat(5000)}@x`,
  `${'u'.repeat(5000)}@y`,
  `${'ü'.repeat(900)}@x`,
];

const soon = (): number => Date.now() + 3_600_000;
const aor = 'alice@example.com';

export function locationStoreContract(name: string, make: () => Promise<StoreUnderTest>, skip?: string): void {
  describe.skipIf(skip !== undefined)(titled(`LocationStore contract: ${name}`, skip), () => {
    let under: StoreUnderTest;
    let store: LocationStore;

    beforeEach(async () => {
      under = await make();
      store = under.store;
    });
    afterEach(() => under.close());

    describe('read and swap', () => {
      it('knows nothing of an AOR that never registered', async () => {
        expect(await store.read(aor)).toEqual({ version: 0, bindings: [] });
      });

      it('gives back what was stored, field by field', async () => {
        const bindings = [
          aBinding({ path: ['<sip:edge.example;lr>', '<sip:[2001:db8::1];lr>'] }),
          aBinding({ id: 'other', q: 0, contact: '"Zoë 😀" <sip:zoë@192.0.2.9>;q=0.0' }),
        ];
        expect(await store.swap(aor, 0, bindings, soon())).toBe('stored');
        const set = await store.read(aor);
        expect(set.bindings).toEqual(bindings);
        expect(set.version).toBeGreaterThan(0);
        expect(Number.isSafeInteger(set.version)).toBe(true);
      });

      it('gives back every field that a binding can have', async () => {
        const full: Required<Binding> = {
          ...(aBinding() as Required<Binding>),
          formerTargets: ['sip:alice@192.0.2.16:50000', 'sip:alice@192.0.2.15:50000'],
          byPath: true,
          unsupportedPush: 'acme',
          wakeableUntil: 1_790_009_999_999,
          provisioned: true,
        };
        const { push } = full;
        const life = {
          voip: { environment: 'sandbox', suspects: ['a', 'b'], unanswered: 3, unansweredAt: 1_790_000_000_001 },
        };
        const dead = { ...full, id: 'dead', push: { ...push, deadSince: 1_790_000_000_002, life } } as Binding;
        const {
          push: _,
          instanceId: _i,
          regId: _r,
          userAgent: _u,
          upstreamExpiresAt: _e,
          ...plain
        } = aBinding({ id: 'plain' });
        const bindings = [full, dead, plain];
        await store.swap(aor, 0, bindings, soon());
        expect((await store.read(aor)).bindings).toEqual(bindings);
      });

      it('keeps what was stored when the writer goes on with its array', async () => {
        const bindings = [aBinding()];
        await store.swap(aor, 0, bindings, soon());
        bindings.push(aBinding({ id: 'later' }));
        expect((await store.read(aor)).bindings).toHaveLength(1);
      });

      it('takes contacts of 2,048 octets, ten of them', async () => {
        const bindings = Array.from({ length: 10 }, (_, i) =>
          aBinding({ id: `b${i}`, contact: `<sip:${'ü'.repeat(1024)}@192.0.2.1>`, instanceId: 'x'.repeat(2048) }),
        );
        expect(await store.swap(aor, 0, bindings, soon())).toBe('stored');
        expect((await store.read(aor)).bindings).toEqual(bindings);
      });

      it('replaces a set only at the version it has, and changes nothing otherwise', async () => {
        await store.swap(aor, 0, [aBinding({ cseq: 1 })], soon());
        const { version } = await store.read(aor);
        expect(await store.swap(aor, 0, [aBinding({ cseq: 2 })], soon())).toBe('conflict');
        expect(await store.swap(aor, version + 1, [aBinding({ cseq: 2 })], soon())).toBe('conflict');
        expect(await store.swap(aor, version + 1, [], soon())).toBe('conflict');
        expect(await store.swap(aor, 0, [], soon())).toBe('conflict');
        expect(await store.read(aor)).toEqual({ version, bindings: [aBinding({ cseq: 1 })] });
        expect(await store.swap(aor, version, [aBinding({ cseq: 2 })], soon())).toBe('stored');
      });

      it('refuses a version where nothing is stored', async () => {
        expect(await store.swap(aor, 1, [aBinding()], soon())).toBe('conflict');
        expect(await store.swap(aor, 1, [], soon())).toBe('conflict');
        expect(await store.swap(aor, 0, [], soon())).toBe('stored');
        expect((await store.read(aor)).version).toBe(0);
      });

      it('raises the version with every swap', async () => {
        let last = 0;
        for (let i = 0; i < 20; i += 1) {
          await store.swap(aor, last, [aBinding({ cseq: i })], soon());
          const { version } = await store.read(aor);
          expect(version).toBeGreaterThan(last);
          last = version;
        }
      });

      it('forgets the bindings when an empty set is stored', async () => {
        await store.swap(aor, 0, [aBinding()], soon());
        expect(await store.swap(aor, (await store.read(aor)).version, [], soon())).toBe('stored');
        expect((await store.read(aor)).bindings).toEqual([]);
      });

      it.each([
        ['one handle', false],
        ['two handles', true],
      ])('loses no update of 100 writers on one AOR over %s', async (_, twoHandles) => {
        // an adapter without a second handle has one that two writers share
        const second = twoHandles ? (under.another ?? store) : store;
        const handles = [store, second];
        await Promise.all(
          Array.from({ length: 100 }, async (_unused, i) => {
            const handle = handles[i % 2] ?? store;
            for (;;) {
              const { version, bindings } = await handle.read(aor);
              const count = (bindings[0]?.cseq ?? 0) + 1;
              if ((await handle.swap(aor, version, [aBinding({ cseq: count })], soon())) === 'stored') return;
            }
          }),
        );
        expect((await store.read(aor)).bindings[0]?.cseq).toBe(100);
      });

      it('lets exactly one of many writers with the same version win', async () => {
        const results = await Promise.all(
          Array.from({ length: 50 }, (_, i) => store.swap(aor, 0, [aBinding({ cseq: i })], soon())),
        );
        expect(results.filter((result) => result === 'stored')).toHaveLength(1);
      });

      it('shows a second handle what the first has stored', async (context) => {
        const { another } = under;
        if (another === undefined) return context.skip('one handle only');
        await store.swap(aor, 0, [aBinding({ cseq: 1 })], soon());
        await expect.poll(async () => (await another.read(aor)).bindings[0]?.cseq).toBe(1);
        expect(await another.swap(aor, (await another.read(aor)).version, [aBinding({ cseq: 2 })], soon())).toBe(
          'stored',
        );
        await expect.poll(async () => (await store.read(aor)).bindings[0]?.cseq).toBe(2);
        return undefined;
      });

      it('behaves like a map of sets under any order of swaps with right and stale versions', async () => {
        const step = fc.record({ who: fc.nat(2), age: fc.nat(3), empty: fc.boolean(), cseq: fc.nat(1000) });
        let run = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
            run += 1;
            const seen = new Map<string, number[]>();
            const model = new Map<string, readonly Binding[]>();
            for (const { who, age, empty, cseq } of steps) {
              const key = `u${who}@run${run}.example`;
              const versions = seen.get(key) ?? [0];
              seen.set(key, versions);
              const current = versions.at(-1);
              const expected = versions.at(-1 - Math.min(age, versions.length - 1)) ?? 0;
              const bindings = empty ? [] : [aBinding({ aor: key, cseq })];
              const result = await store.swap(key, expected, bindings, soon());
              expect(result).toBe(expected === current ? 'stored' : 'conflict');
              if (result === 'stored') model.set(key, bindings);
              const set = await store.read(key);
              expect(set.bindings).toEqual(model.get(key) ?? []);
              if (result === 'stored' && set.version !== 0) expect(versions).not.toContain(set.version);
              if (set.version !== versions.at(-1)) versions.push(set.version);
            }
          }),
          { numRuns: 30 },
        );
      });
    });

    describe('keepUntil', () => {
      it('forgets a set after its time and keeps the others', async () => {
        await store.swap('short@x', 0, [aBinding()], Date.now() + 30);
        await store.swap('long@x', 0, [aBinding()], soon());
        await expect.poll(async () => (await store.read('short@x')).version, { timeout: 5000 }).toBe(0);
        expect((await store.read('short@x')).bindings).toEqual([]);
        expect((await store.read('long@x')).bindings).toHaveLength(1);
      });

      it('[PN-EXP-04] keeps a phone that has lapsed as long as it may be woken, and no longer', async () => {
        const now = Date.now();
        const lapsed = (wakeableUntil: number): Binding => aBinding({ expiresAt: now - 1000, wakeableUntil });
        const brief = [lapsed(now + 1500)];
        const lasting = [lapsed(soon())];
        await store.swap('brief@x', 0, brief, keptUntil(brief));
        await store.swap('lasting@x', 0, lasting, keptUntil(lasting));
        const { bindings } = await store.read('brief@x');
        expect([liveBindings(bindings, now), wakeableBindings(bindings, now)]).toEqual([[], brief]);
        await expect.poll(async () => (await store.read('brief@x')).version, { timeout: 5000 }).toBe(0);
        expect(wakeableBindings((await store.read('lasting@x')).bindings, Date.now())).toEqual(lasting);
      });

      it('lets a later swap prolong or shorten the time', async () => {
        await store.swap('prolonged@x', 0, [aBinding()], Date.now() + 300);
        await store.swap('prolonged@x', (await store.read('prolonged@x')).version, [aBinding()], soon());
        await store.swap('shortened@x', 0, [aBinding()], soon());
        await store.swap('shortened@x', (await store.read('shortened@x')).version, [aBinding()], Date.now() + 400);
        await expect.poll(async () => (await store.read('shortened@x')).version, { timeout: 5000 }).toBe(0);
        expect((await store.read('prolonged@x')).bindings).toHaveLength(1);
      });

      it('takes a time that has already passed', async () => {
        expect(await store.swap(aor, 0, [aBinding()], Date.now() - 1000)).toBe('stored');
        await expect.poll(async () => (await store.read(aor)).version, { timeout: 5000 }).toBe(0);
      });

      it('takes a keepUntil with a fraction, and one in a hundred years', async () => {
        expect(await store.swap('fraction@x', 0, [aBinding()], soon() + 0.5)).toBe('stored');
        expect(await store.swap('century@x', 0, [aBinding()], Date.now() + 100 * 365 * 86_400_000)).toBe('stored');
        expect((await store.read('fraction@x')).bindings).toHaveLength(1);
        expect((await store.read('century@x')).bindings).toHaveLength(1);
      });

      it.each([
        ['was emptied', soon],
        ['was forgotten', () => Date.now() + 30],
      ])('never gives a version again after the set %s', async (how, keepUntil) => {
        const seen: number[] = [];
        for (let i = 0; i < 3; i += 1) {
          expect(await store.swap(aor, 0, [aBinding()], soon())).toBe('stored');
          const { version } = await store.read(aor);
          expect(seen).not.toContain(version);
          for (const old of seen) expect(await store.swap(aor, old, [aBinding({ cseq: 1 })], soon())).toBe('conflict');
          seen.push(version);
          await store.swap(aor, version, how === 'was emptied' ? [] : [aBinding()], keepUntil());
          await expect.poll(async () => (await store.read(aor)).version, { timeout: 5000 }).toBe(0);
        }
      });
    });

    describe('scan', () => {
      async function scanAll(limit: number, between: () => Promise<void> = async () => undefined): Promise<string[]> {
        const aors: string[] = [];
        let cursor: string | undefined = '';
        while (cursor !== undefined) {
          const page = await store.scan(cursor, limit);
          aors.push(...page.aors);
          cursor = page.next;
          await between();
        }
        return aors;
      }

      it('shows nothing of an empty store', async () => {
        expect(await scanAll(10)).toEqual([]);
      });

      it('shows every AOR with a binding and no other', async () => {
        for (let i = 0; i < 30; i += 1) await store.swap(`u${i}@x`, 0, [aBinding()], soon());
        await store.swap('u7@x', (await store.read('u7@x')).version, [], soon());
        await store.shared('token-key', () => 'k');
        const expected = Array.from({ length: 30 }, (_, i) => `u${i}@x`).filter((one) => one !== 'u7@x');
        for (const limit of [1, 7, 29, 1000]) expect(new Set(await scanAll(limit))).toEqual(new Set(expected));
      });

      it('misses nobody who stays while others come, go and refresh', async () => {
        const staying = Array.from({ length: 200 }, (_, i) => `stay${i}@x`);
        for (const one of staying) await store.swap(one, 0, [aBinding()], soon());
        for (let i = 0; i < 50; i += 1) await store.swap(`go${i}@x`, 0, [aBinding()], soon());
        let turn = 0;
        const seen = await scanAll(10, async () => {
          await store.swap(`come${turn}@x`, 0, [aBinding()], soon());
          const gone = `go${turn}@x`;
          await store.swap(gone, (await store.read(gone)).version, [], soon());
          const refreshed = staying[turn] ?? 'stay0@x';
          await store.swap(refreshed, (await store.read(refreshed)).version, [aBinding({ cseq: turn })], soon());
          turn += 1;
          if (turn > 500) throw new Error('the scan does not end');
        });
        expect(staying.filter((one) => !seen.includes(one))).toEqual([]);
      });

      it('starts anew at a cursor it does not know', async () => {
        await store.swap(aor, 0, [aBinding()], soon());
        for (const cursor of ['nonsense', '-1', '18446744073709551616', '{', '\0']) {
          await expect(store.scan(cursor, 10)).resolves.toHaveProperty('aors');
        }
      });
    });

    it('keeps AORs with odd characters and of any length apart', async () => {
      for (const [i, one] of oddAors.entries()) {
        expect(await store.swap(one, 0, [aBinding({ aor: one, cseq: i })], soon())).toBe('stored');
      }
      for (const [i, one] of oddAors.entries())
        expect((await store.read(one)).bindings[0]).toMatchObject({ aor: one, cseq: i });
      const seen: string[] = [];
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await store.scan(cursor, 5);
        seen.push(...page.aors);
        cursor = page.next;
      }
      expect(new Set(seen)).toEqual(new Set(oddAors));
    });

    describe('shared values', () => {
      it('makes a value once and gives it back ever after', async () => {
        expect(await store.shared('token-key', () => 'first')).toBe('first');
        expect(await store.shared('token-key', () => 'second')).toBe('first');
        expect(await store.shared('other-key', () => 'other ü')).toBe('other ü');
      });

      it('agrees on one value however many ask at once, over all handles', async () => {
        const handles = [store, under.another ?? store];
        const values = await Promise.all(
          Array.from({ length: 40 }, (_, i) => (handles[i % 2] ?? store).shared('token-key', () => `made by ${i}`)),
        );
        expect(new Set(values).size).toBe(1);
      });
    });

    describe('secrets', () => {
      it('gives the digests of known users', async () => {
        for (const { user, realm, ...digests } of knownSecrets) {
          expect(await store.readSecret(user, realm)).toEqual(digests);
        }
      });

      it('knows nothing of other users and realms', async () => {
        expect(await store.readSecret('carol', 'example.com')).toBeUndefined();
        expect(await store.readSecret('alice', 'example.org')).toBeUndefined();
        expect(await store.readSecret('', '')).toBeUndefined();
        expect(await store.readSecret('u'.repeat(10_000), 'r'.repeat(10_000))).toBeUndefined();
      });
    });

    describe('life', () => {
      it('answers a ping', async () => {
        await expect(store.ping()).resolves.toBeUndefined();
      });

      it('stores what was under way when close was called', async () => {
        const swaps = Array.from({ length: 50 }, (_, i) => store.swap(`u${i}@x`, 0, [aBinding()], soon()));
        await store.close();
        expect(new Set(await Promise.all(swaps))).toEqual(new Set(['stored']));
      });

      it('rejects everything after close with a code, and may be closed twice', async () => {
        await store.close();
        await store.close();
        const unavailable = { code: 'EDGE_STORE_UNAVAILABLE' };
        await expect(store.read(aor)).rejects.toMatchObject(unavailable);
        await expect(store.swap(aor, 0, [aBinding()], soon())).rejects.toMatchObject(unavailable);
        await expect(store.scan('', 10)).rejects.toMatchObject(unavailable);
        await expect(store.readSecret('alice', 'example.com')).rejects.toMatchObject(unavailable);
        await expect(store.shared('name', () => 'value')).rejects.toMatchObject(unavailable);
        await expect(store.ping()).rejects.toMatchObject(unavailable);
      });
    });
  });
}
