/** The dialogs of all calls this process bridges, so that a message may name one of them to the other side (RFC 3891). */
import { type BridgeSide, type DialogNames, meansUs, type TwinDialog, twinNames } from '../core/dialog-names.ts';
import { parseUri } from '../sip/uri.ts';

interface Pair {
  readonly side: BridgeSide;
  readonly twin: BridgeSide;
}

export class BridgedDialogs {
  readonly #byCallId = new Map<string, Set<Pair>>();
  readonly #aorOf: (userPart: string) => string | undefined;

  /** `aorOf`: whose phone a user part is that we gave to the PBX. */
  constructor(aorOf: (userPart: string) => string | undefined = () => undefined) {
    this.#aorOf = aorOf;
  }

  /** Enters both sides of a call; the function takes them out. */
  add(caller: BridgeSide, callee: BridgeSide): () => void {
    const takeOut = [this.#enter({ side: caller, twin: callee }), this.#enter({ side: callee, twin: caller })];
    return () => {
      for (const take of takeOut) take();
    };
  }

  /**
   * The same dialog as the other side knows it; undefined when it is none of ours. A call that the PBX sends back to us has one dialog
   * with both its ends here: who is named as its receiver is the one that is meant.
   */
  translate(names: DialogNames): TwinDialog | undefined {
    const pairs = [...(this.#byCallId.get(names.callId) ?? [])];
    const first = pairs.find(({ side }) => meansUs(names, side));
    for (const { side, twin } of first === undefined ? pairs : [first]) {
      const found = twinNames(names, side, twin);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** What a phone calls whom the PBX knows by a Contact of ours: the user. */
  towardsPhone(uri: string): string | undefined {
    const aor = this.#aorOf(parseUri(uri)?.user ?? '');
    return aor === undefined ? undefined : `sip:${aor}`;
  }

  /** What the PBX calls the phone that names itself by its own Contact, which leads nowhere from there. */
  ofPhone(phone: BridgeSide, uri: string): string | undefined {
    if (phone.aor === undefined || phone.remoteTarget === undefined) return undefined;
    const [own, named] = [parseUri(phone.remoteTarget), parseUri(uri)];
    const same = own !== undefined && named !== undefined && own.host === named.host && own.port === named.port;
    return same && own.user === named.user ? `sip:${phone.aor}` : undefined;
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
