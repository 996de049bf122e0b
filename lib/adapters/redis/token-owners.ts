/** TokenOwners in Redis: one key for each token, read and written by one command. */
import type { TokenOwners } from '../../ports/token-owners.ts';
import { run, script } from './commands/script.ts';
import { type Commands, inTime } from './connection.ts';
import type { Keys } from './keys.ts';

/** A script, because SET with GET came with Redis 6.2 only. */
const claim = script(`
-- KEYS[1]  the token
-- ARGV[1]  its new owner
-- ARGV[2]  ms until it is nobody's, at least 1
-- returns  its owner until now, or nil
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return before
`);

const longestMs = 100 * 366 * 86_400_000;

export function redisTokenOwners(redis: Commands, server: string, keys: Keys): TokenOwners {
  return {
    async claim(name, aor, until) {
      // a span, not a point in time: the clocks of this node and of Redis may differ
      const keepMs = Math.ceil(Math.min(Math.max(until - Date.now(), 1), longestMs));
      const before = await inTime(server, run(redis, claim, keys.token(name), aor, String(keepMs)));
      return typeof before === 'string' ? before : undefined;
    },
  };
}
