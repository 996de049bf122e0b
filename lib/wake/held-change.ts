/**
 * A re-INVITE for a phone that may sleep: at most one copy of it counts at a time. One that is sent over a newer flow takes back the
 * one before, and so does whoever gives up (RFC 3261 14.1, 9.1).
 */
import type { DialogRequest } from '../ports/dialog.ts';

export class HeldChange {
  readonly #asked: DialogRequest;
  #copy: AbortController | undefined;
  #onHeard: ((status: number) => void) | undefined;
  /** copies sent so far */
  sent = 0;
  /** a provisional came: the phone has it */
  heard = false;

  constructor(asked: DialogRequest) {
    this.#asked = asked;
    asked.cancel?.addEventListener('abort', () => this.giveUp(), { once: true });
  }

  /** The sender has taken it back. */
  get isCancelled(): boolean {
    return this.#asked.cancel?.aborted === true;
  }

  /** The next copy. */
  next(): DialogRequest {
    this.#copy?.abort();
    this.#copy = new AbortController();
    this.sent += 1;
    const copy = this.sent;
    return {
      ...this.#asked,
      cancel: this.#copy.signal,
      progress: (response, reliable) => {
        if (copy !== this.sent) return;
        this.heard = true;
        this.#onHeard?.(response.status);
        this.#asked.progress?.(response, reliable);
      },
    };
  }

  onHeard(listener: (status: number) => void): void {
    this.#onHeard = listener;
  }

  onCancel(listener: () => void): void {
    this.#asked.cancel?.addEventListener('abort', listener, { once: true });
  }

  giveUp(): void {
    this.#copy?.abort();
  }
}
