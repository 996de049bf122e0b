/** MailStore in one list for each AOR; changed by scripts, so that it is atomic over all nodes. */
import type { MailStore, StoredMessage } from '../../ports/mail-store.ts';
import { run, script } from './commands/script.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';
import { scanPage } from './scan.ts';

const keepMessage = script(`
-- KEYS[1]  messages of one AOR, JSON, the oldest first
-- ARGV[1]  the message
-- ARGV[2]  its id
-- ARGV[3]  how many there may be
-- ARGV[4]  ms it may live
-- returns  kept, known or full
local all = redis.call('LRANGE', KEYS[1], 0, -1)
for _, one in ipairs(all) do
  if cjson.decode(one).id == ARGV[2] then return 'known' end
end
if #all >= tonumber(ARGV[3]) then return 'full' end
redis.call('RPUSH', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if tonumber(ARGV[4]) > left then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 'kept'
`);

const dropMessage = script(`
-- KEYS[1]  messages of one AOR
-- ARGV[1]  id of the one that goes
for _, one in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if cjson.decode(one).id == ARGV[1] then redis.call('LREM', KEYS[1], 1, one) end
end
return 1
`);

export function redisMail(redis: Commands, server: string, keys: Keys): MailStore {
  return {
    async keep(message, most) {
      const key = keys.mail(message.aor);
      // a span, not a point in time: the clocks of this node and of Redis may differ
      const lifeMs = String(Math.max(1, Math.ceil(message.expiresAt - message.storedAt)));
      const kept = await inTime(
        server,
        run(redis, keepMessage, key, JSON.stringify(message), message.id, String(most), lifeMs),
      );
      return kept === 'known' || kept === 'full' ? kept : 'kept';
    },
    async waiting(aor) {
      const all = await inTime(server, redis.lrange(keys.mail(aor), 0, -1));
      return all.map((text) => JSON.parse(text) as StoredMessage);
    },
    async drop(aor, id) {
      await inTime(server, run(redis, dropMessage, keys.mail(aor), id));
    },
    async scan(cursor, limit) {
      const { keys: found, next } = await inTime(server, scanPage(redis, cursor, keys.everyMail, limit));
      return { aors: found.map((key) => keys.aorOfMail(key)).filter((aor) => aor !== undefined), next };
    },
  };
}
