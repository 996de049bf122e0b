/** The words of core/held-invite: what may happen to a held request (events) and what is to be done about it (effects). */

export type DeviceId = string;
/** `${device}/${n}`, made here */
export type LegId = string;

export interface Target {
  readonly device: DeviceId;
  /** opaque key of a flow worth trying now; undefined: none known */
  readonly flow: string | undefined;
  readonly canPush: boolean;
  /** pushed at once, beside the request on its flow */
  readonly pushBeside?: boolean;
}

export interface HoldPolicy {
  /** a device that registers while the call is open is called too (PN-PROXY-25) */
  readonly admitNewDevices: boolean;
  /**
   * No INVITE: a leg cannot be taken back (RFC 3261 9.1), so whoever got one may still answer it, and that answer counts. When the
   * sender has his answer nothing is left to be waited for.
   */
  readonly standalone?: boolean;
  /** our answer when every flow was dead and nobody could be pushed (RFC 5626 5.3.1); 480 when left out */
  readonly flowGone?: 430 | 480;
  /** a 486 ends the call on the device that said it, or on all of them; device when left out (RFC 3261 21.4.24) */
  readonly busy?: EndsCall;
  /** the same for a 603; all when left out (RFC 3261 21.6.2) */
  readonly decline?: EndsCall;
}

/** How far the user's word on one device goes. */
export type EndsCall = 'device' | 'all';

export type HoldEvent =
  /** a REGISTER of this device got its 2xx, over this flow */
  | {
      readonly is: 'refresh-accepted';
      readonly device: DeviceId;
      readonly flow: string;
      /** the flow of the same binding until now, which is dead for whatever begins (RFC 5626 5.3) */
      readonly was?: string | undefined;
    }
  /** a REGISTER was refused for good; 401, 407, 423 and 494 are not reported (PN-PROXY-10) */
  | { readonly is: 'refresh-rejected'; readonly device: DeviceId; readonly status: number }
  | { readonly is: 'binding-removed'; readonly device: DeviceId }
  /** accepted false: refused for good for this call, or, when `gaveUp`, accepted and not waited for any longer */
  | { readonly is: 'push-ended'; readonly device: DeviceId; readonly accepted: boolean; readonly gaveUp?: boolean }
  /** 100 counts as a sign of life and is never passed on */
  | { readonly is: 'progress'; readonly leg: LegId; readonly status: number }
  | { readonly is: 'answered'; readonly leg: LegId }
  | { readonly is: 'failed'; readonly leg: LegId; readonly status: number; readonly local: boolean }
  /** no 1xx within the silent-flow time */
  | { readonly is: 'silence'; readonly leg: LegId }
  | { readonly is: 'bucket-timer' }
  | { readonly is: 'ring-timer' }
  /** the PBX gives up soon: hold and ringing have taken all the time there is */
  | { readonly is: 'ring-budget' }
  /** the INVITE's Expires ran out (PN-PROXY-28) */
  | { readonly is: 'expires' }
  /** the caller gave up; 200 and 487 are already sent */
  | { readonly is: 'cancelled' }
  /** the node stops: nobody new is rung; a second one ends the call */
  | { readonly is: 'drain' };

export type CancelReason =
  | 'answered-elsewhere'
  | 'refused-elsewhere'
  | 'busy-elsewhere'
  | 'caller-cancelled'
  | 'moved'
  | 'timeout';
export type Ending = 'answered' | 'cancelled' | 'unreachable' | 'refused' | 'failed';
export type Fault = 'none' | 'caller' | 'device' | 'push-service' | 'upstream' | 'edge';

export type HoldEffect =
  | { readonly do: 'push'; readonly device: DeviceId }
  | { readonly do: 'stop-push'; readonly device: DeviceId }
  | { readonly do: 'start-leg'; readonly leg: LegId; readonly device: DeviceId; readonly flow: string }
  | { readonly do: 'start-silence-timer'; readonly leg: LegId }
  | { readonly do: 'start-bucket-timer' }
  | { readonly do: 'stop-bucket-timer' }
  /** with the first leg, once */
  | { readonly do: 'start-ring-timer' }
  | { readonly do: 'cancel-leg'; readonly leg: LegId; readonly because: CancelReason }
  /** its phone is on another flow now: what is still to be said in it goes there */
  | { readonly do: 'move-leg'; readonly leg: LegId; readonly flow: string }
  | { readonly do: 'relay-progress'; readonly leg: LegId }
  | { readonly do: 'relay-answer'; readonly leg: LegId }
  /** a 2xx that nobody wants: ACK and BYE */
  | { readonly do: 'hang-up'; readonly leg: LegId }
  /** these were pushed for the call and have not come: they do not know yet that it is over. Once, right before `over` or the last legs' ends. */
  | { readonly do: 'remember-late'; readonly devices: readonly DeviceId[]; readonly because: CancelReason }
  /** the final answer is that of this leg */
  | { readonly do: 'relay-failure'; readonly leg: LegId }
  /** the final answer is ours */
  | { readonly do: 'refuse'; readonly status: number }
  /** every leg has ended and the caller has his answer; only late hang-ups follow */
  | { readonly do: 'over'; readonly ending: Ending; readonly fault: Fault };

export type OverEffect = Extract<HoldEffect, { readonly do: 'over' }>;

/** The sender is told a status of our own. */
export interface FailedEnd {
  readonly is: 'refused';
  readonly status: number;
}
