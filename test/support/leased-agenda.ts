/** An agenda as Redis keeps it: by a clock that is not that of any node. */
import type { Agenda } from '../../lib/ports/agenda.ts';

export class LeasedAgenda {
  readonly #now: () => number;
  readonly #due = new Map<string, number>();
  readonly #leased = new Map<string, { readonly until: number; readonly ends: number }>();
  #leases = 0;

  /** `now`: the clock everything is counted by. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** As a node with this clock sees it. */
  seenBy(clock: () => number): Agenda {
    const due = this.#due;
    const leased = this.#leased;
    const now = this.#now;
    const ours = (at: number): number => now() + at - clock();
    return {
      async put(task, at) {
        leased.delete(task);
        due.set(task, ours(at));
      },
      claim: async (at, until, limit) => {
        const late = [...leased].filter(([, { ends }]) => ends <= now()).map(([task]) => task);
        const mature = [...due].filter(([, time]) => time <= ours(at)).toSorted(([, one], [, other]) => one - other);
        return [...late, ...mature.map(([task]) => task)].slice(0, limit).map((task) => {
          due.delete(task);
          const lease = { until: ++this.#leases, ends: now() + until - at };
          leased.set(task, lease);
          return { task, until: lease.until };
        });
      },
      async settle({ task, until }, next) {
        if (leased.get(task)?.until !== until) return;
        leased.delete(task);
        if (next !== undefined) due.set(task, ours(next));
      },
    };
  }
}
