/** Records in one table of the lmdb file, in order of kind and name; lmdb compares versions inside the write transaction. */
import type { Database } from 'lmdb';
import type { RecordKind, Records, StoredRecord } from '../../ports/records.ts';
import type { GroupCommit } from './group-commit.ts';

/** `attempt` turns what lmdb throws into EDGE_STORE_UNAVAILABLE. */
export function lmdbRecords(
  table: Database<string, string>,
  writes: GroupCommit,
  attempt: <T>(what: 'read' | 'written', task: () => T | Promise<T>) => Promise<T>,
): Records {
  let last = 0;
  /** Microseconds, so that no name meets a version it had before it was forgotten. */
  const versionAbove = (expected: number): number => {
    last = Math.max(Date.now() * 1000, last + 1, expected + 1);
    return last;
  };
  return {
    read: (kind, name) =>
      attempt('read', (): StoredRecord | undefined => {
        const entry = table.getEntry(keyOf(kind, name));
        return entry === undefined ? undefined : { name, version: entry.version ?? 0, value: entry.value };
      }),
    swap: (kind, name, expected, value) =>
      attempt('written', async () => {
        const key = keyOf(kind, name);
        if (value === undefined) {
          if (expected === 0) return table.getEntry(key) === undefined ? 0 : undefined;
          return (await writes.add(() => table.remove(key, expected))) ? 0 : undefined;
        }
        const version = versionAbove(expected);
        const only = expected === 0 ? null : expected;
        return (await writes.add(() => table.put(key, value, version, only as number))) ? version : undefined;
      }),
    // the cursor is the key of the last one shown, behind a `>`
    scan: (kind, cursor, limit) =>
      attempt('read', () => {
        const most = Math.max(1, limit);
        const [first, end] = [`${kind} `, `${kind}!`];
        const after = cursor.startsWith(`>${first}`) ? cursor.slice(1) : undefined;
        const records: StoredRecord[] = [];
        let shown: string | undefined;
        for (const { key, value, version } of table.getRange({
          start: after ?? first,
          ...(after === undefined ? {} : { exclusiveStart: true }),
          end,
          limit: most,
          versions: true,
        })) {
          shown = key;
          records.push({ name: decodeURIComponent(key.slice(first.length)), version: version ?? 0, value });
        }
        return { records, next: records.length < most || shown === undefined ? undefined : `>${shown}` };
      }),
  };
}

/** Printable, whatever the name: control characters do not come back from lmdb's keys as they went in. */
function keyOf(kind: RecordKind, name: string): string {
  return `${kind} ${encodeURIComponent(name)}`;
}
