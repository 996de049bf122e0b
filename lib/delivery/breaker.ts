/**
 * When a service is not asked any more, and when it is asked again (push-providers 8.5). Pure: state and event in, new state out. Times
 * in ms since the epoch. Two breakers for each pool: one for a service that cannot be reached or does not work, one for credentials it
 * does not accept.
 */

/** What was seen of the last ten seconds, by the second. */
interface Second {
  readonly at: number;
  readonly asked: number;
  readonly failed: number;
}

export type Breaker =
  | {
      readonly is: 'closed';
      readonly refusedConnections: number;
      readonly seconds: readonly Second[];
      readonly pause: number;
    }
  /** nothing is sent before `until` */
  | {
      readonly is: 'open';
      readonly since: number;
      readonly until: number;
      readonly pause: number;
      readonly reason: string;
    }
  /** one push tries it out; without a result by `until` the next one does */
  | {
      readonly is: 'half-open';
      readonly since: number;
      readonly until: number;
      readonly pause: number;
      readonly reason: string;
    };

export type TransportEvent =
  /** the peer's SETTINGS came */
  | { readonly is: 'connected' }
  | { readonly is: 'connect-failed'; readonly reason: string }
  /** any answer that is about the push and not about the service: also 4xx for the device */
  | { readonly is: 'answered' }
  /** an answer that may be tried again, none in time, or all that waited on a connection lost with it */
  | { readonly is: 'failed'; readonly reason: string }
  /** nobody wants to know any more how a push ended: its phone came first, its caller hung up, or its time was over */
  | { readonly is: 'taken-back' };

const second = 1000;
const remembered = 10;
const firstPause = 5 * second;
const longestPause = 60 * second;
const mostRefusedConnections = 5;
const fewestAsked = 20;
/** A push that tries the service out has this long. */
const trialMs = 10 * second;
/** Between two tries of refused credentials. */
const credentialPause = 30 * second;

export const closedBreaker: Breaker = { is: 'closed', refusedConnections: 0, seconds: [], pause: firstPause };

/** May a push go? The first one after a pause is the trial. */
export function ask(breaker: Breaker, now: number): { readonly breaker: Breaker; readonly admitted: boolean } {
  if (breaker.is === 'closed') return { breaker, admitted: true };
  // a clock set back must not keep it shut for longer than it would have been
  const isOver = now >= breaker.until || now < breaker.since;
  if (!isOver) return { breaker, admitted: false };
  return { breaker: { ...breaker, is: 'half-open', since: now, until: now + trialMs }, admitted: true };
}

/** The next state of a transport breaker. */
export function transportStep(breaker: Breaker, event: TransportEvent, now: number): Breaker {
  switch (breaker.is) {
    case 'closed':
      return closedStep(breaker, event, now);
    case 'open':
      // what was under way may still end well, which proves nothing about the next; a new connection does
      return event.is === 'connected' ? { ...breaker, until: Math.min(breaker.until, now) } : breaker;
    case 'half-open':
      if (event.is === 'answered') return closedBreaker;
      if (event.is === 'connected') return breaker;
      // it may have been the trial, which then tells nothing: the next push is another one
      if (event.is === 'taken-back') return { ...breaker, until: Math.min(breaker.until, now) };
      return opened(now, Math.min(longestPause, 2 * breaker.pause), event.reason);
    default:
      return breaker satisfies never;
  }
}

function opened(now: number, pause: number, reason: string): Breaker {
  return { is: 'open', since: now, until: now + pause, pause, reason };
}

function closedStep(breaker: Extract<Breaker, { is: 'closed' }>, event: TransportEvent, now: number): Breaker {
  switch (event.is) {
    case 'taken-back':
      return breaker;
    case 'connected':
      return breaker.refusedConnections === 0 ? breaker : { ...breaker, refusedConnections: 0 };
    case 'connect-failed': {
      const refusedConnections = breaker.refusedConnections + 1;
      if (refusedConnections >= mostRefusedConnections) return opened(now, breaker.pause, event.reason);
      return { ...breaker, refusedConnections };
    }
    case 'answered':
    case 'failed': {
      const seconds = counted(breaker.seconds, event.is === 'failed', now);
      if (event.is === 'answered') return { ...breaker, seconds };
      const asked = seconds.reduce((sum, one) => sum + one.asked, 0);
      const failed = seconds.reduce((sum, one) => sum + one.failed, 0);
      if (asked >= fewestAsked && 2 * failed >= asked) return opened(now, breaker.pause, event.reason);
      return { ...breaker, seconds };
    }
    default:
      return event satisfies never;
  }
}

function counted(seconds: readonly Second[], hasFailed: boolean, now: number): readonly Second[] {
  const at = Math.floor(now / second);
  const last = seconds.at(-1);
  const failed = hasFailed ? 1 : 0;
  if (last?.at === at) return [...seconds.slice(0, -1), { at, asked: last.asked + 1, failed: last.failed + failed }];
  // also forgets a future that a clock set back has taken away
  return [...seconds.filter((one) => one.at > at - remembered && one.at < at), { at, asked: 1, failed }];
}

export type CredentialEvent =
  /** the service does not accept who we are */
  | { readonly is: 'refused'; readonly reason: string }
  /** any answer that shows that it does */
  | { readonly is: 'accepted' }
  /** new credentials were loaded */
  | { readonly is: 'renewed' }
  /** as in TransportEvent */
  | { readonly is: 'taken-back' };

/** The next state of a credential breaker: opens at the first refusal, tries again every 30 s and with new credentials. */
export function credentialStep(breaker: Breaker, event: CredentialEvent, now: number): Breaker {
  switch (event.is) {
    case 'accepted':
      // of a push that was sent before: only the trial decides
      return breaker.is === 'half-open' ? closedBreaker : breaker;
    case 'renewed':
      return closedBreaker;
    case 'taken-back':
      return breaker.is === 'half-open' ? { ...breaker, until: Math.min(breaker.until, now) } : breaker;
    case 'refused':
      return breaker.is === 'open' ? breaker : opened(now, credentialPause, event.reason);
    default:
      return event satisfies never;
  }
}
