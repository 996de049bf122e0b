/** Agenda in sorted sets, one for each of a few hash slots; claimed and settled by scripts, so that each task has one owner. */
import { createHash } from 'node:crypto';
import type { Agenda, ClaimedTask } from '../../ports/agenda.ts';
import { run, script } from './commands/script.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';

/** Enough to spread over the nodes of a cluster, few enough to be asked in turn. */
const shards = 8;
/** Most tasks of one script: while it runs, nobody else is answered. */
const mostAtOnce = 100;
/** No key without expiry; every put prolongs it. */
const keepMs = 400 * 86_400_000;

const claimDue = script(`
-- KEYS[1]  tasks by time, ms since the epoch
-- ARGV[1]  now
-- ARGV[2]  until when the claimed ones are ours
-- ARGV[3]  how many at most
-- returns  the tasks, the oldest first
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, task in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], task) end
return due
`);

const settleClaimed = script(`
-- KEYS[1]  tasks by time
-- ARGV[1]  the task
-- ARGV[2]  the time it has if it is still ours
-- ARGV[3]  its next time; empty ends it
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at or tonumber(at) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1])
else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
`);

/** `name`: one of several; '' is that of the refresh pushes. */
export function redisAgenda(redis: Commands, server: string, keys: Keys, name = ''): Agenda {
  let next = 0;
  const shardOf = (task: string): string =>
    keys.agenda(name, (createHash('sha1').update(task).digest()[0] ?? 0) % shards);
  return {
    async put(task, at) {
      const key = shardOf(task);
      await inTime(server, Promise.all([redis.zadd(key, at, task), redis.pexpire(key, keepMs)]));
    },
    async claim(now, until, limit) {
      const claimed: ClaimedTask[] = [];
      // each time another shard first, so that none waits behind a full one for ever
      const first = next++;
      let open = Array.from({ length: shards }, (_, count) => (first + count) % shards);
      while (open.length > 0 && claimed.length < limit) {
        const more: number[] = [];
        for (const shard of open) {
          const room = Math.min(mostAtOnce, limit - claimed.length);
          if (room <= 0) break;
          const args = [String(now), String(until), String(room)];
          const due = await inTime(server, run(redis, claimDue, keys.agenda(name, shard), ...args));
          if (!Array.isArray(due)) continue;
          for (const task of due) claimed.push({ task: String(task), until });
          if (due.length === room) more.push(shard);
        }
        open = more;
      }
      return claimed;
    },
    async settle({ task, until }, at) {
      const time = at === undefined ? '' : String(at);
      await inTime(server, run(redis, settleClaimed, shardOf(task), task, String(until), time));
    },
  };
}
