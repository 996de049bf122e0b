/** The bus of several nodes in one process: news of another node comes late, twice, or is lost and made good by a gap. */
import { memoryBus } from '../../lib/adapters/memory/node-bus.ts';
import type { BindingChange, BindingNews, NodeBus } from '../../lib/ports/node-bus.ts';
import type { Gates } from './gates.ts';

export type Fate = 'once' | 'twice' | 'lost';

export class RacingBus {
  readonly #buses: NodeBus[] = [];
  readonly #gates: Gates;
  readonly #fates: readonly Fate[];
  #sent = 0;
  /** subscriptions that have not been ended */
  subscriptions = 0;

  /** `fates`: what becomes of what is sent from node to node, in turn. */
  constructor(gates: Gates, fates: readonly Fate[]) {
    this.#gates = gates;
    this.#fates = fates;
  }

  /** The end of one node. */
  join(): NodeBus {
    const own = memoryBus();
    this.#buses.push(own);
    // news of one node stays in order
    const links = new Map<NodeBus, Promise<void>>();
    return {
      publish: async (change) => {
        await own.publish(change);
        for (const other of this.#buses) {
          if (other === own) continue;
          const before = links.get(other) ?? Promise.resolve();
          links.set(
            other,
            before.then(() => this.#carry(change, other)),
          );
        }
      },
      subscribe: async (aor, listener) => {
        await this.#gates.pass();
        this.subscriptions++;
        const end = await own.subscribe(aor, listener);
        let ended = false;
        await this.#gates.pass();
        return () => {
          if (!ended) this.subscriptions--;
          ended = true;
          end();
        };
      },
      close: () => own.close(),
    };
  }

  async #carry(change: BindingChange, to: NodeBus): Promise<void> {
    const fate = this.#fates[this.#sent++ % Math.max(1, this.#fates.length)] ?? 'once';
    await this.#gates.pass();
    const gap: BindingNews = { is: 'gap', aor: change.aor };
    // the adapter in memory has no gaps of its own, and hands on whatever it is given
    await to.publish(fate === 'lost' ? (gap as unknown as BindingChange) : change);
    if (fate !== 'twice') return;
    await this.#gates.pass();
    await to.publish(change);
  }
}
