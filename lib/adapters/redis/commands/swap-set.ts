/** Replaces the set of one AOR if its version is still the expected one. */
import type { Commands } from '../connection.ts';
import { run, script } from './script.ts';

/** A stored set is this many digits of version, then the shortened JSON of its bindings. */
export const versionDigits = 16;

const swapSet = script(`
-- KEYS[1]  set of the AOR: ${versionDigits} digits of version, then its bindings; absent when nothing is known
-- ARGV[1]  expected version, 0 for absent
-- ARGV[2]  the new bindings; empty text forgets the set
-- ARGV[3]  ms until Redis may forget it, at least 1
-- returns  1 stored, 0 the version is another one
-- The version is Redis' clock in microseconds, at least one more than before: so a set that comes back after it was
-- forgotten does not meet a version it had before.
local current = tonumber(redis.call('GETRANGE', KEYS[1], 0, ${versionDigits - 1})) or 0
if current ~= tonumber(ARGV[1]) then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
  return 1
end
local time = redis.call('TIME')
local version = math.max(current + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[1], string.format('%0${versionDigits}.0f', version) .. ARGV[2], 'PX', ARGV[3])
return 1
`);

export interface Swap {
  readonly key: string;
  readonly expected: number;
  /** the bindings as they are to lie in Redis, '' when there is none */
  readonly text: string;
  readonly keepMs: number;
}

export async function runSwapSet(redis: Commands, swap: Swap): Promise<'stored' | 'conflict'> {
  // Redis takes at most 2^63 ms; a century is long enough for a phone.
  const keepMs = Math.ceil(Math.min(Math.max(swap.keepMs, 1), 100 * 366 * 86_400_000));
  const result = await run(redis, swapSet, swap.key, String(swap.expected), swap.text, String(keepMs));
  return result === 1 ? 'stored' : 'conflict';
}
