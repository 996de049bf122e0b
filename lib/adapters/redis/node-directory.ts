/** NodeDirectory in one sorted set and one hash: every node renews its entry, and is told of the others when something has changed. */
import type { EdgeNode, EngineAddress, NodeDirectory } from '../../ports/node-directory.ts';
import { run, script } from './commands/script.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';

const renewEveryMs = 400;
/** A node that has not renewed for so long is gone for the others. Three renewals may be lost. */
const leaseMs = 1500;
/** No key without expiry. */
const keepMs = 86_400_000;

const renewNode = script(`
-- KEYS[1]  hash: node id to its JSON; end:<id> to the time it ends, ms on Redis' clock; held:<id> to the JSON of what it holds;
--          version: how often the list has changed
-- ARGV[1]  our id
-- ARGV[2]  our JSON; empty says goodbye
-- ARGV[3]  lease, ms
-- ARGV[4]  the version we know
-- ARGV[5]  ms until the key may go
-- ARGV[6]  JSON of what we hold; empty when it has not changed
-- returns  version, 1 when it knows what we hold, and the JSON of all nodes when it is another version than ours
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = false
if ARGV[2] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[1]) == 1
  redis.call('HDEL', KEYS[1], 'end:' .. ARGV[1], 'held:' .. ARGV[1])
else
  changed = redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2]
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'end:' .. ARGV[1], string.format('%.0f', now + ARGV[3]))
end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'held:' .. ARGV[1], ARGV[6]) end
local all = redis.call('HGETALL', KEYS[1])
local known = {}
for i = 1, #all, 2 do known[all[i]] = all[i + 1] end
local list = {}
for id, value in pairs(known) do
  if not string.find(id, ':', 1, true) and id ~= 'version' then
    local ends = tonumber(known['end:' .. id] or '0')
    if ends < now then
      redis.call('HDEL', KEYS[1], id, 'end:' .. id)
      changed = true
    else
      list[#list + 1] = value
    end
  end
end
local version = tonumber(known['version'] or '0')
if changed then
  version = version + 1
  redis.call('HSET', KEYS[1], 'version', version)
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local holds = redis.call('HEXISTS', KEYS[1], 'held:' .. ARGV[1])
if string.format('%.0f', version) == ARGV[4] then return { string.format('%.0f', version), holds } end
return { string.format('%.0f', version), holds, list }
`);

const takeHeld = script(`
-- KEYS[1]  see above
-- ARGV[1]  a node that is gone
-- returns  what it held, once
local held = redis.call('HGET', KEYS[1], 'held:' .. ARGV[1])
redis.call('HDEL', KEYS[1], 'held:' .. ARGV[1])
return held or '[]'
`);

export function redisNodes(redis: Commands, server: string, keys: Keys): NodeDirectory {
  return new RedisNodes(redis, server, keys);
}

class RedisNodes implements NodeDirectory {
  readonly #redis: Commands;
  readonly #server: string;
  readonly #key: string;
  readonly #listeners = new Set<(gone: EdgeNode) => void>();
  #self: EdgeNode | undefined;
  #held: () => readonly string[] = () => [];
  /** as Redis has it */
  #heldText = '';
  /** Redis came back, empty or from a pause: until then (performance.now()) a node that is missing may only not have told of itself yet */
  #patientUntil = 0;
  /** Redis did not answer when we asked last */
  #unheard = false;
  #others: ReadonlyMap<string, EdgeNode> = new Map();
  #version = '';
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(redis: Commands, server: string, keys: Keys) {
    this.#redis = redis;
    this.#server = server;
    this.#key = keys.nodes;
  }

  async announce(self: EdgeNode, held: () => readonly string[]): Promise<void> {
    this.#self = self;
    this.#held = held;
    await this.#renew();
  }

  get others(): number {
    return this.#others.size;
  }

  withEngine(engine: string): EdgeNode | undefined {
    for (const node of this.#others.values()) if (node.engine === engine) return node;
    return undefined;
  }

  onGone(listener: (gone: EdgeNode) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async takeOver(gone: EdgeNode): Promise<readonly string[]> {
    const text = await inTime(this.#server, run(this.#redis, takeHeld, this.#key, gone.id));
    const held: unknown = JSON.parse(String(text));
    return Array.isArray(held) ? held.filter((one) => typeof one === 'string') : [];
  }

  async close(): Promise<void> {
    const self = this.#self;
    this.#self = undefined;
    clearTimeout(this.#timer);
    this.#listeners.clear();
    await this.#running;
    if (self !== undefined) await this.#ask(self.id, '').catch(() => undefined);
  }

  #renew(): Promise<void> {
    this.#running = this.#once().finally(() => {
      if (this.#self !== undefined) this.#timer = setTimeout(() => void this.#renew(), renewEveryMs).unref();
    });
    return this.#running;
  }

  /** When Redis is away, who was there last counts as there: their engines are asked, and say for themselves. */
  async #once(): Promise<void> {
    const self = this.#self;
    if (self === undefined) return;
    try {
      const held = JSON.stringify(this.#held());
      const told = await this.#ask(self.id, JSON.stringify(self), held === this.#heldText ? '' : held);
      const { version, holds, list } = told;
      // whoever asks first after a pause of Redis finds that all leases have ended in it, its own, too
      if (this.#unheard || Number(version) < Number(this.#version)) this.#patientUntil = performance.now() + leaseMs;
      this.#unheard = false;
      this.#heldText = holds ? held : '';
      if (list === undefined || version === this.#version) return;
      const patient = performance.now() < this.#patientUntil;
      this.#version = patient ? '' : version;
      const others = new Map<string, EdgeNode>(patient ? this.#others : []);
      for (const text of list) {
        const node = nodeFrom(text);
        if (node !== undefined && node.id !== self.id) others.set(node.id, node);
      }
      const gone = [...this.#others.values()].filter(({ id }) => !others.has(id));
      this.#others = others;
      for (const node of gone) for (const listener of this.#listeners) listener(node);
    } catch {
      // again at the next renewal, with everything, for Redis may come back empty
      this.#heldText = '';
      this.#unheard = true;
    }
  }

  async #ask(id: string, text: string, held = ''): Promise<Told> {
    const args = [id, text, String(leaseMs), this.#version, String(keepMs), held];
    const told = await inTime(this.#server, run(this.#redis, renewNode, this.#key, ...args));
    const [version, holds, list] = Array.isArray(told) ? (told as readonly unknown[]) : [];
    return { version: String(version), holds: holds === 1, list: Array.isArray(list) ? list.map(String) : undefined };
  }
}

interface Told {
  readonly version: string;
  /** Redis knows what we hold */
  readonly holds: boolean;
  /** undefined when nothing has changed */
  readonly list: readonly string[] | undefined;
}

/** Undefined for what is not one of ours. */
function nodeFrom(text: string): EdgeNode | undefined {
  try {
    const { id, engine, at } = JSON.parse(text) as Partial<EdgeNode>;
    if (typeof id !== 'string' || typeof engine !== 'string') return undefined;
    return at !== undefined && isAddress(at) ? { id, engine, at } : { id, engine };
  } catch {
    return undefined;
  }
}

function isAddress({ host, port, secret }: Partial<EngineAddress>): boolean {
  return typeof host === 'string' && typeof port === 'number' && typeof secret === 'string';
}
