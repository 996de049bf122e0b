/**
 * The sets read or stored last, unpacked. A call reads the set of its phone three times within a second, and an entry of the same
 * version is the same set: versions are never given twice (location-store).
 */
import type { Binding } from '../../core/binding.ts';

interface Recent {
  readonly version: number;
  readonly bindings: readonly Binding[];
}

/** Some hundred KiB. */
const most = 256;

export class RecentSets {
  /** by key, the oldest first */
  readonly #sets = new Map<string, Recent>();

  /** The bindings of this very version; undefined when they are not here. */
  get(key: string, version: number): readonly Binding[] | undefined {
    const recent = this.#sets.get(key);
    return recent?.version === version ? recent.bindings : undefined;
  }

  set(key: string, version: number, bindings: readonly Binding[]): void {
    this.#sets.delete(key);
    this.#sets.set(key, { version, bindings });
    if (this.#sets.size <= most) return;
    for (const oldest of this.#sets.keys()) {
      this.#sets.delete(oldest);
      return;
    }
  }
}
