/**
 * One clock for all SIP timers: a hashed wheel with coarse ticks (10 ms), so that starting and stopping a timer costs
 * a few pointer writes and no operating system timer. It ticks only while something is scheduled.
 */

export interface TimerOwner<Name> {
  onTimer(name: Name): void;
}

/** Where the wheel gets its time; a test moves it by hand. */
export interface WheelClock {
  now(): number;
  /** calls `fire` once after about `ms`; the result stops it */
  after(ms: number, fire: () => void): () => void;
}

/** One running timer. Opaque; give it back to `cancel`. */
export class Timer {
  previous: Timer = this;
  next: Timer = this;
  tick = 0;
  readonly owner: TimerOwner<unknown>;
  readonly name: unknown;

  constructor(owner: TimerOwner<unknown>, name: unknown) {
    this.owner = owner;
    this.name = name;
  }
}

const nobody: TimerOwner<unknown> = { onTimer: () => {} };

const slots = 512;

const systemClock: WheelClock = {
  now: () => performance.now(),
  after: (ms, fire) => {
    const timer = setTimeout(fire, ms);
    return () => clearTimeout(timer);
  },
};

export class TimerWheel {
  readonly #tickMs: number;
  readonly #clock: WheelClock;
  readonly #onFault: (fault: unknown) => void;
  readonly #heads: Timer[] = Array.from({ length: slots }, () => new Timer(nobody, undefined));
  #origin: number;
  #tick = 0;
  #size = 0;
  #closed = false;
  #stop: (() => void) | undefined;

  constructor(options: { tickMs?: number; clock?: WheelClock; onFault?: (fault: unknown) => void } = {}) {
    this.#tickMs = options.tickMs ?? 10;
    this.#clock = options.clock ?? systemClock;
    this.#onFault = options.onFault ?? (() => {});
    this.#origin = this.#clock.now();
  }

  /** Timers that have not fired yet. */
  get size(): number {
    return this.#size;
  }

  /** Calls `owner.onTimer(name)` once, not before `delayMs` have passed and at most about two ticks later. */
  schedule<Name>(delayMs: number, owner: TimerOwner<Name>, name: Name): Timer {
    const timer = new Timer(owner, name);
    // a socket that closes last must not keep the process alive
    if (this.#closed) return timer;
    if (this.#size === 0) {
      this.#tick = this.#ticksNow();
      this.#arm();
    }
    const ticks = Math.ceil((this.#clock.now() - this.#origin + Math.max(delayMs, 0)) / this.#tickMs);
    timer.tick = Math.max(ticks, this.#tick + 1);
    const head = this.#heads[timer.tick % slots] as Timer;
    timer.previous = head.previous;
    timer.next = head;
    head.previous.next = timer;
    head.previous = timer;
    this.#size++;
    return timer;
  }

  /** Stops a timer; one that has fired or was stopped before is left alone. */
  cancel(timer: Timer | undefined): void {
    if (timer === undefined || timer.next === timer) return;
    this.#unlink(timer);
    if (this.#size === 0) this.#disarm();
  }

  /** Stops everything; what is scheduled afterwards never fires. */
  close(): void {
    this.#closed = true;
    for (const head of this.#heads) {
      head.next = head;
      head.previous = head;
    }
    this.#size = 0;
    this.#disarm();
  }

  #ticksNow(): number {
    return Math.floor((this.#clock.now() - this.#origin) / this.#tickMs);
  }

  #arm(): void {
    this.#stop ??= this.#clock.after(this.#tickMs, () => {
      this.#stop = undefined;
      this.#run();
    });
  }

  #disarm(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #run(): void {
    const now = this.#ticksNow();
    // after a long pause every slot has to be looked at once, not once per missed tick
    if (now - this.#tick > slots) this.#tick = now - slots;
    while (this.#tick < now && this.#size > 0) {
      this.#tick++;
      this.#fireSlot(this.#heads[this.#tick % slots] as Timer, now);
    }
    if (this.#size > 0) this.#arm();
  }

  #fireSlot(head: Timer, now: number): void {
    let timer = head.next;
    while (timer !== head) {
      const next = timer.next;
      if (timer.tick <= now) {
        this.#unlink(timer);
        try {
          timer.owner.onTimer(timer.name);
        } catch (fault) {
          this.#onFault(fault);
        }
        // the owner may have stopped the neighbour we wanted to look at next: begin again
        timer = next !== head && next.next === next ? head.next : next;
      } else timer = next;
    }
  }

  #unlink(timer: Timer): void {
    timer.previous.next = timer.next;
    timer.next.previous = timer.previous;
    timer.next = timer;
    timer.previous = timer;
    this.#size--;
  }
}
