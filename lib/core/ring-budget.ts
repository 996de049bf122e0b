/**
 * How long a call for a phone may wait for its answer, holding and ringing together. A PBX that says in Expires how long it waits
 * (RFC 3261 13.2.1) is told 480 a margin before, so that it goes on with its dial plan and not with a call that was given up.
 */

export interface RingBudget {
  readonly ms: number;
  readonly learntFromExpires: boolean;
}

/** Of a shorter Expires a margin would take too much: it ends by itself (487, PN-PROXY-28). */
const leastExpires = 10;

/** `configuredMs`: the operator's own limit; `expires`: seconds, as the INVITE says. undefined: no limit. */
export function ringBudget(
  configuredMs: number | undefined,
  expires: number | undefined,
  marginMs: number,
): RingBudget | undefined {
  const learntMs =
    expires === undefined || expires < leastExpires || marginMs === 0
      ? undefined
      : Math.max(0, expires * 1000 - marginMs);
  if (learntMs !== undefined && learntMs < (configuredMs ?? Number.POSITIVE_INFINITY))
    return { ms: learntMs, learntFromExpires: true };
  return configuredMs === undefined ? undefined : { ms: configuredMs, learntFromExpires: false };
}

/** Seconds of an Expires field; undefined for none and for what is no number. */
export function readExpires(field: string | undefined): number | undefined {
  const text = field?.trim();
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
