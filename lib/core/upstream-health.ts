/**
 * Whether one server of a PBX is worth trying: what probes (OPTIONS) and requests have shown of it (RFC 3263 4.3, RFC 3261 21.5.4).
 * Pure: times come as values, ms since the epoch.
 */

export interface HealthPolicy {
  /** so many failures in a row, of probes and requests, and the server is down */
  readonly downAfter: number;
  /** so many good probes or answers in a row, and a server that was down is up again */
  readonly upAfter: number;
  /** how long a server that gave no answer, or a 503 without Retry-After, is tried after the others, ms */
  readonly restMs: number;
  /** longest Retry-After that is believed, ms */
  readonly longestRestMs: number;
  /** there are probes: a server that is down stays so until they succeed; without them it is tried again after `restMs` */
  readonly probes: boolean;
}

export interface Health {
  readonly down: boolean;
  /** failures in a row */
  readonly fails: number;
  /** good probes and answers in a row */
  readonly goods: number;
  /** it gave no answer; others first until then */
  readonly silentUntil: number;
  /** it said 503; others first until then */
  readonly busyUntil: number;
}

export type HealthEvent =
  | { readonly is: 'probed'; readonly good: boolean }
  /** a request got an answer that is no 503 */
  | { readonly is: 'answered' }
  /** a request got 503; `retryAfterMs` as the server said it */
  | { readonly is: 'refused'; readonly retryAfterMs: number | undefined }
  /** a request got no answer, or could not be sent */
  | { readonly is: 'failed' };

/** usable: as good as new. resting: after all usable ones. down: last of all. */
export type Standing = 'usable' | 'resting' | 'down';

export const newHealth: Health = { down: false, fails: 0, goods: 0, silentUntil: 0, busyUntil: 0 };

export function stepHealth(health: Health, event: HealthEvent, now: number, policy: HealthPolicy): Health {
  switch (event.is) {
    case 'probed':
      return event.good ? good(health, policy, health.busyUntil) : bad(health, policy, now, health.silentUntil);
    case 'answered':
      // it serves requests again, whatever it said before
      return { ...good(health, policy, 0), ...(health.down ? {} : { silentUntil: 0 }) };
    case 'failed':
      return bad(health, policy, now, now + policy.restMs);
    case 'refused': {
      const asked = event.retryAfterMs ?? policy.restMs;
      return { ...health, goods: 0, busyUntil: now + Math.min(Math.max(0, asked), policy.longestRestMs) };
    }
    default:
      return event satisfies never;
  }
}

export function standingOf(health: Health, now: number, policy: HealthPolicy): Standing {
  if (health.down && (policy.probes || now < health.silentUntil)) return 'down';
  return now < health.silentUntil || now < health.busyUntil ? 'resting' : 'usable';
}

/** The last moment up to `now` at which time alone has changed the standing; 0: never. */
export function recoveredAt({ silentUntil, busyUntil }: Health, now: number): number {
  return Math.max(0, ...[silentUntil, busyUntil].filter((until) => until <= now));
}

function good(health: Health, { upAfter }: HealthPolicy, busyUntil: number): Health {
  const goods = health.goods + 1;
  if (goods < upAfter) return { ...health, goods, fails: 0, busyUntil };
  return { down: false, fails: 0, goods, silentUntil: 0, busyUntil };
}

function bad(health: Health, { downAfter, restMs }: HealthPolicy, now: number, silentUntil: number): Health {
  const fails = health.fails + 1;
  const down = health.down || fails >= downAfter;
  return { ...health, fails, goods: 0, down, silentUntil: down ? Math.max(silentUntil, now + restMs) : silentUntil };
}
