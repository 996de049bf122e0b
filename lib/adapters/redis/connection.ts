/** One connection to Redis: how it is opened, how long it may take, and how its failures are told. Knows no keys and no commands. */
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { EdgeError } from '../../errors.ts';

/** Longest wait for an answer; a frozen server must not hold a REGISTER longer. */
const answerMs = 1000;
/** Nothing heard for this long although something is due: the host may be gone without a word, so connect anew. */
const silenceMs = 3000;
/** Longest wait for the first connection. */
const openMs = 5000;

export interface Connection {
  readonly redis: Redis;
  /** `host:port`, for messages */
  readonly server: string;
}

export async function connectTo(url: string, options: RedisOptions): Promise<Connection> {
  const server = serverOf(url);
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2000,
    commandTimeout: answerMs,
    socketTimeout: silenceMs,
    disconnectTimeout: 500,
    keepAlive: 30_000,
    noDelay: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    // A swap that was sent again after its answer got lost would report a conflict with itself.
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), 2000),
    // After a failover we may still be connected to the server that became a replica.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...options,
  });
  let last: unknown;
  redis.on('error', (error: unknown) => {
    last = error;
  });
  redis.connect().catch((error: unknown) => {
    last ??= error;
  });
  if (!(await becomesReady(redis))) {
    redis.disconnect();
    const why = last === undefined ? 'no answer' : textOf(last);
    throw new EdgeError(
      'EDGE_STORE_UNAVAILABLE',
      `Redis at ${server} cannot be used (${why}). Check that it runs, its address, and user and password in its URL.`,
      withoutSecrets(last),
    );
  }
  return { redis, server };
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
export async function endConnection(redis: Redis): Promise<void> {
  if (redis.status === 'ready') await redis.quit().catch(() => undefined);
  redis.disconnect();
}

function becomesReady(redis: Redis): Promise<boolean> {
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

function serverOf(url: string): string {
  try {
    const { protocol, host } = new URL(url);
    if (protocol === 'redis:' || protocol === 'rediss:') return host;
  } catch {
    // told below, without the text: it may hold a password
  }
  throw new EdgeError(
    'EDGE_CONFIG_INVALID',
    'The address of Redis must be a URL like redis://[user:password@]host[:port][/db] or rediss://..., but is not.',
  );
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
  return text.replace(/,? with args beginning with:.*/s, '');
}
