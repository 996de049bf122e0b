/**
 * News between the processes of one edge. Messages may be lost or doubled; whoever waits also looks into the store
 * (subscribe first, look second).
 */
import type { Aor } from '../core/binding.ts';

export type BindingNews =
  /** a REGISTER of this device was accepted and stored */
  | { readonly is: 'refresh-accepted'; readonly aor: Aor; readonly bindingId: string }
  /** a REGISTER of this device was refused for good by the registrar */
  | { readonly is: 'refresh-rejected'; readonly aor: Aor; readonly bindingId: string; readonly status: number }
  /** the binding is gone (expiry 0, `*`) */
  | { readonly is: 'removed'; readonly aor: Aor; readonly bindingId: string };

export interface NodeBus {
  /** Delivers to every subscriber of this AOR on every process, this one included. Never rejects. */
  publish(news: BindingNews): Promise<void>;
  /** Resolves once news of this AOR is sure to be heard (or the bus is down: then only news of this process). The function ends it. */
  subscribe(aor: Aor, listener: (news: BindingNews) => void): Promise<() => void>;
  close(): Promise<void>;
}
