/** Gives a small value that all nodes share, sets it when there is none, and prolongs it in both cases. */
import type { Commands } from '../connection.ts';
import { run, script } from './script.ts';

/** No key without expiry; every node that uses a value prolongs it once a day and after every reconnect. */
const keepMs = 400 * 86_400_000;

const sharedValue = script(`
-- KEYS[1]  the value
-- ARGV[1]  what to store when there is none
-- ARGV[2]  ms until it is forgotten unless somebody asks again
-- returns  the value that is now stored
local known = redis.call('GET', KEYS[1])
if known then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return known
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
`);

export async function runSharedValue(redis: Commands, key: string, ifAbsent: string): Promise<string> {
  return String(await run(redis, sharedValue, key, ifAbsent, String(keepMs)));
}
