/**
 * Final answers to non-INVITE requests, kept for Timer J so that copies of the request get the same answer (RFC 3261 17.2.2).
 * This is the Completed state of those transactions: one string each instead of an object with a timer, forgotten by
 * generation, so between 64 and 80 times T1.
 */
import type { TimerOwner, TimerWheel } from '../timer-wheel.ts';

const generations = 4;

export class AnsweredRequests implements TimerOwner<'next'> {
  readonly #wheel: TimerWheel;
  readonly #stepMs: number;
  readonly #maxOctets: number;
  /** of the keys and answers of each map */
  #octets: number[] = [0];
  #maps: Map<string, string>[] = [new Map()];
  #turning = false;

  /** Above `maxOctets` the oldest go early: copies of their requests are taken for new ones, which a flood can live with. */
  constructor(wheel: TimerWheel, keepMs: number, maxOctets: number) {
    this.#wheel = wheel;
    this.#maxOctets = maxOctets;
    this.#stepMs = keepMs / generations;
  }

  get size(): number {
    let size = 0;
    for (const map of this.#maps) size += map.size;
    return size;
  }

  set(key: string, answer: string): void {
    (this.#maps[0] as Map<string, string>).set(key, answer);
    this.#octets[0] = (this.#octets[0] ?? 0) + key.length + answer.length;
    if (this.#octets.reduce((sum, octets) => sum + octets, 0) > this.#maxOctets) this.#dropOldest();
    this.#turn();
  }

  #dropOldest(): void {
    this.#maps.pop();
    this.#octets.pop();
    if (this.#maps.length > 0) return;
    this.#maps = [new Map()];
    this.#octets = [0];
  }

  get(key: string): string | undefined {
    for (const map of this.#maps) {
      const answer = map.get(key);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  onTimer(_name: 'next'): void {
    this.#turning = false;
    this.#maps.unshift(new Map());
    this.#octets.unshift(0);
    if (this.#maps.length > generations + 1) this.#dropOldest();
    if (this.#maps.some((map) => map.size > 0)) this.#turn();
    else {
      this.#maps = [new Map()];
      this.#octets = [0];
    }
  }

  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    this.#wheel.schedule(this.#stepMs, this, 'next');
  }
}
