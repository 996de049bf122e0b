/** One reliable 1xx: its RSeq, and the copies until the PRACK comes (RFC 3262 3). */
import { randomInt } from 'node:crypto';
import type { Timers } from '../options.ts';
import type { ServerTransaction } from '../transaction/server-transaction.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';

export class ReliableProvisional implements TimerOwner<'copy'> {
  readonly rseq: number;
  readonly #transaction: ServerTransaction;
  readonly #wheel: TimerWheel;
  readonly #timers: Timers;
  #text = '';
  #interval: number;
  #left: number;
  #timer: Timer | undefined;

  constructor(transaction: ServerTransaction, wheel: TimerWheel, timers: Timers) {
    this.#transaction = transaction;
    this.#wheel = wheel;
    this.#timers = timers;
    const before = transaction.reliable;
    this.rseq = before === undefined ? randomInt(1, 2 ** 31 - 1) : before.rseq + 1;
    this.#interval = timers.t1Ms;
    this.#left = 64 * timers.t1Ms;
  }

  start(text: string): void {
    this.#text = text;
    this.#timer = this.#wheel.schedule(this.#interval, this, 'copy');
  }

  /** True when the PRACK names this answer and is the first to do so. */
  acknowledge(rseq: number, cseq: number): boolean {
    if (rseq !== this.rseq || cseq !== this.#transaction.seq || this.#timer === undefined) return false;
    this.stop();
    return true;
  }

  stop(): void {
    this.#wheel.cancel(this.#timer);
    this.#timer = undefined;
  }

  onTimer(_name: 'copy'): void {
    this.#left -= this.#interval;
    if (this.#left <= 0) {
      this.#timer = undefined;
      return;
    }
    this.#transaction.flow.send(this.#text);
    this.#interval *= 2;
    this.#timer = this.#wheel.schedule(Math.min(this.#interval, this.#timers.t1Ms * 64), this, 'copy');
  }
}
