/** MailStore in one table of the lmdb file: a JSON list for each AOR. One process owns the file, so turns taken here are enough. */
import type { Database } from 'lmdb';
import type { Aor } from '../../core/binding.ts';
import type { MailStore, StoredMessage } from '../../ports/mail-store.ts';
import { keyOf } from './encoding.ts';
import type { GroupCommit } from './group-commit.ts';

type Attempt = <T>(what: 'read' | 'written', task: () => Promise<T>) => Promise<T>;

/** `attempt` turns what lmdb throws into EDGE_STORE_UNAVAILABLE. */
export function lmdbMail(table: Database<string, string>, writes: GroupCommit, attempt: Attempt): MailStore {
  /** the last change of an AOR that is under way */
  const turns = new Map<string, Promise<unknown>>();
  const listOf = (key: string): readonly StoredMessage[] => {
    const text = table.get(key);
    return text === undefined ? [] : (JSON.parse(text) as readonly StoredMessage[]);
  };
  const change = <T>(aor: Aor, task: (key: string) => Promise<T>): Promise<T> =>
    attempt('written', async () => {
      const key = keyOf(aor);
      const before = turns.get(key);
      const turn = (async () => {
        await before?.catch(() => undefined); // whoever asked for it has heard
        return task(key);
      })();
      turns.set(key, turn);
      try {
        return await turn;
      } finally {
        if (turns.get(key) === turn) turns.delete(key);
      }
    });
  return {
    keep: (message, most) =>
      change(message.aor, async (key) => {
        const others = listOf(key);
        if (others.some(({ id }) => id === message.id)) return 'known';
        if (others.length >= most) return 'full';
        await writes.add(() => table.put(key, JSON.stringify([...others, message])));
        return 'kept';
      }),
    waiting: (aor) => attempt('read', async () => listOf(keyOf(aor))),
    drop: (aor, id) =>
      change(aor, async (key) => {
        const others = listOf(key);
        const left = others.filter((one) => one.id !== id);
        if (left.length === others.length) return;
        await writes.add(() => (left.length === 0 ? table.remove(key) : table.put(key, JSON.stringify(left))));
      }),
    scan: (cursor, limit) =>
      attempt('read', async () => {
        const aors: Aor[] = [];
        const after = cursor.startsWith('>') ? cursor.slice(1) : '';
        let last: string | undefined;
        const range = after === '' ? { limit } : { start: after, exclusiveStart: true, limit };
        for (const { key, value } of table.getRange(range)) {
          last = key;
          const first = (JSON.parse(value) as readonly StoredMessage[])[0];
          if (first !== undefined) aors.push(first.aor);
        }
        return { aors, next: last === undefined ? undefined : `>${last}` };
      }),
  };
}
