/**
 * The connection a device registered on, by `user@host` of its Contact (drachtio-protocol C.3). Later new requests to that
 * `user@host` use it, even against an explicit next hop: that is what the original does, so an app must be written for it.
 */
import { parseUri } from '../sip/uri.ts';
import type { Flow } from './transport/flow.ts';

const mostEntries = 200_000;

export class RegistrationCache {
  readonly #flows = new Map<string, { readonly flow: Flow; readonly until: number }>();
  readonly #enabled: boolean;
  readonly #now: () => number;

  constructor(enabled: boolean, now: () => number = () => performance.now()) {
    this.#enabled = enabled;
    this.#now = now;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Remembers the flow for so long; 0 seconds forgets it. A flow that is no connection is never remembered. */
  remember(binding: string, flow: Flow, seconds: number): void {
    if (!this.#enabled || binding === '' || !flow.listener.reliable) return;
    this.#flows.delete(binding);
    if (seconds <= 0) return;
    this.#flows.set(binding, { flow, until: this.#now() + seconds * 1000 });
    if (this.#flows.size > mostEntries) {
      for (const oldest of this.#flows.keys()) {
        this.#flows.delete(oldest);
        break;
      }
    }
  }

  /** The connection for a request-URI; it may be closed by now. */
  find(uri: string): Flow | undefined {
    if (this.#flows.size === 0) return undefined;
    const binding = bindingOf(uri);
    const entry = this.#flows.get(binding);
    if (entry === undefined) return undefined;
    if (entry.until > this.#now()) return entry.flow;
    this.#flows.delete(binding);
    return undefined;
  }
}

/** `user@host` of a SIP URI, without port; '' for anything else. */
export function bindingOf(uri: string): string {
  const parsed = parseUri(uri);
  return parsed?.user === undefined ? '' : `${parsed.user}@${parsed.host.toLowerCase()}`;
}
