/** The calls of this node: how many INVITEs are held (bounded, PN-PROXY-34), which calls talk, and how to end them at a stop. */

export interface CallLedger {
  /** no new calls: the edge is about to stop */
  readonly closed: boolean;
  /**
   * Takes a place for an INVITE on these devices; undefined: no room. The function gives the place back. `drain` is called at a
   * stop, and once more when the stop has waited long enough.
   */
  hold(devices: readonly string[], drain: () => void): (() => void) | undefined;
  /**
   * `request` is what all copies of one INVITE have in common. 'merged': each of the devices has one already (RFC 3261 8.2.2.2),
   * because a PBX that knows a phone by two Contacts calls both.
   */
  hold(devices: readonly string[], drain: () => void, request: string): (() => void) | 'merged' | undefined;
  /** Enters a call that was answered; the function takes it out. `hangUp` is called when a stop has waited long enough. */
  talk(hangUp: () => void): () => void;
}

export interface LedgerLimits {
  readonly maxHeld: number;
  readonly maxHeldPerDevice: number;
}

interface Held {
  readonly since: number;
  readonly drain: () => void;
}

export class Calls implements CallLedger {
  readonly #limits: LedgerLimits;
  readonly #now: () => number;
  readonly #held = new Set<Held>();
  readonly #perDevice = new Map<string, number>();
  /** `device request` of every INVITE that names its request */
  readonly #requests = new Set<string>();
  readonly #talking = new Set<() => void>();
  #closed = false;
  #draining = false;

  constructor(limits: LedgerLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get held(): number {
    return this.#held.size;
  }

  get talking(): number {
    return this.#talking.size;
  }

  /** no new calls */
  get closed(): boolean {
    return this.#closed;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** age of the INVITE that is held longest, seconds; 0 when none is */
  get oldestHeldSeconds(): number {
    const [oldest] = this.#held;
    return oldest === undefined ? 0 : (this.#now() - oldest.since) / 1000;
  }

  hold(devices: readonly string[], drain: () => void): (() => void) | undefined;
  hold(devices: readonly string[], drain: () => void, request: string): (() => void) | 'merged' | undefined;
  hold(devices: readonly string[], drain: () => void, request?: string): (() => void) | 'merged' | undefined {
    const copies = request === undefined ? [] : devices.map((device) => `${device} ${request}`);
    if (copies.length > 0 && copies.every((copy) => this.#requests.has(copy))) return 'merged';
    const mine = copies.filter((copy) => !this.#requests.has(copy));
    if (this.#closed || this.#held.size >= this.#limits.maxHeld) return undefined;
    if (devices.some((device) => (this.#perDevice.get(device) ?? 0) >= this.#limits.maxHeldPerDevice)) return undefined;
    const held: Held = { since: this.#now(), drain };
    this.#held.add(held);
    for (const device of devices) this.#perDevice.set(device, (this.#perDevice.get(device) ?? 0) + 1);
    for (const copy of mine) this.#requests.add(copy);
    return () => {
      if (!this.#held.delete(held)) return;
      for (const copy of mine) this.#requests.delete(copy);
      for (const device of devices) {
        const left = (this.#perDevice.get(device) ?? 1) - 1;
        if (left > 0) this.#perDevice.set(device, left);
        else this.#perDevice.delete(device);
      }
    };
  }

  talk(hangUp: () => void): () => void {
    this.#talking.add(hangUp);
    return () => this.#talking.delete(hangUp);
  }

  /** No new calls from now on; held ones wait for their phones as before. Can be taken back until `drain`. */
  close(): void {
    this.#closed = true;
  }

  reopen(): void {
    this.#closed = this.#draining;
  }

  /** No new calls from now on; every held INVITE gets its answer now. */
  drain(): void {
    this.#closed = true;
    this.#draining = true;
    for (const { drain } of this.#held) drain();
  }

  /** The time is over for phones that still ring, too. */
  hangUpAll(): void {
    for (const { drain } of this.#held) drain();
    for (const hangUp of this.#talking) hangUp();
  }
}
