/** What an answer of a push service means to the one who delivers, whatever service it is. */

export type Verdict =
  | 'accepted'
  /** the token is gone */
  | 'dead'
  /** the token is wrong here: often the other environment, so one such answer proves little */
  | 'suspect'
  /** this device gets too many */
  | 'throttled'
  /** the operator must act */
  | 'config'
  /** the operator must act, and until then no other push will fare better */
  | 'credential'
  /** may be tried again, best on another session */
  | 'transient'
  /** may be tried again with a fresh credential */
  | 'renew-token'
  /** may be tried again with the credential from before */
  | 'older-token'
  /** may be tried once more on another session */
  | 'other-session'
  /** may be tried once more with less in it */
  | 'shrink';

export interface Judged {
  readonly verdict: Verdict;
  /** a word of the service's own list, or `status NNN` */
  readonly reason: string;
  /** when the service learned that the token is gone, ms since the epoch */
  readonly since?: number;
  /** ms from now */
  readonly retryAfterMs?: number;
}

/** Whether an answer shows that the service works, whatever it thinks of this push. */
export function isWorking(verdict: Verdict): boolean {
  return verdict !== 'transient' && verdict !== 'credential';
}

/** Seconds or a date (RFC 9110 10.2.3), as ms from now. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
