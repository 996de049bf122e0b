/** Random names: frame and transaction ids, tags, branches. Not reproducible, and must not be guessable from outside. */
import { randomFillSync } from 'node:crypto';

const pool = Buffer.allocUnsafeSlow(8192);
let at = pool.length;

/** Position of so many fresh random octets in the pool. */
function draw(octets: number): number {
  if (at + octets > pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  at += octets;
  return at - octets;
}

function hex(octets: number): string {
  const from = draw(octets);
  return pool.toString('hex', from, from + octets);
}

const digits = Buffer.from('0123456789abcdef', 'latin1');
const written = Buffer.from('00000000-0000-4000-8000-000000000000', 'latin1');
/** where the two digits of each octet stand */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;

/**
 * A random UUID (RFC 9562 5.4). That of node:crypto is put together from twenty pieces, which stay as objects for as long as it is kept:
 * half a KiB for each transaction.
 */
export function uuid(): string {
  const from = draw(16);
  for (let i = 0; i < 16; i++) {
    const octet = pool[from + i] as number;
    const place = places[i] as number;
    written[place] = digits[octet >> 4] as number;
    written[place + 1] = digits[octet & 15] as number;
  }
  written[14] = 0x34; // version 4
  written[19] = digits[(((pool[from + 8] as number) >> 4) & 3) | 8] as number;
  return written.toString('latin1');
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
