/**
 * In which order the servers of a PBX are tried for one user: lowest priority first, then by weight, and the same for the same user
 * every time and at every node (highest random weight), so that his registration and his calls meet at one server without anything
 * being remembered. Pure.
 */
import type { Standing } from './upstream-health.ts';

export interface Ranked {
  /** name of the server, the same at every node */
  readonly id: string;
  /** name of the configured upstream it belongs to */
  readonly upstream: string;
  /** of the upstream: lower first; within one priority the share of users follows the weight */
  readonly priority: number;
  readonly weight: number;
  /** of the server within its upstream, as DNS has it (RFC 2782) */
  readonly srvPriority: number;
  readonly srvWeight: number;
}

/** All of `servers`: the usable ones, then those that rest, then those that are down. `user` is the AOR. */
export function orderServers<S extends Ranked>(
  servers: readonly S[],
  user: string,
  standing: (server: S) => Standing,
): readonly S[] {
  if (servers.length < 2) return servers;
  const places = servers.map((server) => ({
    server,
    late: lateness[standing(server)],
    upstream: score(user, server.upstream, server.weight),
    own: score(user, server.id, server.srvWeight),
  }));
  return places
    .toSorted(
      (a, b) =>
        a.late - b.late ||
        a.server.priority - b.server.priority ||
        b.upstream - a.upstream ||
        compare(a.server.upstream, b.server.upstream) ||
        a.server.srvPriority - b.server.srvPriority ||
        b.own - a.own ||
        compare(a.server.id, b.server.id),
    )
    .map(({ server }) => server);
}

const lateness: Readonly<Record<Standing, number>> = { usable: 0, resting: 1, down: 2 };

/** A weight of 0 has a very small chance, as in RFC 2782, and an equal one among its like. */
const leastWeight = 0.001;

/** The higher the sooner; over many users the highest of several is drawn in proportion to the weights. */
function score(user: string, name: string, weight: number): number {
  return -Math.max(weight, leastWeight) / Math.log(share(`${user} ${name}`));
}

/** Above 0 and below 1: FNV-1a, well stirred. */
function share(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
