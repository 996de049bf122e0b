/** Records in one hash for each kind; versions are compared in a script. */
import type { Records, StoredRecord } from '../../ports/records.ts';
import { run, script } from './commands/script.ts';
import { versionDigits } from './commands/swap-set.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';

/** No key without expiry; every write and every walk prolongs it. */
const keepMs = 400 * 86_400_000;

const swapRecord = script(`
-- KEYS[1]  hash of the kind: name, ${versionDigits} digits of version and the value
-- ARGV[1]  name
-- ARGV[2]  expected version, 0 for absent
-- ARGV[3]  1 to write, 0 to forget
-- ARGV[4]  the value
-- ARGV[5]  ms until the hash may be forgotten unless it is used again
-- returns  the new version as text, 0 when forgotten; nothing when the version is another one
-- The version is Redis' clock in microseconds, at least one more than before: so a record that comes back after it was forgotten
-- does not meet a version it had before.
local known = redis.call('HGET', KEYS[1], ARGV[1])
local current = known and tonumber(string.sub(known, 1, ${versionDigits})) or 0
if current ~= tonumber(ARGV[2]) then return false end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return '0'
end
local time = redis.call('TIME')
local version = string.format('%0${versionDigits}.0f', math.max(current + 1, time[1] * 1000000 + time[2]))
redis.call('HSET', KEYS[1], ARGV[1], version .. ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return version
`);

export function redisRecords(redis: Commands, server: string, keys: Keys): Records {
  return {
    read: async (kind, name) => {
      const text = await inTime(server, redis.hget(keys.records(kind), name));
      return text === null ? undefined : toRecord(name, text);
    },
    swap: async (kind, name, expected, value) => {
      const args = [name, String(expected), value === undefined ? '0' : '1', value ?? '', String(keepMs)];
      const version = await inTime(server, run(redis, swapRecord, keys.records(kind), ...args));
      return typeof version === 'string' ? Number(version) : undefined;
    },
    // the cursor is that of HSCAN
    scan: async (kind, cursor, limit) => {
      const key = keys.records(kind);
      const from = /^\d{1,19}$/.test(cursor) ? cursor : '0';
      if (from === '0') await inTime(server, redis.pexpire(key, keepMs));
      const [next, found] = await inTime(server, redis.hscan(key, from, 'COUNT', Math.max(1, Math.floor(limit))));
      const records: StoredRecord[] = [];
      for (let at = 0; at + 1 < found.length; at += 2) records.push(toRecord(found[at] ?? '', found[at + 1] ?? ''));
      return { records, next: next === '0' ? undefined : next };
    },
  };
}

function toRecord(name: string, text: string): StoredRecord {
  return { name, version: Number(text.slice(0, versionDigits)) || 0, value: text.slice(versionDigits) };
}
