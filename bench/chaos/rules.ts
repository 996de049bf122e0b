/**
 * Which fault explains which loss. A fault counts only while it lasts and for the time it takes to heal, only where the call
 * went, and only for the loss it can cause. Pure.
 */
import type { FarSide, Fault, FaultKind } from './fault.ts';
import type { Attempt, Call, Leg } from './ledger.ts';

/** One thing that has to be explained. */
export type Scene =
  /** an INVITE to a node that was not answered by 200 */
  | { readonly is: 'attempt'; readonly call: Call; readonly attempt: Attempt }
  /** a call that was answered and then not hung up on both sides */
  | { readonly is: 'cut'; readonly call: Call; readonly attempt: Attempt }
  /** a phone that was rung and never told that it is over */
  | { readonly is: 'leg'; readonly call: Call; readonly attempt: Attempt; readonly leg: Leg }
  /** a phone that got another INVITE of the same attempt at `until` */
  | {
      readonly is: 'second';
      readonly call: Call;
      readonly attempt: Attempt;
      readonly leg: Leg;
      readonly until: number;
    };

interface Rule {
  readonly kinds: readonly FaultKind[];
  /** for faults of nodes: which one */
  readonly node?: 'caller' | 'phone';
  /** for partitions: between whom */
  readonly between?: readonly (
    | 'caller-redis'
    | 'caller-pbx'
    | 'caller-push'
    | 'phone-redis'
    | 'phone-phones'
    | 'caller-phone'
  )[];
  /** ms after the end of the fault until everything is as before */
  readonly healsIn: number;
}

const drains = ['node-drain', 'node-told-to-drain'] as const;
const redis = ['redis-kill', 'redis-freeze', 'redis-restart'] as const;

/** No node took the call up, by what the PBX saw of it. */
export const noAnswerRules: readonly Rule[] = [
  { kinds: ['node-kill', ...drains, 'node-freeze'], node: 'caller', healsIn: 1500 },
  { kinds: ['partition'], between: ['caller-pbx'], healsIn: 1500 },
];
export const unavailableRules: readonly Rule[] = [
  { kinds: redis, healsIn: 3000 },
  { kinds: ['partition'], between: ['caller-redis'], healsIn: 3000 },
  { kinds: [...drains, 'node-kill', 'node-freeze'], node: 'caller', healsIn: 2000 },
];
export const noFinalRules: readonly Rule[] = [
  { kinds: ['node-kill'], node: 'caller', healsIn: 0 },
  // the answer was lost on its way to the PBX, and the phone hung up before it could be repeated
  { kinds: ['partition'], between: ['caller-pbx'], healsIn: 0 },
];

/** 480 and 408, by how far the call had come. */
export const notPushedRules: readonly Rule[] = [
  // a silent service is tried again after five seconds, or as soon as a new connection stands
  { kinds: ['push-kill'], healsIn: 6000 },
  // and after ten more when that failed, too
  { kinds: ['push-503', 'push-freeze'], healsIn: 11_000 },
  { kinds: redis, healsIn: 3000 },
  { kinds: ['node-freeze'], node: 'caller', healsIn: 3000 },
  { kinds: ['partition'], between: ['caller-push', 'caller-redis'], healsIn: 6000 },
];
export const notRegisteredRules: readonly Rule[] = [
  { kinds: ['push-freeze'], healsIn: 6000 },
  { kinds: redis, healsIn: 3000 },
  { kinds: ['node-kill', ...drains, 'node-freeze'], node: 'phone', healsIn: 2500 },
  { kinds: ['partition'], between: ['phone-redis', 'phone-phones', 'caller-redis'], healsIn: 3000 },
];
export const notRungRules: readonly Rule[] = [
  { kinds: redis, healsIn: 3000 },
  { kinds: ['node-kill', ...drains, 'node-freeze'], node: 'phone', healsIn: 3000 },
  { kinds: ['node-freeze'], node: 'caller', healsIn: 3000 },
  { kinds: ['partition'], between: ['phone-redis', 'phone-phones', 'caller-redis', 'caller-phone'], healsIn: 3000 },
];
export const rungRules: readonly Rule[] = [
  { kinds: ['node-kill', 'node-freeze'], node: 'phone', healsIn: 2000 },
  { kinds: ['node-freeze'], node: 'caller', healsIn: 2000 },
  { kinds: ['partition'], between: ['phone-phones', 'caller-phone'], healsIn: 2000 },
];
/** Of a call that was answered: who carried it is gone. */
export const cutRules: readonly Rule[] = [
  { kinds: ['node-kill'], node: 'caller', healsIn: 0 },
  { kinds: ['node-kill'], node: 'phone', healsIn: 0 },
  { kinds: ['partition'], between: ['caller-phone', 'phone-phones', 'caller-pbx'], healsIn: 2000 },
];

/** The first INVITE went over a node that is gone, so the phone was rung over another. */
export const secondRules: readonly Rule[] = [{ kinds: ['node-kill'], node: 'phone', healsIn: 0 }];

/** The faults that explain a scene; none: it is unexplained. */
export function explaining(scene: Scene, faults: readonly Fault[]): readonly Fault[] {
  const rules = rulesFor(scene);
  const [from, to] = spanOf(scene);
  return faults.filter((fault) =>
    rules.some(
      (rule) =>
        rule.kinds.includes(fault.kind) &&
        fault.since <= to &&
        from <= fault.to + rule.healsIn &&
        hits(rule, fault, scene),
    ),
  );
}

function rulesFor(scene: Scene): readonly Rule[] {
  if (scene.is === 'second') return secondRules;
  if (scene.is !== 'attempt') return cutRules;
  const { attempt, call } = scene;
  if (attempt.abandoned === 'no-answer') return noAnswerRules;
  if (attempt.abandoned === 'no-final') return noFinalRules;
  if (attempt.status === 503) return unavailableRules;
  if (attempt.status !== 480 && attempt.status !== 408) return [];
  if (call.legs.some((leg) => leg.attempt === attempt.id)) return rungRules;
  const within = (at: number): boolean => at >= attempt.at && at <= attempt.finalAt;
  if (call.registers.some(({ status, at }) => status === 200 && within(at))) return notRungRules;
  return call.pushes.some(within) ? notRegisteredRules : notPushedRules;
}

/** From the first moment at which the fault can have mattered to the last. */
function spanOf(scene: Scene): readonly [number, number] {
  const { attempt, call } = scene;
  const ends = [attempt.finalAt, attempt.abandonedAt].filter((at) => !Number.isNaN(at));
  if (scene.is === 'attempt') return [attempt.at, Math.min(...ends)];
  if (scene.is === 'second') return [scene.leg.at, scene.until];
  const legs = scene.is === 'leg' ? [scene.leg] : call.legs.filter((leg) => leg.attempt === attempt.id);
  const times = [attempt.byeAt, ...legs.flatMap(({ endedAt }) => [endedAt])].filter((at) => !Number.isNaN(at));
  return [attempt.at, times.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...times)];
}

function hits({ node, between }: Rule, fault: Fault, scene: Scene): boolean {
  const { call, attempt } = scene;
  if (scene.is === 'second') return fault.node === scene.leg.node;
  const phoneNodes = new Set([
    ...call.registers.map((one) => one.node),
    ...call.legs.filter((leg) => leg.attempt === attempt.id).map((leg) => leg.node),
  ]);
  if (fault.kind.startsWith('push')) return fault.push === call.push;
  if (fault.kind.startsWith('redis')) return true;
  if (fault.kind !== 'partition')
    return node === 'caller' ? fault.node === attempt.node : phoneNodes.has(fault.node ?? -1);
  return (between ?? []).some((pair) => {
    switch (pair) {
      case 'caller-redis':
        return isCut(fault, attempt.node, 'redis');
      case 'caller-pbx':
        return isCut(fault, attempt.node, 'phones and PBX');
      case 'caller-push':
        return isCut(fault, attempt.node, `push ${call.push}`);
      case 'phone-redis':
        return [...phoneNodes].some((one) => isCut(fault, one, 'redis'));
      case 'phone-phones':
        return [...phoneNodes].some((one) => isCut(fault, one, 'phones and PBX'));
      case 'caller-phone':
        return [...phoneNodes].some(
          (one) => isCut(fault, attempt.node, `node ${one}`) || isCut(fault, one, `node ${attempt.node}`),
        );
      default:
        return pair satisfies never;
    }
  });
}

function isCut(fault: Fault, node: number, from: FarSide): boolean {
  return fault.node === node && fault.from === from;
}
