/** Chance with a seed that is printed: what failed once can be seen again with REVEILLE_TEST_SEED. */
import { randomInt } from 'node:crypto';

/** The seed that is asked for, or a new one; printed. */
export function aSeed(): number {
  const seed = Number(process.env['REVEILLE_TEST_SEED'] ?? randomInt(1 << 30));
  console.info(`seed ${seed} (REVEILLE_TEST_SEED=${seed} to see it again)`);
  return seed;
}

export interface Drawn {
  readonly seed: number;
  /** 0 to below 1 */
  next(): number;
  one<T>(of: readonly T[]): T;
}

/** mulberry32: small, and the same everywhere. */
export function drawn(seed: number): Drawn {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { seed, next, one: (of) => of[Math.floor(next() * of.length)] as (typeof of)[number] };
}
