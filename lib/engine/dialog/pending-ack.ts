/** A 2xx to INVITE that we repeat until its ACK comes, and what happens when none does (RFC 3261 13.3.1.4). */
import type { Timers } from '../options.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';
import type { Flow } from '../transport/flow.ts';

export class PendingAck implements TimerOwner<'copy' | 'give-up'> {
  /** CSeq number of the INVITE */
  readonly seq: number;
  /** transaction id under which the app gets the ACK */
  readonly txn: string;
  readonly text: string;
  readonly #flow: Flow;
  readonly #wheel: TimerWheel;
  readonly #timers: Timers;
  readonly #onGiveUp: () => void;
  #interval: number;
  #copy: Timer | undefined;
  #giveUp: Timer | undefined;
  acked = false;

  constructor(
    answer: { readonly seq: number; readonly txn: string; readonly text: string; readonly flow: Flow },
    wheel: TimerWheel,
    timers: Timers,
    onGiveUp: () => void,
  ) {
    this.seq = answer.seq;
    this.txn = answer.txn;
    this.text = answer.text;
    this.#flow = answer.flow;
    this.#wheel = wheel;
    this.#timers = timers;
    this.#onGiveUp = onGiveUp;
    this.#interval = timers.t1Ms;
    // over a connection as well: a proxy further on may have lost it (RFC 3261 13.3.1.4)
    this.#copy = wheel.schedule(this.#interval, this, 'copy');
    this.#giveUp = wheel.schedule(64 * timers.t1Ms, this, 'give-up');
  }

  /** True for the first ACK only. */
  onAck(): boolean {
    if (this.acked) return false;
    this.acked = true;
    this.stop();
    return true;
  }

  /** The INVITE came again: the peer has not seen the answer. */
  repeat(): void {
    this.#flow.send(this.text);
  }

  stop(): void {
    this.#wheel.cancel(this.#copy);
    this.#wheel.cancel(this.#giveUp);
  }

  onTimer(name: 'copy' | 'give-up'): void {
    if (name === 'give-up') {
      this.stop();
      this.#onGiveUp();
      return;
    }
    this.#flow.send(this.text);
    this.#interval = Math.min(2 * this.#interval, this.#timers.t2Ms);
    this.#copy = this.#wheel.schedule(this.#interval, this, 'copy');
  }
}
