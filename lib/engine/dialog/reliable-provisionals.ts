/** Runs reliable.ts for one INVITE: keeps the text of the provisional that waits and repeats it with back-off (RFC 3262 3). */
import { randomInt } from 'node:crypto';
import type { Timers } from '../options.ts';
import type { ServerTransaction } from '../transaction/server-transaction.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';
import { noReliable, type Reliable, type ReliableEffect, type ReliableEvent, step } from './reliable.ts';

/** An answer of the app: at most one of the two is called, and that once. */
export interface Turn {
  /** Sends it and returns its text; '' when it could not be sent. `rseq` is 0 for a 2xx. */
  send(rseq: number): string;
  /** it will not be sent */
  drop(): void;
}

export class ReliableProvisionals implements TimerOwner<'copy' | 'give-up'> {
  readonly #transaction: ServerTransaction;
  readonly #wheel: TimerWheel;
  readonly #timers: Timers;
  readonly #onNoPrack: () => void;
  #state: Reliable = noReliable(randomInt(0, 2 ** 31 - 2));
  readonly #turns = new Map<number, Turn>();
  #serial = 0;
  #text = '';
  #interval = 0;
  #copy: Timer | undefined;
  #giveUp: Timer | undefined;

  constructor(transaction: ServerTransaction, wheel: TimerWheel, timers: Timers, onNoPrack: () => void) {
    this.#transaction = transaction;
    this.#wheel = wheel;
    this.#timers = timers;
    this.#onNoPrack = onNoPrack;
  }

  provisional(turn: Turn, described: boolean): void {
    this.#tell({ is: 'provisional', id: this.#enter(turn), described });
  }

  success(turn: Turn): void {
    this.#tell({ is: 'success', id: this.#enter(turn) });
  }

  /**
   * Takes a PRACK whose RAck (RFC 3262 7.2) names the provisional that waits, and is the first to do so; undefined for any other.
   * What waited for it is sent by calling the result, once the app has the PRACK: srf takes the PRACK behind a 200 for its ACK.
   */
  onPrack(rack: string): (() => void) | undefined {
    const found = /^(\d{1,10})[ \t]+(\d{1,10})[ \t]+(\S+)$/.exec(rack);
    if (found === null || Number(found[2]) !== this.#transaction.seq || found[3] !== 'INVITE') return undefined;
    const [state, effects] = step(this.#state, { is: 'prack', rseq: Number(found[1]) });
    this.#state = state;
    if (!effects.some((effect) => effect.do === 'take-prack')) return undefined;
    return () => this.#perform(effects);
  }

  stop(): void {
    this.#tell({ is: 'ended' });
  }

  onTimer(name: 'copy' | 'give-up'): void {
    this.#tell({ is: name === 'copy' ? 'copy-due' : 'give-up' });
  }

  #enter(turn: Turn): number {
    this.#turns.set(++this.#serial, turn);
    return this.#serial;
  }

  #take(id: number): Turn | undefined {
    const turn = this.#turns.get(id);
    this.#turns.delete(id);
    return turn;
  }

  #tell(event: ReliableEvent): void {
    const [state, effects] = step(this.#state, event);
    this.#state = state;
    this.#perform(effects);
  }

  #perform(effects: readonly ReliableEffect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'send':
          this.#begin(this.#take(effect.id)?.send(effect.rseq) ?? '');
          break;
        case 'send-success':
          this.#take(effect.id)?.send(0);
          break;
        case 'drop':
          this.#take(effect.id)?.drop();
          break;
        case 'repeat':
          this.#transaction.flow.send(this.#text);
          this.#interval *= 2;
          this.#copy = this.#wheel.schedule(this.#interval, this, 'copy');
          break;
        case 'stop-timers':
          this.#stopTimers();
          break;
        case 'take-prack':
        case 'refuse-prack':
          // onPrack has said so
          break;
        case 'reject':
          this.#onNoPrack();
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #begin(text: string): void {
    if (text === '') {
      this.stop();
      return;
    }
    this.#text = text;
    this.#interval = this.#timers.t1Ms;
    this.#copy = this.#wheel.schedule(this.#interval, this, 'copy');
    this.#giveUp = this.#wheel.schedule(64 * this.#timers.t1Ms, this, 'give-up');
  }

  #stopTimers(): void {
    this.#wheel.cancel(this.#copy);
    this.#wheel.cancel(this.#giveUp);
    this.#text = '';
  }
}
