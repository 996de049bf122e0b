/** NodeBus inside one process: for tests, and beside the memory and lmdb stores. Never has a gap. */
import type { Aor } from '../../core/binding.ts';
import type { BindingChange, BindingNews, NodeBus } from '../../ports/node-bus.ts';

type Listener = (news: BindingNews) => void;

export function memoryBus(): NodeBus {
  return new MemoryBus();
}

class MemoryBus implements NodeBus {
  // A listener is wrapped in a subscription, so that the same function may be subscribed twice.
  readonly #subscriptions = new Map<Aor, Set<{ readonly listener: Listener }>>();

  async publish(change: BindingChange): Promise<void> {
    const heard = this.#subscriptions.get(change.aor);
    if (heard === undefined) return;
    for (const subscription of Array.from(heard)) {
      if (!heard.has(subscription)) continue; // ended by a listener before it
      try {
        subscription.listener(change);
      } catch (error) {
        // One listener must not keep the news from the others, nor fail the REGISTER that caused it.
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    }
  }

  async subscribe(aor: Aor, listener: Listener): Promise<() => void> {
    const subscription = { listener };
    const heard = this.#subscriptions.get(aor) ?? new Set();
    heard.add(subscription);
    this.#subscriptions.set(aor, heard);
    return () => {
      heard.delete(subscription);
      if (heard.size === 0 && this.#subscriptions.get(aor) === heard) this.#subscriptions.delete(aor);
    };
  }

  lookAgain(): void {}

  async close(): Promise<void> {
    this.#subscriptions.clear();
  }
}
