/**
 * Whether what is held may be acted on. A process that stood still (stopped, swapped out, a machine that slept) knows an old world: the
 * caller may have given up, and another node may have answered for it. So it hears first, and acts then.
 */
import type { HoldEvent } from '../core/hold-words.ts';

export interface HoldGate {
  /** True: go on. False: `go` is called once, when everything that came meanwhile has been heard. */
  pass(go: () => void): boolean;
}

/** undefined when it is open; else resolves when it is. */
export function opening(gate: HoldGate | undefined): Promise<void> | undefined {
  let open: (() => void) | undefined;
  const waiting = new Promise<void>((resolve) => (open = resolve));
  return gate === undefined || gate.pass(() => open?.()) ? undefined : waiting;
}

/** What a caller gave up counts before what the phones say, and that before our own timers, which ran out while nobody could come. */
export function inOrderOfWeight(events: readonly HoldEvent[]): HoldEvent[] {
  return events.toSorted((one, other) => weight(one) - weight(other));
}

function weight(event: HoldEvent): number {
  switch (event.is) {
    case 'cancelled':
      return 0;
    case 'silence':
    case 'bucket-timer':
    case 'ring-timer':
    case 'ring-budget':
    case 'expires':
    case 'drain':
      return 2;
    default:
      return 1;
  }
}
