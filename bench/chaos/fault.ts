/** What can go wrong in a chaos run. Times are ms since the run began. */

export const faultKinds = [
  'node-kill',
  'node-drain',
  'node-told-to-drain',
  'node-freeze',
  'redis-kill',
  'redis-freeze',
  'redis-restart',
  'push-kill',
  'push-freeze',
  'push-503',
  'push-goaway',
  'partition',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Whom a node cannot reach in a partition. */
export type FarSide = 'redis' | 'phones and PBX' | `push ${number}` | `node ${number}`;

export interface PlannedFault {
  readonly id: number;
  readonly kind: FaultKind;
  readonly at: number;
  /** `at` counts from the end of the fault before it */
  readonly afterPrevious?: true;
  /** from the blow until it is taken back; what then heals takes longer */
  readonly forMs: number;
  /** which node, for `node-*` and `partition` */
  readonly node?: number;
  /** which push service, for `push-*` */
  readonly push?: number;
  /** for `partition` */
  readonly from?: FarSide;
}

/** A fault as it happened; `to` is when whoever it hit could work again, infinity while it lasts. */
export interface Fault extends Omit<PlannedFault, 'at' | 'forMs' | 'afterPrevious'> {
  readonly since: number;
  readonly to: number;
}

export function nameOf({ kind, node, push, from }: Pick<Fault, 'kind' | 'node' | 'push' | 'from'>): string {
  if (kind === 'partition') return `node ${node} cut off from ${from}`;
  const whom = node !== undefined ? ` ${node}` : push !== undefined ? ` ${push}` : '';
  return `${kind}${whom}`;
}
