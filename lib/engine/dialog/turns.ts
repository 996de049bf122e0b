/** Whether a request of the peer may be taken up now, or must come again (RFC 3261 14.2, RFC 3311 5.2). Pure. */

export interface Pending {
  /** an INVITE of the peer, the first or a later one, waits for its final answer */
  readonly theirInvite: boolean;
  /** an INVITE of ours waits for its final answer */
  readonly ourInvite: boolean;
  /** an UPDATE of the peer waits for its answer */
  readonly theirUpdate: boolean;
}

/** 491: we are changing the session ourselves; 500 with Retry-After: the peer has not finished what it began. */
export function refusalOf(method: string, pending: Pending): 491 | 500 | undefined {
  if (method === 'INVITE') return pending.theirInvite ? 500 : pending.ourInvite ? 491 : undefined;
  if (method === 'UPDATE') return pending.theirUpdate ? 500 : undefined;
  return undefined;
}
