/** Tokens APNs called bad. That is the answer of the wrong environment too, so only the third distinct call in a row proves a token dead. */
import { createHash } from 'node:crypto';

const callsToBelieve = 3;
const mostTokens = 10_000;

export class Suspects {
  /** by digest of the token, oldest first; the Call-IDs as digests */
  readonly #calls = new Map<string, readonly string[]>();

  /** Counts this call; true from the third distinct one. */
  report(token: string, callId: string): boolean {
    const key = digest(token);
    const call = digest(callId);
    const before = this.#calls.get(key) ?? [];
    const calls = before.includes(call) ? before : [...before, call].slice(-callsToBelieve);
    this.#calls.delete(key);
    this.#calls.set(key, calls);
    if (this.#calls.size > mostTokens) {
      const [oldest] = this.#calls.keys();
      if (oldest !== undefined) this.#calls.delete(oldest);
    }
    return calls.length >= callsToBelieve;
  }

  clear(token: string): void {
    if (this.#calls.size > 0) this.#calls.delete(digest(token));
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}
