/** What core/held-invite knows of one request at each moment: values, and how legs follow a phone to another flow. */
import type { FailedLeg } from './best-response.ts';
import type { DeviceId, Ending, Fault, HoldEffect, HoldPolicy, LegId } from './hold-words.ts';

export interface Leg {
  readonly device: DeviceId;
  readonly flow: string;
  /** a 1xx came, so the device has the INVITE */
  readonly heard: boolean;
  /** the silent-flow time passed without a 1xx */
  readonly silent: boolean;
  readonly cancelled: boolean;
}

export interface Device {
  readonly canPush: boolean;
  /** waiting: for a refresh. ringing: has a leg that is not cancelled. down: no hope now, but a refresh may bring it back. done: has had the call. */
  readonly state: 'waiting' | 'ringing' | 'down' | 'done';
  readonly push: 'none' | 'running' | 'accepted' | 'refused';
  /** how often this call pushed it */
  readonly pushes: number;
  /** the bucket timer runs for it: pushed, and no sign of life since */
  readonly awaited: boolean;
  /** pushed, and neither heard of since nor given up by the push service: if the call ends now, it has to learn so later */
  readonly owed: boolean;
  readonly legs: number;
  /** a newer flow than that of its leg, to be taken if the leg turns out to be silent or dead */
  readonly newerFlow: string | undefined;
}

export interface Open {
  readonly at: 'open';
  readonly policy: HoldPolicy;
  readonly devices: ReadonlyMap<DeviceId, Device>;
  /** not ended yet */
  readonly legs: ReadonlyMap<LegId, Leg>;
  readonly failures: readonly FailedLeg[];
  readonly bucketRuns: boolean;
  readonly ringTimerStarted: boolean;
  readonly draining: boolean;
}

export type HeldInvite =
  | Open
  /** the caller has a final answer; these legs have not ended yet */
  | { readonly at: 'closing'; readonly legs: ReadonlyMap<LegId, Leg>; readonly ending: Ending; readonly fault: Fault }
  | { readonly at: 'over'; readonly ending: Ending; readonly fault: Fault };

export type Step = readonly [HeldInvite, readonly HoldEffect[]];

export type Move = Extract<HoldEffect, { readonly do: 'move-leg' }>;

/** How the legs that ring on the flow a phone has left are told of the new one. */
export function movesOf(
  legs: ReadonlyMap<LegId, Leg>,
  device: DeviceId,
  flow: string,
  was: string | undefined,
): readonly Move[] {
  if (was === undefined || was === flow) return [];
  const moves: Move[] = [];
  for (const [leg, { device: mine, flow: old, heard }] of legs)
    if (mine === device && old === was && heard) moves.push({ do: 'move-leg', leg, flow });
  return moves;
}

export function moved(legs: ReadonlyMap<LegId, Leg>, moves: readonly Move[]): Map<LegId, Leg> {
  const after = new Map(legs);
  for (const { leg, flow } of moves) after.set(leg, { ...(after.get(leg) as Leg), flow });
  return after;
}

/** Nothing has been done for it yet. */
export function aDevice(canPush: boolean): Device {
  return {
    canPush,
    state: 'down',
    push: 'none',
    pushes: 0,
    awaited: false,
    owed: false,
    legs: 0,
    newerFlow: undefined,
  };
}
