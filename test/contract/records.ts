/** What every keeper of records does. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Records } from '../../lib/ports/records.ts';

export interface RecordsUnderTest {
  readonly records: Records;
  /** another node's view of the same records */
  readonly another: Records;
  close(): Promise<void>;
}

/** `missing`: why it cannot run here. */
export function recordsContract(name: string, open: () => Promise<RecordsUnderTest>, missing?: string): void {
  describe.skipIf(missing !== undefined)(
    `records in ${name}${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    () => {
      let under: RecordsUnderTest;
      beforeEach(async () => {
        under = await open();
      });
      afterEach(() => under.close());

      it('gives back what was written, of its kind and name only', async () => {
        const { records, another } = under;
        const version = await records.swap('account', 'alice@example.com', 0, '{"a":"ü"}');
        expect(version).toBeGreaterThan(0);
        expect(await another.read('account', 'alice@example.com')).toEqual({
          name: 'alice@example.com',
          version,
          value: '{"a":"ü"}',
        });
        expect(await records.read('registration', 'alice@example.com')).toBeUndefined();
        expect(await records.read('account', 'alice@example.org')).toBeUndefined();
      });

      it('of many writers that have seen the same version one gets through', async () => {
        const { records, another } = under;
        const first = await Promise.all(
          [records, another, records, another].map((each, at) => each.swap('registration', 'x', 0, String(at))),
        );
        const [version] = first.filter((each) => each !== undefined);
        expect(first.filter((each) => each !== undefined)).toHaveLength(1);
        const second = await Promise.all(
          [another, records, another].map((each, at) => each.swap('registration', 'x', version ?? 0, `again ${at}`)),
        );
        const winners = second.filter((each) => each !== undefined);
        expect(winners).toHaveLength(1);
        expect(winners[0]).toBeGreaterThan(version ?? 0);
        expect(await records.swap('registration', 'x', 0, 'late')).toBeUndefined();
      });

      it('a record that was forgotten and comes back has no version it had before', async () => {
        const { records } = under;
        const old = (await records.swap('node', 'n', 0, 'one')) ?? 0;
        expect(await records.swap('node', 'n', old, undefined)).toBe(0);
        expect(await records.read('node', 'n')).toBeUndefined();
        expect(await records.swap('node', 'n', old, 'two')).toBeUndefined();
        expect(await records.swap('node', 'n', 0, 'two')).toBeGreaterThan(old);
        expect(await records.swap('node', 'n', old, undefined)).toBeUndefined();
        expect(await records.swap('node', 'other', 0, undefined)).toBe(0);
      });

      it('shows every record of a kind in pages, odd names too', async () => {
        const { records } = under;
        const names = Array.from({ length: 250 }, (_, at) => `user ${at} {%}\u00e4\u0007@example.com`);
        for (const each of names) await records.swap('account', each, 0, `value of ${each}`);
        await records.swap('registration', 'somebody', 0, 'else');
        const found = new Map<string, string>();
        for (let cursor: string | undefined = ''; cursor !== undefined; ) {
          const page: Awaited<ReturnType<Records['scan']>> = await records.scan('account', cursor, 100);
          for (const { name: each, value } of page.records) found.set(each, value);
          cursor = page.next;
        }
        expect([...found.keys()].sort()).toEqual([...names].sort());
        expect(found.get(names[7] ?? '')).toBe(`value of ${names[7]}`);
        expect((await records.scan('account', 'no cursor of ours', 10)).records.length).toBeGreaterThan(0);
      });
    },
  );
}
