/** The targets of a held request, one for each phone (RFC 5626 7). */
import type { DeviceId, Target } from './hold-words.ts';

/** Several flows of one phone (RFC 5626 7) are one target: the first one worth trying is tried, and `next` when that one is dead. */
export function mergeTargets(targets: readonly Target[]): readonly (Target & { readonly next: string | undefined })[] {
  const merged = new Map<DeviceId, Target & { readonly next: string | undefined }>();
  for (const target of targets) {
    const known = merged.get(target.device);
    const flow = known?.flow ?? target.flow;
    const next = known?.next ?? (target.flow === flow ? undefined : target.flow);
    merged.set(target.device, {
      device: target.device,
      flow,
      next,
      canPush: known?.canPush === true || target.canPush,
      pushBeside: known?.pushBeside === true || target.pushBeside === true,
    });
  }
  return [...merged.values()];
}
