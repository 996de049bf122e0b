/** The dialogs of all calls this process bridges, so that a message may name one of them to the other side (RFC 3891). */
import { type BridgeSide, type DialogNames, twinNames } from '../core/dialog-names.ts';

interface Pair {
  readonly side: BridgeSide;
  readonly twin: BridgeSide;
}

export class BridgedDialogs {
  readonly #byCallId = new Map<string, Set<Pair>>();

  /** Enters both sides of a call; the function takes them out. */
  add(caller: BridgeSide, callee: BridgeSide): () => void {
    const takeOut = [this.#enter({ side: caller, twin: callee }), this.#enter({ side: callee, twin: caller })];
    return () => {
      for (const take of takeOut) take();
    };
  }

  /** The same dialog as the other side knows it; undefined when it is none of ours. */
  translate(names: DialogNames): DialogNames | undefined {
    for (const { side, twin } of this.#byCallId.get(names.callId) ?? []) {
      const found = twinNames(names, side, twin);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  get size(): number {
    return this.#byCallId.size;
  }

  #enter(pair: Pair): () => void {
    const { callId } = pair.side;
    const pairs = this.#byCallId.get(callId) ?? new Set();
    pairs.add(pair);
    this.#byCallId.set(callId, pairs);
    return () => {
      pairs.delete(pair);
      if (pairs.size === 0) this.#byCallId.delete(callId);
    };
  }
}
