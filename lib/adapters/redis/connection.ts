/** How Redis is reached (one server, Sentinel, Cluster), how long it may take, and how its failures are told. Knows no keys. */
import { Cluster, Redis } from 'ioredis';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import { EdgeError } from '../../errors.ts';

/** Longest wait for an answer; a frozen server must not hold a REGISTER longer. */
const answerMs = 1000;
/** Nothing heard for this long although something is due: the host may be gone without a word, so connect anew. */
const silenceMs = 3000;
/** Longest wait for the first connection. */
const openMs = 5000;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  /** `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS; its host is not asked with Sentinel or Cluster */
  readonly url: string;
  /** first part of every key, such as `reveille:` */
  readonly keyPrefix: string;
  /** ask these which server is the primary */
  readonly sentinel?: { readonly nodes: readonly HostPort[]; readonly primary: string; readonly password?: string };
  /** some nodes of a Redis Cluster; the others are learnt from them */
  readonly cluster?: readonly HostPort[];
  /** with rediss:// */
  readonly tls?: RedisTls;
}

/** PEM texts. */
export interface RedisTls {
  readonly ca?: string;
  readonly serverName?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** One server or a cluster: the same commands. */
export type Commands = Redis | Cluster;

export interface Connection<T extends Commands = Commands> {
  readonly redis: T;
  /** `host:port`, for messages */
  readonly server: string;
}

/** Options every connection to a server has, also each of a cluster. */
const always = {
  connectTimeout: 2000,
  commandTimeout: answerMs,
  socketTimeout: silenceMs,
  disconnectTimeout: 500,
  keepAlive: 30_000,
  noDelay: true,
  maxRetriesPerRequest: 1,
  // A swap that was sent again after its answer got lost would report a conflict with itself.
  autoResendUnfulfilledCommands: false,
} as const satisfies RedisOptions;

const soonAgain = (times: number): number => Math.min(50 * 2 ** Math.min(times, 10), 2000);

/** The connection for commands. Rejects with EDGE_STORE_UNAVAILABLE when it cannot be used within 5 s. */
export async function connectTo(address: RedisAddress): Promise<Connection> {
  return address.cluster === undefined ? connectToOne(address, {}) : connectToCluster(address, address.cluster);
}

/** A connection to the one server, or to the one that is primary now. */
export async function connectToOne(address: RedisAddress, options: RedisOptions): Promise<Connection<Redis>> {
  const { host, port, db, ...login } = loginOf(address);
  const { sentinel } = address;
  const way: RedisOptions =
    sentinel === undefined
      ? { host, port }
      : {
          sentinels: sentinel.nodes.map((node) => ({ ...node })),
          name: sentinel.primary,
          ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
          ...(login.tls === undefined ? {} : { sentinelTLS: login.tls, enableTLSForSentinelMode: true }),
          sentinelCommandTimeout: answerMs,
          // Sentinel tells of a failover before the old primary is missed
          failoverDetector: true,
          sentinelRetryStrategy: soonAgain,
        };
  const server =
    sentinel === undefined
      ? `${host}:${port}`
      : `${sentinel.primary} of ${sentinel.nodes.map((node) => `${node.host}:${node.port}`).join(', ')}`;
  const redis = new Redis({
    ...always,
    ...way,
    ...login,
    db,
    lazyConnect: true,
    enableOfflineQueue: false,
    retryStrategy: soonAgain,
    // After a failover we may still be connected to the server that became a replica.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...options,
  });
  forgetsSilence(redis);
  writesOnceATurn(redis);
  return opened(redis, server);
}

/**
 * Commands of one turn of the event loop leave in one write. `enableAutoPipelining` does so, too, but holds every command back until
 * those before it are answered, so that each takes two round trips where others are always under way.
 */
function writesOnceATurn(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  let gathering: Redis['stream'] | undefined;
  redis.sendCommand = (...args) => {
    const { stream } = redis;
    if (stream?.writable && stream !== gathering) {
      gathering = stream;
      stream.cork();
      setImmediate(() => {
        if (gathering === stream) gathering = undefined;
        stream.uncork();
      });
    }
    return send(...args);
  };
}

/**
 * The silence of a connection that is gone must not end the one that follows it: ioredis 5.11.1 leaves the timer of `socketTimeout`
 * running and has it end whatever connection is there at its end (redis/ioredis#2147, mended after 5.11.1).
 */
export function forgetsSilence(redis: Redis): void {
  redis.on('close', () => {
    const timed = redis as unknown as { socketTimeoutTimer: NodeJS.Timeout | undefined };
    clearTimeout(timed.socketTimeoutTimer);
    timed.socketTimeoutTimer = undefined;
  });
}

/** What a connection of our own to one node of the cluster needs, beside its address. */
export function nodeOptions(address: RedisAddress): RedisOptions {
  const { host: _host, port: _port, db: _db, ...login } = loginOf(address);
  return { ...always, ...login, lazyConnect: true, enableOfflineQueue: false, retryStrategy: soonAgain };
}

async function connectToCluster(address: RedisAddress, nodes: readonly HostPort[]): Promise<Connection<Cluster>> {
  const { host: _host, port: _port, db, ...login } = loginOf(address);
  if (db !== 0) throw new EdgeError('EDGE_CONFIG_INVALID', 'A Redis Cluster has database 0 only; expected no /db.');
  const options: ClusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: soonAgain,
    // a command whose connection was lost may have been done: never a second time by itself
    retryDelayOnFailover: 0,
    maxRedirections: 8,
    retryDelayOnMoved: 0,
    retryDelayOnTryAgain: 50,
    retryDelayOnClusterDown: 100,
    slotsRefreshTimeout: answerMs,
    slotsRefreshInterval: 5000,
    redisOptions: { ...always, ...login },
    // the names in a certificate are those the nodes announce, not addresses
    ...(login.tls === undefined ? {} : { dnsLookup: (name, callback) => callback(null, name) }),
  };
  const cluster = new Cluster(
    nodes.map((node) => ({ ...node })),
    options,
  );
  cluster.on('+node', (node: Redis) => {
    forgetsSilence(node);
    writesOnceATurn(node);
  });
  return opened(cluster, nodes.map((node) => `${node.host}:${node.port}`).join(', '));
}

async function opened<T extends Commands>(redis: T, server: string): Promise<Connection<T>> {
  let last: unknown;
  redis.on('error', (error: unknown) => {
    // what ioredis says of its own state afterwards is not the reason
    if (last === undefined || !/isn't writeable|Connection is closed/.test(textOf(error))) last = error;
  });
  redis.connect().catch((error: unknown) => {
    last ??= error;
  });
  if (await becomesReady(redis)) return { redis, server };
  redis.disconnect();
  const why = last === undefined ? 'no answer' : textOf(last);
  throw new EdgeError(
    'EDGE_STORE_UNAVAILABLE',
    `Redis at ${server} cannot be used (${why}). Check that it runs, its address, and user and password in its URL.`,
    withoutSecrets(last),
  );
}

/** Whatever keeps `work` from ending in time or at all becomes an EDGE_STORE_UNAVAILABLE that says nothing secret. */
export async function inTime<T>(server: string, work: Promise<T>): Promise<T> {
  // ioredis' own limit starts when a command is written, which may be after the commands before it have timed out.
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${answerMs} ms`)), answerMs);
  });
  try {
    return await Promise.race([work, limit]);
  } catch (error) {
    throw new EdgeError(
      'EDGE_STORE_UNAVAILABLE',
      `Redis at ${server} cannot be used now (${textOf(error)}).`,
      withoutSecrets(error),
    );
  } finally {
    clearTimeout(timer);
  }
}

/** Ends a connection, politely when it lives. */
export async function endConnection(redis: Commands): Promise<void> {
  if (redis.status === 'ready') await redis.quit().catch(() => undefined);
  redis.disconnect();
}

function becomesReady(redis: Commands): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), openMs);
    const settle = (ready: boolean): void => {
      clearTimeout(timer);
      resolve(ready);
    };
    redis.once('ready', () => settle(true));
    redis.on('error', (error: unknown) => {
      if (/WRONGPASS|NOAUTH|NOPERM/.test(textOf(error))) settle(false); // waiting does not make a password right
    });
  });
}

interface Login extends HostPort {
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: NonNullable<RedisOptions['tls']>;
}

function loginOf({ url: text, tls }: RedisAddress): Login {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d*)$/.exec(url?.pathname ?? '')?.[1];
  if (url === undefined || database === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    // without the text: it may hold a password
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      'The address of Redis must be a URL like redis://[user:password@]host[:port][/db] or rediss://..., but is not.',
    );
  }
  const secure = {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
  };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(database),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' ? { tls: secure } : {}),
  };
}

/** ioredis hangs the command with all its arguments on an error, and Redis quotes the arguments of a command it does not know. */
function withoutSecrets(error: unknown): Error | undefined {
  if (error === undefined) return undefined;
  const clean = new Error(textOf(error));
  if (error instanceof Error) {
    clean.name = error.name;
    if ('code' in error && typeof error.code === 'string') Object.assign(clean, { code: error.code });
  }
  return clean;
}

function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(textOf).join(', ');
  const text = error instanceof Error ? error.message : 'unknown failure';
  // what a cluster says of all its nodes is in its last failure
  const last: unknown = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined;
  const more = last instanceof Error && last !== error ? ` (${textOf(last)})` : '';
  return text.replace(/,? with args beginning with:.*/s, '') + more;
}
