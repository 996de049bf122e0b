/** What a phone that missed a call is told: the INVITE and its CANCEL in one breath, or a push that says that it is over (AMB-24). */
import type { CancelReason } from '../core/hold-words.ts';
import { hangUp } from '../call/hang-up.ts';
import type { LegRequest, Legs } from '../ports/leg.ts';
import type { EndReason } from '../ports/push-service.ts';

/** How a phone that was pushed and came too late, or not yet, learns that the call is over. */
export type LatePhonePolicy = 'nothing' | 'cancelled_invite' | 'end_push';

/** Rings a phone and cancels at once, so that it clears its screen and knows who called. `reason`: value of Reason in the CANCEL. */
export function cancelledInvite(legs: Legs, request: LegRequest, reason: string | undefined): void {
  const leg = legs.start(request, {
    progress: () => {},
    failed: () => {},
    // faster than the CANCEL: nobody is left to talk to (RFC 3261 9.1, 15)
    answered: (_, dialog, ack) => {
      ack();
      hangUp(dialog, reason ?? 'SIP;cause=487;text="Call is over"');
    },
  });
  leg.cancel(reason);
}

export function endReason(because: CancelReason): EndReason {
  switch (because) {
    // the user has dealt with it on another phone, one way or the other: nothing was missed
    case 'answered-elsewhere':
    case 'refused-elsewhere':
    case 'busy-elsewhere':
      return 'answered-elsewhere';
    case 'caller-cancelled':
      return 'caller-cancelled';
    case 'moved':
    case 'timeout':
      return 'timeout';
    default:
      return because satisfies never;
  }
}
