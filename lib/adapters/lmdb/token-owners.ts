/** TokenOwners in one table of the lmdb file: `until aor` by name. One process owns the file, so turns taken here are enough. */
import type { Database } from 'lmdb';
import type { Aor } from '../../core/binding.ts';
import type { TokenOwners } from '../../ports/token-owners.ts';
import type { GroupCommit } from './group-commit.ts';

type Attempt = <T>(what: 'read' | 'written', task: () => Promise<T>) => Promise<T>;

/** rows looked at with each claim, so that those past their time go without a timer */
const slice = 4;

/** `attempt` turns what lmdb throws into EDGE_STORE_UNAVAILABLE. */
export function lmdbTokenOwners(
  table: Database<string, string>,
  writes: GroupCommit,
  attempt: Attempt,
  now: () => number = Date.now,
): TokenOwners {
  /** claims whose write is not yet to be read */
  const underWay = new Map<string, string>();
  let swept = '';
  const sweep = (at: number): void => {
    const range = swept === '' ? { limit: slice } : { start: swept, exclusiveStart: true, limit: slice };
    let last = '';
    for (const { key, value } of table.getRange(range)) {
      last = key;
      if (untilOf(value) <= at && !underWay.has(key))
        // somebody else's write tells
        void writes.add(async () => underWay.has(key) || (await table.remove(key))).catch(() => undefined);
    }
    swept = last;
  };
  return {
    claim: (name, aor, until) =>
      attempt('written', async () => {
        const at = now();
        sweep(at);
        const before = underWay.get(name) ?? table.get(name);
        const value = `${Math.ceil(until)} ${aor}`;
        const known = before === undefined || untilOf(before) <= at ? undefined : aorOf(before);
        underWay.set(name, value);
        try {
          await writes.add(() => table.put(name, value));
        } finally {
          if (underWay.get(name) === value) underWay.delete(name);
        }
        return known;
      }),
  };
}

function untilOf(value: string): number {
  const until = Number.parseInt(value, 10);
  return Number.isNaN(until) ? 0 : until;
}

function aorOf(value: string): Aor {
  return value.slice(value.indexOf(' ') + 1);
}
