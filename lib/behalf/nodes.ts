/** Which processes of one edge live, and which have died with registrations of theirs: each says from time to time until when it lives. */
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Records, StoredRecord } from '../ports/records.ts';
import { FirstSeen } from './first-seen.ts';

export interface NodesDeps {
  readonly records: Records;
  readonly clock: Clock;
  /** milliseconds; never set back */
  readonly precise: () => number;
  readonly log: Log;
  /** name of this process, another one after each start */
  readonly node: string;
  /** Takes over what a node that died has left. Rejects when that has to be tried again. */
  readonly onDead: (node: string) => Promise<void>;
}

export const lifeSignEveryMs = 10_000;
/** Three signs that did not come. A node is dead when we have seen nothing new of it for so long: a span of ours, no clock of others. */
const livesMs = 35_000;
const pageSize = 500;
/** the sign of who has gone */
const left = '0';

export class Nodes {
  readonly #deps: NodesDeps;
  #living: ReadonlySet<string> = new Set();
  readonly #signs: FirstSeen;

  constructor(deps: NodesDeps) {
    this.#deps = deps;
    this.#signs = new FirstSeen(deps.precise);
  }

  /** As far as this node has heard. */
  lives(node: string): boolean {
    return node === this.#deps.node || this.#living.has(node);
  }

  /** Says that this one lives, looks who else does, and takes over from those who do not. Rejects with EDGE_STORE_UNAVAILABLE. */
  async follow(): Promise<void> {
    const { records, clock, node } = this.#deps;
    await this.#say(clock.now() + livesMs);
    const living = new Set<string>();
    // by name, for a page may show one twice
    const dead = new Map<string, StoredRecord>();
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Awaited<ReturnType<Records['scan']>> = await records.scan('node', cursor, pageSize);
      for (const each of page.records) {
        if (each.value !== left && this.#signs.for(each.name, each.version) < livesMs) living.add(each.name);
        else if (each.name !== node) dead.set(each.name, each);
      }
      cursor = page.next;
    }
    this.#living = living;
    for (const each of dead.values()) {
      // done before it is forgotten: whoever dies in between leaves it to the next one
      await this.#deps.onDead(each.name);
      if ((await records.swap('node', each.name, each.version, undefined)) !== undefined)
        this.#deps.log.info({ node: each.name }, 'another node is gone, its registrations are ours now');
    }
  }

  /** Others need not wait for the end of this one's time. */
  async leave(): Promise<void> {
    await this.#say(0);
  }

  async #say(until: number): Promise<void> {
    const { records, node } = this.#deps;
    for (let attempt = 0; attempt < 5; attempt++) {
      const before = await records.read('node', node);
      if ((await records.swap('node', node, before?.version ?? 0, String(until))) !== undefined) return;
    }
  }
}
