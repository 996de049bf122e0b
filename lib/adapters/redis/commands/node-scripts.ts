/**
 * What the node directory keeps in one hash, and the scripts that change it. All spans are counted by Redis' clock.
 *
 *   <id>          JSON of a node that lives; end:<id> when it ends, ms
 *   held:<id>     JSON of what it holds
 *   was:<id>      JSON of a node that was given up and has left something; busy:<id> until when somebody is at it, ms
 *   gone:<id>     when it was given up, ms: this id is never taken again, so a node that slept learns that it was given up
 *   version       how often the list has changed
 *   heard         when somebody renewed last, ms: after a silence of Redis itself all leases are over in it, and nobody is to blame
 *   soonest       no lease ends before, ms: until then there is no need to look at all of them. waiting: 1 while there is a was:<id>
 */
import { script } from './script.ts';

export const renewNode = script(`
-- KEYS[1]  see above
-- ARGV[1]  our id
-- ARGV[2]  our JSON; empty says goodbye
-- ARGV[3]  lease, ms
-- ARGV[4]  the version we know
-- ARGV[5]  ms until the key may go
-- ARGV[6]  JSON of what we hold; empty when it has not changed
-- ARGV[7]  ms until it is forgotten who was given up, and what was left that nobody has finished
-- returns  version; 0 nothing, 1 it knows what we hold, 2 we were given up; the JSON of nodes that have left something to which nobody
--          is; ms until the first lease may end; and the JSON of all nodes when it is another version than ours
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = function(ms) return string.format('%.0f', ms) end
local key = KEYS[1]
local changed = false
local silent = now - tonumber(redis.call('HGET', key, 'heard') or '0') > ARGV[3] / 2
redis.call('HSET', key, 'heard', stamp(now))
local lost = redis.call('HEXISTS', key, 'gone:' .. ARGV[1]) == 1
if ARGV[2] == '' then
  changed = redis.call('HDEL', key, ARGV[1]) == 1
  redis.call('HDEL', key, 'end:' .. ARGV[1])
  if not lost then redis.call('HDEL', key, 'held:' .. ARGV[1]) end
elseif not lost then
  changed = redis.call('HGET', key, ARGV[1]) ~= ARGV[2]
  redis.call('HSET', key, ARGV[1], ARGV[2], 'end:' .. ARGV[1], stamp(now + ARGV[3]))
  if ARGV[6] ~= '' then redis.call('HSET', key, 'held:' .. ARGV[1], ARGV[6]) end
end
local held = function() return redis.call('HEXISTS', key, 'held:' .. ARGV[1]) end
local seen = redis.call('HMGET', key, 'version', 'soonest', 'waiting')
if not (changed or silent or seen[1] ~= ARGV[4] or tonumber(seen[2] or '0') < now or seen[3] == '1') then
  redis.call('PEXPIRE', key, ARGV[5])
  return { seen[1], lost and 2 or held(), {}, tonumber(seen[2]) - now }
end
local all = redis.call('HGETALL', key)
local known = {}
for i = 1, #all, 2 do known[all[i]] = all[i + 1] end
local list = {}
local left = {}
local soonest = now + ARGV[3]
local waiting = 0
local ours = { version = true, heard = true, soonest = true, waiting = true }
for field, value in pairs(known) do
  local kind, id = string.match(field, '^(%a+):(.*)$')
  if kind == 'was' then
    waiting = 1
    if tonumber(known['busy:' .. id] or '0') < now and known['held:' .. id] then left[#left + 1] = value end
  elseif kind == 'gone' then
    if tonumber(value) + ARGV[7] < now then
      redis.call('HDEL', key, field, 'was:' .. id, 'held:' .. id, 'busy:' .. id)
    end
  elseif kind == nil and not ours[field] then
    local ends = tonumber(known['end:' .. field] or '0')
    if silent and ends < now + ARGV[3] then
      ends = now + ARGV[3]
      redis.call('HSET', key, 'end:' .. field, stamp(ends))
    end
    if ends < now then
      redis.call('HDEL', key, field, 'end:' .. field)
      redis.call('HSET', key, 'gone:' .. field, stamp(now))
      if known['held:' .. field] and known['held:' .. field] ~= '[]' then
        redis.call('HSET', key, 'was:' .. field, value)
        waiting = 1
        left[#left + 1] = value
      else
        redis.call('HDEL', key, 'held:' .. field)
      end
      changed = true
    else
      list[#list + 1] = value
      soonest = math.min(soonest, ends)
    end
  end
end
local version = tonumber(known['version'] or '0')
if changed then
  version = version + 1
  redis.call('HSET', key, 'version', stamp(version))
end
redis.call('HSET', key, 'soonest', stamp(soonest), 'waiting', waiting)
redis.call('PEXPIRE', key, ARGV[5])
local standing = lost and 2 or held()
if stamp(version) == ARGV[4] then return { stamp(version), standing, left, soonest - now } end
return { stamp(version), standing, left, soonest - now, list }
`);

export const takeHeld = script(`
-- KEYS[1]  see above
-- ARGV[1]  a node that is gone
-- ARGV[2]  ms for which nobody else is given it
-- returns  JSON of what it held; empty when there is nothing, or somebody is at it
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[1], 'held:' .. ARGV[1])
if not held or tonumber(redis.call('HGET', KEYS[1], 'busy:' .. ARGV[1]) or '0') >= now then return '' end
redis.call('HSET', KEYS[1], 'busy:' .. ARGV[1], string.format('%.0f', now + ARGV[2]))
return held
`);

export const dropHeld = script(`
-- KEYS[1]  see above
-- ARGV[1]  a node that is gone, all of whose work is done
return redis.call('HDEL', KEYS[1], 'held:' .. ARGV[1], 'was:' .. ARGV[1], 'busy:' .. ARGV[1])
`);
