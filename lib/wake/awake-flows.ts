/**
 * Phones that do not register on a push but send something else show that they are awake (AMB-14): whoever waits for a phone is
 * told of the next request outside dialogs from the flow it is bound to. Keep-alives (CRLF, STUN) are known to the engine only,
 * and no engine tells of them.
 */
import { flowUri, type Flow } from '../sip/flow.ts';

export class AwakeFlows {
  readonly #watched = new Map<string, Set<() => void>>();

  get size(): number {
    return this.#watched.size;
  }

  /** Calls `awake` with the next request from this flow, once. The function takes it back. */
  watch(flow: Flow, awake: () => void): () => void {
    const key = keyOf(flow);
    const waiting = this.#watched.get(key) ?? new Set();
    // the same function may wait for two flows, and twice for one
    const one = (): void => awake();
    waiting.add(one);
    this.#watched.set(key, waiting);
    return () => {
      waiting.delete(one);
      if (waiting.size === 0 && this.#watched.get(key) === waiting) this.#watched.delete(key);
    };
  }

  /** A request that is no REGISTER came from this flow. */
  heard(flow: Flow): void {
    // nearly always, and this is asked of every request
    if (this.#watched.size === 0) return;
    const key = keyOf(flow);
    const waiting = this.#watched.get(key);
    if (waiting === undefined) return;
    this.#watched.delete(key);
    for (const awake of waiting) awake();
  }
}

function keyOf(flow: Flow): string {
  return `${flowUri(flow)}|${flow.engine}`;
}
