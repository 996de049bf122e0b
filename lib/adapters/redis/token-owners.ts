/**
 * TokenOwners in Redis: many tokens to a hash, because a key for each would cost more than a set of bindings. Hashes stay small enough
 * for Redis to keep them as one list (hash-max-listpack-entries, 512) up to five million phones, so a claim takes 60 octets instead
 * of 200. Fields cannot expire in Redis 7.0: each claim looks at a few others and forgets those past their time.
 */
import { createHash } from 'node:crypto';
import type { TokenOwners } from '../../ports/token-owners.ts';
import { run, script } from './commands/script.ts';
import { type Commands, inTime } from './connection.ts';
import type { Keys } from './keys.ts';

/** Never to be changed: tokens would be looked for where they are not. */
const parts = 2 ** 14;

const claim = script(`
-- KEYS[1]  owners of some tokens, each with the second of Redis' clock at which his claim ends before his name
-- ARGV[1]  the token
-- ARGV[2]  its new owner
-- ARGV[3]  ms until it is nobody's, at least 1
-- returns  its owner until now, or nil
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local ends = function(claim) return tonumber(string.match(claim, '^%d+')) or 0 end
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', math.floor(now + ARGV[3] / 1000)) .. ' ' .. ARGV[2])
local some = redis.call('HRANDFIELD', KEYS[1], 3, 'WITHVALUES')
for n = 1, #some, 2 do
  if ends(some[n + 1]) <= now then redis.call('HDEL', KEYS[1], some[n]) end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if not before or ends(before) <= now then return false end
return string.match(before, '^%d+ (.*)$')
`);

const longestMs = 100 * 366 * 86_400_000;

export function redisTokenOwners(redis: Commands, server: string, keys: Keys): TokenOwners {
  return {
    async claim(name, aor, until) {
      const hash = createHash('sha256').update(name).digest();
      // 96 bits tell all tokens of one part apart
      const field = hash.toString('base64url', 2, 14);
      // a span, not a point in time: the clocks of this node and of Redis may differ
      const keepMs = Math.ceil(Math.min(Math.max(until - Date.now(), 1), longestMs));
      const key = keys.owners(hash.readUInt16BE(0) % parts);
      const before = await inTime(server, run(redis, claim, key, field, aor, String(keepMs)));
      return typeof before === 'string' ? before : undefined;
    },
  };
}
