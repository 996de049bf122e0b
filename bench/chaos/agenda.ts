/** Which faults a run has, and when: drawn from the seed, so that a run can be repeated. Pure. */
import { randomFrom } from '../figures.ts';
import { type FarSide, type FaultKind, faultKinds, type PlannedFault } from './fault.ts';

export interface AgendaPlan {
  readonly seed: number;
  /** faults begin and are taken back within this time, ms */
  readonly forMs: number;
  readonly nodes: number;
  readonly pushServices: number;
  /** hosts can be cut off from one another */
  readonly partitions: boolean;
  /** only these; all when absent */
  readonly only?: readonly FaultKind[];
  /** ms from one fault to the next: at least and at most */
  readonly pauseMs: readonly [least: number, most: number];
}

/** How often each is drawn, and how long it lasts, ms. */
const kinds: Readonly<Record<FaultKind, { readonly weight: number; readonly ms: readonly [number, number] }>> = {
  'node-kill': { weight: 3, ms: [300, 3000] },
  'node-drain': { weight: 3, ms: [200, 1000] },
  // SIGTERM alone, or `reveille drain` first
  'node-told-to-drain': { weight: 2, ms: [200, 1000] },
  'node-freeze': { weight: 3, ms: [500, 4000] },
  'redis-kill': { weight: 1, ms: [300, 3000] },
  'redis-freeze': { weight: 1, ms: [500, 4000] },
  'redis-restart': { weight: 1, ms: [100, 500] },
  'push-kill': { weight: 1, ms: [500, 5000] },
  'push-freeze': { weight: 1, ms: [500, 5000] },
  'push-503': { weight: 1, ms: [1000, 6000] },
  'push-goaway': { weight: 2, ms: [0, 0] },
  partition: { weight: 4, ms: [500, 5000] },
};

/** A node that was stopped is given this long to stand again before something else happens to it, ms. */
const standsAgainMs = 8000;
const quietAtStartMs = 4000;

/** In the order of their beginning. Never are all nodes down at once, and nothing is hit twice at a time. */
export function draw(plan: AgendaPlan): readonly PlannedFault[] {
  const random = randomFrom(plan.seed);
  const between = (least: number, most: number): number => Math.round(least + random() * (most - least));
  const pick = (count: number): number => Math.floor(random() * count);
  const possible = faultKinds
    .filter((kind) => (kind !== 'partition' || plan.partitions) && (plan.only?.includes(kind) ?? true))
    .map((kind) => [kind, kinds[kind]] as const);
  const total = possible.reduce((sum, [, { weight }]) => sum + weight, 0);
  const faults: PlannedFault[] = [];
  const busyUntil = new Map<string, number>();
  const isFree = (whom: string, at: number): boolean => (busyUntil.get(whom) ?? 0) <= at;
  for (let at = quietAtStartMs; at < plan.forMs; at += between(...plan.pauseMs)) {
    let left = random() * total;
    const [kind = 'node-kill'] = possible.find(([, { weight }]) => (left -= weight) < 0) ?? [];
    const drawn = { id: faults.length + 1, kind, at };
    const forMs = between(...kinds[drawn.kind].ms);
    // drawn in any case, so that what is skipped does not change what comes after it
    const [node, push, side] = [pick(plan.nodes), pick(plan.pushServices), pick(3 + plan.nodes)];
    if (at + forMs > plan.forMs) continue;
    const whom =
      drawn.kind.startsWith('node') || drawn.kind === 'partition' ? `node ${node}` : whomElse(drawn.kind, push);
    if (!isFree(whom, at)) continue;
    const othersBusy = Array.from({ length: plan.nodes }, (_, n) => n).filter(
      (n) => n !== node && !isFree(`node ${n}`, at),
    );
    if (whom.startsWith('node') && othersBusy.length >= plan.nodes - 1) continue;
    const stops = drawn.kind !== 'node-freeze' && drawn.kind !== 'partition';
    busyUntil.set(whom, at + forMs + (stops ? standsAgainMs : 1000));
    if (drawn.kind === 'partition') faults.push({ ...drawn, forMs, node, from: farSide(side, node, push, plan.nodes) });
    else if (drawn.kind.startsWith('node')) faults.push({ ...drawn, forMs, node });
    else if (drawn.kind.startsWith('push')) faults.push({ ...drawn, forMs, push });
    else faults.push({ ...drawn, forMs });
  }
  return faults;
}

function whomElse(kind: FaultKind, push: number): string {
  return kind.startsWith('push') ? `push ${push}` : 'redis';
}

function farSide(side: number, node: number, push: number, nodes: number): FarSide {
  const sides: readonly FarSide[] = ['redis', 'phones and PBX', `push ${push}`];
  return sides[side] ?? `node ${side - 3 === node ? (node + 1) % nodes : side - 3}`;
}

/** From the end of the restart of one node to that of the next, ms. */
const betweenRestartsMs = 2000;

/** Each node is drained and started again in turn, the first by SIGTERM, the next after `reveille drain`, and so on. */
export function rolling(nodes: number): readonly PlannedFault[] {
  return Array.from({ length: nodes }, (_, node) => ({
    id: node + 1,
    kind: node % 2 === 0 ? 'node-drain' : 'node-told-to-drain',
    at: betweenRestartsMs,
    forMs: 0,
    node,
    afterPrevious: true,
  }));
}
