/** Whether a phone can be reached now: over the flow it registered on, or by a push. */
import type { Binding } from '../core/binding.ts';

export interface ReachPolicy {
  /** how long after its REGISTER a UDP flow of a pushable phone is tried before pushing, ms; 0: push at once */
  readonly udpAwakeMs: number;
  /** Whether this engine run is ours or that of a node that lives, so that its connections exist now. */
  readonly engineLives: (engine: string) => boolean;
}

/**
 * Live flow first (PN-PROXY-30). A connection of an engine run that lives may still stand, and if not the engine says so at
 * once; of another run it cannot. UDP tells nothing about the far end, so a phone that can be pushed is pushed.
 */
export function isWorthTrying(binding: Binding, arrivedAt: number, policy: ReachPolicy, now: number): boolean {
  // its registration has ended: whoever has that address now is perhaps somebody else
  if (binding.expiresAt <= now) return false;
  if (binding.push === undefined) return true;
  // it has registered between the INVITE's arrival and our look, here or at another node: that is the refresh we would wait for
  if (binding.registeredAt >= arrivedAt) return true;
  // the connection of a proxy says nothing about the phones behind it
  const isOwn = binding.path.length === 0;
  if (isOwn && !policy.engineLives(binding.flow.engine)) return false;
  if (isOwn && binding.flow.transport !== 'udp') return true;
  return now - binding.registeredAt < policy.udpAwakeMs;
}

/** Whether a call would have any way to this phone now: a flow to try or a token to push (PN-PROXY-33). */
export function canBeReached(binding: Binding, policy: ReachPolicy, now: number): boolean {
  if (binding.push !== undefined && binding.push.deadSince === undefined) return true;
  return isWorthTrying(binding, Number.POSITIVE_INFINITY, policy, now);
}
