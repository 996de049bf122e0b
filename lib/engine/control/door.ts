/**
 * Who may wait at the control port, and how long a wrong secret waits for its answer. Connections that have not shown the secret
 * are few for each address and few in all; each wrong secret of an address makes the next answer slower. The right secret is
 * never made to wait. No clock: times are told, in milliseconds of one clock that does not go back.
 */
import { placeOf } from '../transport/admission.ts';
import { plainAddress } from '../transport/flow.ts';

export interface DoorLimits {
  /** connections without a secret yet, of one address */
  readonly perAddress: number;
  readonly inAll: number;
}

interface Mistakes {
  count: number;
  last: number;
}

const forgivenAfterMs = 10 * 60_000;
const slowestMs = 5000;
const remembered = 4096;
/** a secret that was just changed is tried a few times by its apps */
const free = 3;

export class Door {
  readonly #limits: DoorLimits;
  readonly #waiting = new Map<string, number>();
  readonly #mistakes = new Map<string, Mistakes>();
  #inAll = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** False when this address, or the door, is full; else `leave` must follow once. */
  enter(address: string): boolean {
    const place = placeOf(plainAddress(address));
    const standing = this.#waiting.get(place) ?? 0;
    if (standing >= this.#limits.perAddress || this.#inAll >= this.#limits.inAll) return false;
    this.#waiting.set(place, standing + 1);
    this.#inAll++;
    return true;
  }

  /** It has shown the secret, or is gone. */
  leave(address: string): void {
    const place = placeOf(plainAddress(address));
    const left = (this.#waiting.get(place) ?? 0) - 1;
    if (left > 0) this.#waiting.set(place, left);
    else this.#waiting.delete(place);
    this.#inAll--;
  }

  /** A wrong secret came from there: how long to wait before saying so. */
  wrong(address: string, now: number): number {
    const place = placeOf(plainAddress(address));
    const known = this.#mistakes.get(place);
    const count = known === undefined || now - known.last > forgivenAfterMs ? 1 : known.count + 1;
    // the one that was heard of longest ago comes first
    this.#mistakes.delete(place);
    this.#mistakes.set(place, { count, last: now });
    if (this.#mistakes.size > remembered) {
      const [oldest] = this.#mistakes.keys();
      if (oldest !== undefined) this.#mistakes.delete(oldest);
    }
    return count <= free ? 0 : Math.min(slowestMs, 250 * 2 ** Math.min(count - free - 1, 10));
  }

  get waiting(): number {
    return this.#inAll;
  }
}
