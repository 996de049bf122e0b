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

/** Tasks claimed, and rows looked at, in one go: a few milliseconds of work, then others have their turn. */
const sliceSize = 100;

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
  const claimSlice = async (now: number, until: number, limit: number) => {
    const due: [number, string][] = [];
    const gone: [number, string][] = [];
    for (const key of times.getKeys({ start: [0], end: [now, '\u{10ffff}'], limit: sliceSize })) {
      const [at, task] = key;
      if (tasks.getEntry(task)?.version === at) due.push(key);
      else gone.push(key);
      if (due.length === limit) break;
    }
    const won = await Promise.all([
      ...due.map(([at, task]) => writes.add(() => tasks.put(task, '', until, at))),
      // a row that could not be taken away comes up again
      ...gone.map((key) => writes.add(() => times.remove(key))),
    ]);
    const ours = due.filter((_, index) => won[index]);
    await together(
      ...ours.map((key) => () => times.remove(key)),
      ...ours.map(
        ([, task]) =>
          () =>
            times.put([until, task], ''),
      ),
    );
    return {
      ours: ours.map(([, task]): ClaimedTask => ({ task, until })),
      last: due.length < limit && due.length + gone.length < sliceSize,
    };
  };
  return {
    put: (task, at) => attempt(() => put(task, at)),
    claim: (now, until, limit) =>
      attempt(async () => {
        leasedUntil = Math.max(leasedUntil, until);
        const claimed: ClaimedTask[] = [];
        while (claimed.length < limit) {
          const { ours, last } = await claimSlice(now, until, Math.min(sliceSize, limit - claimed.length));
          claimed.push(...ours);
          if (last) break;
        }
        return claimed;
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
