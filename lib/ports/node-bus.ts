/**
 * News between the processes of one edge. Messages may be lost or doubled; whoever waits also looks into the store
 * (subscribe first, look second).
 */
import type { Aor } from '../core/binding.ts';

/** What is published. */
export type BindingChange =
  /** a REGISTER of this device was accepted and stored */
  | { readonly is: 'refresh-accepted'; readonly aor: Aor; readonly bindingId: string }
  /** a REGISTER of this device was refused for good by the registrar */
  | { readonly is: 'refresh-rejected'; readonly aor: Aor; readonly bindingId: string; readonly status: number }
  /** the binding is gone (expiry 0, `*`). `moving`: taken back by the phone from another address, from where it will register next */
  | { readonly is: 'removed'; readonly aor: Aor; readonly bindingId: string; readonly moving?: true };

export type BindingNews =
  | BindingChange
  /** news of other processes may have been missed (the bus was away and is back): look into the store again */
  | { readonly is: 'gap'; readonly aor: Aor };

export interface NodeBus {
  /**
   * Delivers to every subscriber of this AOR on every process. Those of this process have heard it, once, before the call
   * returns; for the others it is handed to the network without waiting. Never rejects, never waits for a remote side.
   */
  publish(change: BindingChange): Promise<void>;
  /**
   * Resolves once news of this AOR is sure to be heard. When the bus is down it resolves all the same: then only news of this
   * process is heard, and a `gap` follows as soon as the bus is back. The function ends it; nothing is heard after it returned.
   * A listener must not throw.
   */
  subscribe(aor: Aor, listener: (news: BindingNews) => void): Promise<() => void>;
  /** This process stood still: whoever waits here is told of a `gap`, where others publish at all. */
  lookAgain(): void;
  close(): Promise<void>;
}
