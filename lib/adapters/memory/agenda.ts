/** Agenda in a Map and a binary heap: forgets everything when the process ends. */
import type { Agenda, ClaimedTask } from '../../ports/agenda.ts';

interface Entry {
  readonly task: string;
  readonly at: number;
}

export function memoryAgenda(): Agenda {
  const times = new Map<string, number>();
  // entries that are no longer true are left in the heap until they come up
  const heap: Entry[] = [];
  const set = (task: string, at: number): void => {
    times.set(task, at);
    push(heap, { task, at });
  };
  return {
    async put(task, at) {
      set(task, at);
    },
    async claim(now, until, limit) {
      const claimed: ClaimedTask[] = [];
      for (let first = heap[0]; first !== undefined && first.at <= now && claimed.length < limit; first = heap[0]) {
        pop(heap);
        if (times.get(first.task) !== first.at) continue;
        claimed.push({ task: first.task, until });
        // at once: it may have been put twice for the same time
        times.set(first.task, until);
      }
      for (const { task } of claimed) push(heap, { task, at: until });
      return claimed;
    },
    async settle({ task, until }, next) {
      if (times.get(task) !== until) return;
      if (next === undefined) times.delete(task);
      else set(task, next);
    },
  };
}

function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Entry;
    if (above.at <= entry.at) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right !== undefined && right.at < (heap[child] as Entry).at) child += 1;
    const below = heap[child] as Entry;
    if (below.at >= last.at) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
}
