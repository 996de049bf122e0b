/** Records in Maps: forget everything when the process ends. */
import type { RecordKind, Records, StoredRecord } from '../../ports/records.ts';

export function memoryRecords(): Records {
  const kinds = new Map<RecordKind, Map<string, StoredRecord>>();
  /** names in order; made anew after one has come or gone */
  const inOrder = new Map<RecordKind, readonly string[]>();
  let last = 0;
  const of = (kind: RecordKind): Map<string, StoredRecord> => {
    const known = kinds.get(kind) ?? new Map<string, StoredRecord>();
    kinds.set(kind, known);
    return known;
  };
  return {
    read: async (kind, name) => of(kind).get(name),
    swap: async (kind, name, expected, value) => {
      if ((of(kind).get(name)?.version ?? 0) !== expected) return undefined;
      if (value === undefined) {
        of(kind).delete(name);
        inOrder.delete(kind);
        return 0;
      }
      last += 1;
      if (expected === 0) inOrder.delete(kind);
      of(kind).set(name, { name, version: last, value });
      return last;
    },
    // the cursor is the last name shown
    scan: async (kind, cursor, limit) => {
      const names = inOrder.get(kind) ?? [...of(kind).keys()].sort();
      inOrder.set(kind, names);
      const after = cursor.startsWith('>') ? cursor.slice(1) : '';
      const from = names.findIndex((name) => name > after);
      const page = from < 0 ? [] : names.slice(from, from + Math.max(1, limit));
      const end = page.at(-1);
      return {
        records: page.flatMap((name) => of(kind).get(name) ?? []),
        next: end === undefined || end === names.at(-1) ? undefined : `>${end}`,
      };
    },
  };
}
