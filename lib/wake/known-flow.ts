/** How flows of bindings are told apart, and registrations. */
import type { Binding } from '../core/binding.ts';
import { flowUri } from '../sip/flow.ts';

/** Phones behind one proxy share its flow, and each has a Contact and a Path of its own. */
export function keyOfFlow({ flow, path, id, target }: Binding): string {
  const key = `${flowUri(flow)}|${flow.engine}`;
  return path.length === 0 ? key : `${key}|${id}|${target}|${path.join()}`;
}

/** By the phone's own count: its node's clock may be behind that of the node it registered at before. */
export function isSameRegistration(one: Binding, other: Binding | undefined): boolean {
  return one.callId === other?.callId && one.cseq === other.cseq && one.registeredAt === other.registeredAt;
}
