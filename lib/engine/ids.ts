/** Random names: frame and transaction ids, tags, branches. Not reproducible, and must not be guessable from outside. */
import { randomFillSync, randomUUID } from 'node:crypto';

const pool = Buffer.allocUnsafeSlow(8192);
let at = pool.length;

function hex(octets: number): string {
  if (at + octets > pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  at += octets;
  return pool.toString('hex', at - octets, at);
}

export function uuid(): string {
  return randomUUID();
}

/** 64 random bits (RFC 3261 19.3 asks for 32). */
export function newTag(): string {
  return hex(8);
}

export function newBranch(): string {
  return `z9hG4bK${hex(8)}`;
}

let second = -1;
let secondText = '';
const origin = performance.timeOrigin;

/** Time of day in UTC as the control protocol writes it: `HH:MM:SS.micros`. */
export function timeOfDay(): string {
  const ms = origin + performance.now();
  const now = Math.floor(ms / 1000);
  if (now !== second) {
    second = now;
    secondText = new Date(now * 1000).toISOString().slice(11, 19);
  }
  const micros = Math.floor((ms - now * 1000) * 1000);
  return `${secondText}.${String(micros).padStart(6, '0')}`;
}

/** A copy that does not keep the text it was cut from in memory. */
export function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
