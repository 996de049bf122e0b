/**
 * Two dialogs of one subscription tied together (RFC 6665 4.1, 4.2; RFC 5057): how long it lasts, what ends it, and who is told.
 * Pure; whoever runs it owns the dialogs and the timer.
 */

export type SubscriptionEvent =
  /** the notifier accepted a SUBSCRIBE of the subscriber; 0 ends it, after a last NOTIFY */
  | { readonly is: 'granted'; readonly seconds: number }
  /** a SUBSCRIBE inside the dialog was refused, or a NOTIFY was; `status` as the far end said it */
  | { readonly is: 'refused'; readonly of: 'SUBSCRIBE' | 'NOTIFY'; readonly status: number }
  /** a NOTIFY has been answered; `terminated`: it said that it is the last one */
  | { readonly is: 'notified'; readonly terminated: boolean }
  /** the time granted is over, and no SUBSCRIBE has come */
  | { readonly is: 'expired' }
  /** the engine has lost this side */
  | { readonly is: 'lost'; readonly side: SubscriptionSide }
  /** the edge stops */
  | { readonly is: 'stop' }
  /** our last word to this side is answered or given up */
  | { readonly is: 'told'; readonly side: SubscriptionSide };

export type SubscriptionSide = 'subscriber' | 'notifier';

export type SubscriptionEffect =
  /** in place of the timer that runs */
  | { readonly do: 'start-timer'; readonly seconds: number }
  | { readonly do: 'stop-timer' }
  /** NOTIFY with Subscription-State: terminated, so that it may subscribe anew */
  | { readonly do: 'tell-subscriber' }
  /** SUBSCRIBE with Expires: 0 */
  | { readonly do: 'tell-notifier' }
  | { readonly do: 'close'; readonly side: SubscriptionSide }
  /** exactly once, after both sides are closed */
  | { readonly do: 'over'; readonly because: SubscriptionEnd };

export type SubscriptionEnd = 'terminated' | 'unsubscribed' | 'refused' | 'expired' | 'lost' | 'stopped';

export type Subscription =
  | { readonly at: 'active'; readonly unsubscribed: boolean }
  /** `open`: sides that have not been told for sure */
  | { readonly at: 'ending'; readonly open: readonly SubscriptionSide[]; readonly because: SubscriptionEnd }
  | { readonly at: 'over' };

export type SubscriptionStep = readonly [Subscription, readonly SubscriptionEffect[]];

/** A refresh is due before the end; whoever is a little late still finds the dialog. */
const graceSeconds = 35;
/** How long the last NOTIFY may take after a SUBSCRIBE with Expires: 0 (Timer N, 64 T1). */
const lastNotifySeconds = 32;

/** Answers that end the subscription (RFC 6665 4.1.2.2 and 4.2.2, RFC 5057 5.1); any other one ends its transaction only. */
const fatal = new Set([404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]);

export function subscribed(seconds: number): SubscriptionStep {
  const [timer, unsubscribed] = lasting(seconds);
  return [{ at: 'active', unsubscribed }, [timer]];
}

export function step(subscription: Subscription, event: SubscriptionEvent): SubscriptionStep {
  switch (subscription.at) {
    case 'active':
      return whileActive(subscription, event);
    case 'ending':
      return whileEnding(subscription, event);
    case 'over':
      return [subscription, []];
    default:
      return subscription satisfies never;
  }
}

function whileActive(
  subscription: Extract<Subscription, { at: 'active' }>,
  event: SubscriptionEvent,
): SubscriptionStep {
  switch (event.is) {
    case 'granted':
      return subscribed(event.seconds);
    case 'refused': {
      if (!fatal.has(event.status)) return [subscription, []];
      // both know by this answer
      return ended('refused');
    }
    case 'notified':
      return event.terminated ? ended(subscription.unsubscribed ? 'unsubscribed' : 'terminated') : [subscription, []];
    case 'expired':
      return ended(subscription.unsubscribed ? 'unsubscribed' : 'expired');
    case 'lost': {
      const other = event.side === 'subscriber' ? 'notifier' : 'subscriber';
      return [
        { at: 'ending', open: [other], because: 'lost' },
        [{ do: 'stop-timer' }, { do: 'close', side: event.side }, { do: `tell-${other}` }],
      ];
    }
    case 'stop':
      return [
        { at: 'ending', open: ['subscriber', 'notifier'], because: 'stopped' },
        [{ do: 'stop-timer' }, { do: 'tell-subscriber' }, { do: 'tell-notifier' }],
      ];
    case 'told':
      return [subscription, []];
    default:
      return event satisfies never;
  }
}

function whileEnding(
  subscription: Extract<Subscription, { at: 'ending' }>,
  event: SubscriptionEvent,
): SubscriptionStep {
  if ((event.is !== 'told' && event.is !== 'lost') || !subscription.open.includes(event.side))
    return [subscription, []];
  const open = subscription.open.filter((side) => side !== event.side);
  const close = { do: 'close', side: event.side } as const;
  if (open.length > 0) return [{ ...subscription, open }, [close]];
  return [{ at: 'over' }, [close, { do: 'over', because: subscription.because }]];
}

function ended(because: SubscriptionEnd): SubscriptionStep {
  return [
    { at: 'over' },
    [
      { do: 'stop-timer' },
      { do: 'close', side: 'subscriber' },
      { do: 'close', side: 'notifier' },
      { do: 'over', because },
    ],
  ];
}

function lasting(seconds: number): readonly [SubscriptionEffect, unsubscribed: boolean] {
  if (seconds <= 0) return [{ do: 'start-timer', seconds: lastNotifySeconds }, true];
  return [{ do: 'start-timer', seconds: seconds + graceSeconds }, false];
}
