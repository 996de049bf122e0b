/** Pushes that wait for a stream: bounded, calls first, and the least urgent is put out when there is no place. */
import type { PushClass } from '../core/push-class.ts';

/** lower is more urgent */
export type Urgency = 0 | 1 | 2 | 3 | 4;

export const urgencies: Readonly<Record<PushClass, Urgency>> = {
  call: 0,
  cancel: 1,
  message: 2,
  notify: 3,
  refresh: 4,
};

export class WaitingLine<T> {
  readonly #lines: readonly Set<T>[] = [new Set(), new Set(), new Set(), new Set(), new Set()];
  readonly #limit: number;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Returns who has to go: nobody, the newest of a less urgent class, or the newcomer itself. */
  add(item: T, urgency: Urgency): T | undefined {
    const line = this.#lines[urgency];
    if (line === undefined) return item;
    let displaced: T | undefined;
    if (this.#size >= this.#limit) {
      const least = this.#lines.findLast((other, index) => index > urgency && other.size > 0);
      if (least === undefined) return item;
      displaced = [...least].at(-1);
      if (displaced !== undefined && least.delete(displaced)) this.#size -= 1;
    }
    line.add(item);
    this.#size += 1;
    return displaced;
  }

  delete(item: T): boolean {
    if (this.#size === 0) return false;
    const found = this.#lines.some((line) => line.delete(item));
    if (found) this.#size -= 1;
    return found;
  }

  take(): T | undefined {
    if (this.#size === 0) return undefined;
    for (const line of this.#lines) {
      for (const item of line) {
        line.delete(item);
        this.#size -= 1;
        return item;
      }
    }
    return undefined;
  }
}
