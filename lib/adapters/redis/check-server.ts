/** What a Redis must be for bindings to be safe in it: looked at once, at the start, so that a wrong setting is not found by losing phones. */
import { Cluster, type Redis } from 'ioredis';
import { EdgeError } from '../../errors.ts';
import { inTime, type Connection } from './connection.ts';
import type { Keys } from './keys.ts';

/**
 * Rejects with EDGE_CONFIG_INVALID when Redis would forget sleeping phones (an eviction policy), is too old, or does not let this user
 * do what the edge has to. Returns what could not be looked at, for the log.
 */
export async function checkServer(connection: Connection, keys: Keys): Promise<readonly string[]> {
  const { redis, server } = connection;
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  const unseen = await Promise.all(
    nodes.map((node) => checkNode(node, nodes.length > 1 || redis instanceof Cluster, server)),
  );
  await tryEverything(connection, keys);
  return [...new Set(unseen.flat())];
}

async function checkNode(node: Redis, clustered: boolean, server: string): Promise<readonly string[]> {
  let info: string;
  try {
    info = await inTime(server, node.info());
  } catch {
    return ['INFO is not allowed: its version and maxmemory-policy are unknown; it must be noeviction'];
  }
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info);
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  const [wantMajor, wantMinor] = clustered ? [7, 0] : [6, 2];
  if (version !== null && (major < wantMajor || (major === wantMajor && minor < wantMinor)))
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `Redis at ${server}: expected version ${wantMajor}.${wantMinor} or newer${clustered ? ' for a cluster' : ''}, found ${major}.${minor}`,
    );
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy === undefined) return ['its maxmemory-policy is unknown; it must be noeviction'];
  if (policy !== 'noeviction')
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `Redis at ${server}: expected maxmemory-policy noeviction, found ${policy}, which forgets phones that sleep`,
    );
  return [];
}

/** A user of Redis (ACL) may be allowed one thing and not the other; better told now than by the first call. */
async function tryEverything({ redis, server }: Connection, keys: Keys): Promise<void> {
  const key = keys.shared('check');
  const tries: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['get', () => redis.get(key)],
    ['hmget', () => redis.hmget(key, 'md5')],
    ['hrandfield', () => redis.hrandfield(key)],
    ['lrange', () => redis.lrange(key, 0, 0)],
    ['zscore', () => redis.zscore(key, 'x')],
    // the commands inside are looked at as well
    [
      'eval',
      () =>
        redis.eval(
          "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], '1', 'PX', '1000') redis.call('PEXPIRE', KEYS[1], '500') return redis.call('DEL', KEYS[1])",
          1,
          key,
        ),
    ],
    redis instanceof Cluster
      ? ['spublish', () => redis.spublish(keys.lifeSign, '')]
      : ['publish', () => redis.publish(keys.lifeSign, '')],
    ['scan', () => (redis instanceof Cluster ? redis.nodes('master')[0] : redis)?.scan('0') ?? Promise.resolve()],
  ];
  for (const [name, attempt] of tries) {
    try {
      await inTime(server, attempt());
    } catch (error) {
      const text = error instanceof Error ? error.message : '';
      if (text.includes('NOPERM'))
        throw new EdgeError(
          'EDGE_CONFIG_INVALID',
          `Redis at ${server}: expected a user that may use ${name} on our keys and channels, found NOPERM (docs/redis.md has the ACL rule)`,
        );
      // a key of another type is nobody's fault here
      if (!text.includes('WRONGTYPE')) throw error;
    }
  }
}
