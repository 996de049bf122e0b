/** A Lua script under its hash: Redis has it after the first use, and is given it again when it has forgotten it. */
import type { Commands } from '../connection.ts';
import { createHash } from 'node:crypto';

export interface Script {
  readonly source: string;
  readonly hash: string;
}

export function script(source: string): Script {
  return { source, hash: createHash('sha1').update(source).digest('hex') };
}

/** `keys`: all in one hash slot. */
export async function run(
  redis: Commands,
  { source, hash }: Script,
  keys: string | readonly string[],
  ...args: string[]
): Promise<unknown> {
  const all = typeof keys === 'string' ? [keys] : keys;
  try {
    return await redis.evalsha(hash, all.length, ...all, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(source, all.length, ...all, ...args);
  }
}
