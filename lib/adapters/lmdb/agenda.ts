/**
 * Agenda in two tables of the lmdb file: the time of each task (kept as its version, so that lmdb compares it inside the write
 * transaction), and the tasks in order of time. A row of the second that the first does not confirm is out of date and goes
 * when it comes up, so no write has to wait for a read. A task that comes up sooner anyway keeps its time: a phone that registers
 * often costs a look instead of two rows for each REGISTER.
 */
import type { Database } from 'lmdb';
import type { Agenda, ClaimedTask } from '../../ports/agenda.ts';
import type { GroupCommit } from './group-commit.ts';

export interface AgendaTables {
  /** task: nothing, version: ms since the epoch */
  readonly tasks: Database<string, string>;
  /** [ms since the epoch, task]: nothing */
  readonly times: Database<string, [number, string]>;
}

/** `attempt` turns what lmdb throws into EDGE_STORE_UNAVAILABLE. */
export function lmdbAgenda(
  { tasks, times }: AgendaTables,
  writes: GroupCommit,
  attempt: <T>(task: () => Promise<T>) => Promise<T>,
): Agenda {
  const together = async (...puts: (() => Promise<unknown>)[]): Promise<void> => {
    await Promise.all(puts.map((put) => writes.add(put)));
  };
  /** the longest lease given out: what has a later time is in nobody's hands */
  let leasedUntil = 0;
  const put = async (task: string, at: number): Promise<void> => {
    const known = tasks.getEntry(task)?.version;
    if (known !== undefined && known > leasedUntil && known <= at) return;
    await together(
      () => tasks.put(task, '', at),
      () => times.put([at, task], ''),
    );
  };
  return {
    put: (task, at) => attempt(() => put(task, at)),
    claim: (now, until, limit) =>
      attempt(async () => {
        leasedUntil = Math.max(leasedUntil, until);
        const due: [number, string][] = [];
        for (const key of times.getKeys({ start: [0], end: [now, '\u{10ffff}'] })) {
          const [at, task] = key;
          if (tasks.getEntry(task)?.version === at) due.push(key);
          else void writes.add(() => times.remove(key)).catch(() => undefined); // somebody else's write tells
          if (due.length === limit) break;
        }
        const won = await Promise.all(due.map(([at, task]) => writes.add(() => tasks.put(task, '', until, at))));
        const ours = due.filter((_, index) => won[index]);
        await together(
          ...ours.map((key) => () => times.remove(key)),
          ...ours.map(
            ([, task]) =>
              () =>
                times.put([until, task], ''),
          ),
        );
        return ours.map(([, task]): ClaimedTask => ({ task, until }));
      }),
    settle: ({ task, until }, next) =>
      attempt(async () => {
        if (next === undefined) {
          await writes.add(() => tasks.remove(task, until));
          await together(() => times.remove([until, task]));
          return;
        }
        if (!(await writes.add(() => tasks.put(task, '', next, until)))) return;
        await together(
          () => times.remove([until, task]),
          () => times.put([next, task], ''),
        );
      }),
  };
}
