/**
 * Digest answers that were accepted, so that nobody who has overheard one can send it again (RFC 7616 3.4.5, EDGE-AUTH-08).
 * Of this process only: at another node of the same store a copy would still pass for the life of its nonce.
 */
import type { Auth } from '../../../lib/sip/auth.ts';
import { authParam } from '../../../lib/sip/auth.ts';

const most = 100_000;

export class UsedNonces {
  readonly #lifeMs: number;
  /** two generations, so that forgetting costs nothing */
  #young = new Set<string>();
  #old = new Set<string>();
  #since = Number.NEGATIVE_INFINITY;

  /** `lifeMs`: how long a nonce is good. */
  constructor(lifeMs: number) {
    this.#lifeMs = lifeMs;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** True for the first answer with this nonce and count; those without a count (RFC 2069) cannot be told apart. */
  use(credentials: Auth, now: number): boolean {
    const count = authParam(credentials, 'nc');
    if (count === undefined) return true;
    if (now - this.#since > this.#lifeMs || this.#young.size >= most) {
      this.#old = this.#young;
      this.#young = new Set();
      this.#since = now;
    }
    const key = `${authParam(credentials, 'nonce')} ${Number.parseInt(count, 16)}`;
    if (this.#young.has(key) || this.#old.has(key)) return false;
    this.#young.add(key);
    return true;
  }
}
