/**
 * Agenda in two sorted sets for each of a few hash slots: what is due when, and what is claimed until when, all by Redis' clock. Nodes
 * say spans (a time and what their clock shows now), so one whose clock is wrong takes nothing out of another's hands, nor too early.
 */
import { createHash } from 'node:crypto';
import { Cluster } from 'ioredis';
import type { Agenda, ClaimedTask } from '../../ports/agenda.ts';
import { run, script } from './commands/script.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';

/** Enough to spread over the nodes of a cluster, few enough to be asked each second. */
const shards = 8;
/** Most tasks of one script: while it runs, nobody else is answered. */
const mostAtOnce = 100;
/** No key without expiry; every put and every claim prolongs it. */
const keepMs = 400 * 86_400_000;

const putTask = script(`
-- KEYS[1]  tasks nobody has, by the time they are due, ms on Redis' clock
-- KEYS[2]  claimed tasks, by the end of their lease, ms on Redis' clock with a fraction: no two leases of a task have the same
-- ARGV[1]  the task
-- ARGV[2]  ms from now until it is due, or since then
-- ARGV[3]  ms until the keys may go
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
`);

const claimDue = script(`
-- KEYS     the two keys of one slot after those of the other, see above
-- ARGV[1]  ms from now: whatever is due then
-- ARGV[2]  lease, ms
-- ARGV[3]  how many at most
-- ARGV[4]  ms until the keys may go
-- returns  the end of the lease and the tasks: of each slot first those that somebody has had for too long, then the oldest
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.4f', now + ARGV[2] + (time[2] % 1000 + 0.5) / 1000)
local room = tonumber(ARGV[3])
local all = {}
for at = 1, #KEYS, 2 do
  if room <= 0 then break end
  local claimed = redis.call('ZRANGEBYSCORE', KEYS[at + 1], '-inf', string.format('%.0f', now), 'LIMIT', 0, room)
  if #claimed < room then
    local due = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', string.format('%.0f', now + ARGV[1]), 'LIMIT', 0, room - #claimed)
    for _, task in ipairs(due) do
      redis.call('ZREM', KEYS[at], task)
      claimed[#claimed + 1] = task
    end
  end
  for _, task in ipairs(claimed) do
    redis.call('ZADD', KEYS[at + 1], ends, task)
    all[#all + 1] = task
  end
  if #claimed > 0 then redis.call('PEXPIRE', KEYS[at + 1], ARGV[4]) end
  room = room - #claimed
end
return { ends, all }
`);

const settleClaimed = script(`
-- KEYS     see above
-- ARGV[1]  the task
-- ARGV[2]  the end of the lease it has if it is still ours
-- ARGV[3]  ms from now until it is due again; empty ends it
-- ARGV[4]  ms until the keys may go
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
  redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
`);

/** `name`: one of several; '' is that of the refresh pushes. */
export function redisAgenda(redis: Commands, server: string, keys: Keys, name = ''): Agenda {
  let next = 0;
  const keysOf = (shard: number): readonly [string, string] => [keys.agenda(name, shard), keys.leased(name, shard)];
  const shardOf = (task: string): readonly [string, string] =>
    keysOf((createHash('sha1').update(task).digest()[0] ?? 0) % shards);
  return {
    async put(task, at) {
      await inTime(server, run(redis, putTask, shardOf(task), task, fromNow(at), String(keepMs)));
    },
    async claim(now, until, limit) {
      const claimed: ClaimedTask[] = [];
      // each time another shard first, so that none waits behind a full one for ever
      const first = next++;
      const each = Array.from({ length: shards }, (_, count) => keysOf((first + count) % shards));
      // one server is asked once for all of them: this is done every second, mostly for nothing
      let open: readonly (readonly string[])[] = redis instanceof Cluster ? each : [each.flat()];
      while (open.length > 0 && claimed.length < limit) {
        const free = limit - claimed.length;
        const asked = open.slice(0, free);
        const rooms = asked.map((_, at) => Math.min(mostAtOnce, Math.ceil((free - at) / asked.length)));
        const found = await Promise.all(
          asked.map((of, at) => {
            const args = [until - now, rooms[at] ?? 0, keepMs].map(String);
            return inTime(server, run(redis, claimDue, of, fromNow(now), ...args));
          }),
        );
        const full: (readonly string[])[] = [];
        for (const [at, one] of found.entries()) {
          const [ends, tasks] = Array.isArray(one) ? (one as readonly unknown[]) : [];
          if (!Array.isArray(tasks)) continue;
          for (const task of tasks) claimed.push({ task: String(task), until: Number(ends) });
          if (tasks.length === rooms[at]) full.push(asked[at] ?? []);
        }
        open = [...open.slice(free), ...full];
      }
      return claimed;
    },
    async settle({ task, until }, at) {
      const time = at === undefined ? '' : fromNow(at);
      await inTime(server, run(redis, settleClaimed, shardOf(task), task, String(until), time, String(keepMs)));
    },
  };
}

/** By the clock that those who call us read. */
function fromNow(at: number): string {
  return String(Math.round(at - Date.now()));
}
