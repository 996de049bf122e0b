/**
 * Calls that ended while a phone which was pushed for them had not come yet: for a while it is remembered what it is owed, so that
 * it learns the end when it registers after all (AMB-24). In the memory of the node that held the call, which hears of a REGISTER
 * on any node as it did while it held the call; a restart forgets them, and the phone then finds nothing, as without this option.
 */
import type { Clock } from '../ports/clock.ts';

export interface LateCall {
  /** the devices, as core/held-invite names them */
  readonly devices: readonly string[];
  /** Once for each device that comes in time; `flow` is the key of where it is. */
  tell(flow: string): void;
  /** exactly once: everybody has come, the time is over, or there was no room */
  onOver(): void;
}

export interface Remembered {
  /** A REGISTER of this device was accepted. */
  came(device: string, flow: string): void;
  /** Nothing is owed to it any more: it has heard of the call, or is not registered. */
  forget(device: string): void;
}

interface Entry {
  readonly left: Set<string>;
  readonly end: () => void;
}

export class LatePhones {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #forMs: number;
  /** the oldest first */
  readonly #entries = new Set<Entry>();

  /** At most `most` calls, each for `forMs`; the oldest is forgotten when there is one more. */
  constructor(clock: Clock, most: number, forMs: number) {
    this.#clock = clock;
    this.#most = most;
    this.#forMs = forMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  remember(call: LateCall): Remembered {
    const stopTimer = this.#clock.after(this.#forMs, () => entry.end());
    const entry: Entry = {
      left: new Set(call.devices),
      end: () => {
        if (!this.#entries.delete(entry)) return;
        entry.left.clear();
        stopTimer();
        call.onOver();
      },
    };
    this.#entries.add(entry);
    const [oldest] = this.#entries;
    if (this.#entries.size > this.#most) oldest?.end();
    return {
      came: (device, flow) => {
        if (!entry.left.delete(device)) return;
        call.tell(flow);
        if (entry.left.size === 0) entry.end();
      },
      forget: (device) => {
        if (entry.left.delete(device) && entry.left.size === 0) entry.end();
      },
    };
  }

  close(): void {
    for (const { end } of this.#entries) end();
  }
}
