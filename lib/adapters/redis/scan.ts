/** Walks over the keys of one server, or over those of every primary of a cluster, one after the other. */
import { Cluster, type Redis } from 'ioredis';
import type { Commands } from './connection.ts';

export interface ScannedPage {
  readonly keys: readonly string[];
  readonly next: string | undefined;
}

/** The cursor is that of SCAN; in a cluster with the node before it. One that is not ours starts anew. */
export async function scanPage(
  commands: Commands,
  cursor: string,
  pattern: string,
  limit: number,
): Promise<ScannedPage> {
  const count = Math.max(1, Math.floor(limit));
  if (!(commands instanceof Cluster)) {
    const [next, keys] = await commands.scan(numberOf(cursor), 'MATCH', pattern, 'COUNT', count);
    return { keys, next: next === '0' ? undefined : next };
  }
  const primaries = commands
    .nodes('master')
    .map((node): readonly [string, Redis] => [`${node.options.host}:${node.options.port}`, node])
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const [, name = '', place = ''] = /^(.*)\|(\d+)$/.exec(cursor) ?? [];
  // a node that has gone meanwhile: its slots are with the others, who are still to come or have been asked
  const at = primaries.findIndex(([node]) => node >= name);
  const found = primaries[at];
  if (found === undefined) return { keys: [], next: undefined };
  const [node, redis] = found;
  const [next, keys] = await redis.scan(node === name ? numberOf(place) : '0', 'MATCH', pattern, 'COUNT', count);
  if (next !== '0') return { keys, next: `${node}|${next}` };
  const after = primaries[at + 1];
  return { keys, next: after === undefined ? undefined : `${after[0]}|0` };
}

/** SCAN refuses what is not a number of 64 bits. */
function numberOf(cursor: string): string {
  return /^\d{1,20}$/.test(cursor) && BigInt(cursor) < 2n ** 64n ? cursor : '0';
}
