/**
 * The session timer of one dialog (RFC 4028 7.2, 7.4, 10): who refreshes, when the session ends, and what a refused refresh
 * changes. Pure; times in seconds of Session-Expires. A session whose refresher we are is refreshed a little after half of its
 * time, so that an app, or the far side of a bridge, which does it at half is first.
 */

/** drachtio-server takes nothing shorter (drachtio-protocol B.4; RFC 4028 4). */
export const shortestSession = 90;

export type SessionTimer =
  | { readonly at: 'none' }
  /** the peer refreshes */
  | { readonly at: 'theirs'; readonly seconds: number }
  | { readonly at: 'ours'; readonly seconds: number; readonly minSe: number; readonly refreshing: boolean };

export type SessionTimerEvent =
  /** a 2xx to an INVITE or UPDATE, ours or theirs, said so; it takes the place of all before. `seconds` 0: no timer */
  | { readonly is: 'agreed'; readonly seconds: number; readonly refresher: 'us' | 'peer' | 'nobody' }
  /** `busy`: an INVITE of this dialog is on its way, which may refresh the session anyhow */
  | { readonly is: 'refresh-due'; readonly busy: boolean }
  /** final answer to a refresh of the engine's own that is no 2xx; `wait` seconds where it may be tried again, `minSe` of a 422 */
  | { readonly is: 'refused'; readonly status: number; readonly minSe: number; readonly wait: number }
  | { readonly is: 'expired' }
  | { readonly is: 'dialog-over' };

export type SessionTimerEffect =
  | { readonly do: 'stop-timers' }
  | { readonly do: 'expire-in'; readonly seconds: number }
  | { readonly do: 'refresh-in'; readonly seconds: number }
  | { readonly do: 'refresh'; readonly seconds: number; readonly minSe: number }
  /** BYE to the peer, and the app is told */
  | { readonly do: 'hang-up' };

export type SessionTimerStep = readonly [SessionTimer, readonly SessionTimerEffect[]];

export const noSessionTimer: SessionTimer = { at: 'none' };

/** How long after half of the session's time the engine refreshes; the original does it within 5 s of half. */
const behindHalf = 5;
const whileBusy = 2;

export function step(timer: SessionTimer, event: SessionTimerEvent): SessionTimerStep {
  switch (event.is) {
    case 'agreed':
      return agreed(timer, event.seconds, event.refresher);
    case 'refresh-due':
      if (timer.at !== 'ours' || timer.refreshing) return [timer, []];
      if (event.busy) return [timer, [{ do: 'refresh-in', seconds: whileBusy }]];
      return [
        { ...timer, refreshing: true },
        [{ do: 'refresh', seconds: Math.max(timer.seconds, timer.minSe), minSe: timer.minSe }],
      ];
    case 'refused':
      return refused(timer, event.status, event.minSe, event.wait);
    case 'expired':
      return timer.at === 'none' ? [timer, []] : [noSessionTimer, [{ do: 'stop-timers' }, { do: 'hang-up' }]];
    case 'dialog-over':
      return timer.at === 'none' ? [timer, []] : [noSessionTimer, [{ do: 'stop-timers' }]];
    default:
      return event satisfies never;
  }
}

function agreed(timer: SessionTimer, asked: number, refresher: 'us' | 'peer' | 'nobody'): SessionTimerStep {
  const stop: readonly SessionTimerEffect[] = timer.at === 'none' ? [] : [{ do: 'stop-timers' }];
  if (asked === 0 || refresher === 'nobody') return [noSessionTimer, stop];
  const seconds = Math.max(shortestSession, asked);
  const expire: SessionTimerEffect = { do: 'expire-in', seconds };
  if (refresher === 'peer') return [{ at: 'theirs', seconds }, [...stop, expire]];
  const minSe = timer.at === 'ours' ? timer.minSe : shortestSession;
  return [
    { at: 'ours', seconds, minSe, refreshing: false },
    [...stop, expire, { do: 'refresh-in', seconds: seconds / 2 + behindHalf }],
  ];
}

function refused(timer: SessionTimer, status: number, minSe: number, wait: number): SessionTimerStep {
  if (timer.at !== 'ours' || !timer.refreshing) return [timer, []];
  // nobody is there (RFC 4028 10, RFC 3261 12.2.1.2)
  if (status === 408 || status === 481) return [noSessionTimer, [{ do: 'stop-timers' }, { do: 'hang-up' }]];
  // each time a longer one, or this would never end
  if (status === 422 && minSe > Math.max(timer.seconds, timer.minSe))
    return [{ ...timer, minSe }, [{ do: 'refresh', seconds: minSe, minSe }]];
  // the session goes on until its time is over; until then it is tried again
  return [{ ...timer, refreshing: false }, [{ do: 'refresh-in', seconds: wait }]];
}
