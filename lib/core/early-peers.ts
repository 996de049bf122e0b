/**
 * Who speaks with whom before a call is answered. The caller has one early dialog with us, each phone that rings has its own
 * (RFC 3261 12.1); only one of them can be the caller's counterpart, or two would negotiate one session (RFC 3311 5.1). Pure.
 */

export interface EarlyPeers {
  /** early dialogs of phones that ring, oldest first */
  readonly ringing: readonly string[];
  /** whose session description the caller has been given */
  readonly described: string | undefined;
  /** the caller got it reliably, so that for him too an answer has been given (RFC 3262 5) */
  readonly settled: boolean;
}

export const nobodyRings: EarlyPeers = { ringing: [], described: undefined, settled: false };

/** A provisional of the phone's early dialog. `description`: it carried one that is passed on, and how that travels. */
export function rings(peers: EarlyPeers, phone: string, description: 'none' | 'unreliable' | 'reliable'): EarlyPeers {
  const ringing = peers.ringing.includes(phone) ? peers.ringing : [...peers.ringing, phone];
  if (description === 'none') return { ...peers, ringing };
  return { ringing, described: phone, settled: peers.settled || description === 'reliable' };
}

export function stops(peers: EarlyPeers, phone: string): EarlyPeers {
  return { ...peers, ringing: peers.ringing.filter((each) => each !== phone) };
}

/** The one phone the caller may speak with; undefined while there is none, or one cannot tell which. */
export function counterpart({ ringing, described }: EarlyPeers): string | undefined {
  if (described !== undefined) return ringing.includes(described) ? described : undefined;
  return ringing.length === 1 ? ringing[0] : undefined;
}

export type EarlyVerdict =
  | { readonly do: 'pass'; readonly phone: string }
  /** 491: the offer meets one that the caller has not got an answer to (RFC 3311 5.2) */
  | { readonly do: 'pending' }
  /** 200: it says no more than that somebody is there */
  | { readonly do: 'accept' }
  /** 500 with Retry-After: after the answer it may come again */
  | { readonly do: 'later' };

/** What becomes of a request in an early dialog. `from`: the phone, or undefined for the caller. */
export function earlyRequest(
  peers: EarlyPeers,
  from: string | undefined,
  request: { readonly method: string; readonly hasBody: boolean },
): EarlyVerdict {
  const phone = counterpart(peers);
  const offers = request.method === 'UPDATE' && request.hasBody;
  if (phone !== undefined && (from === undefined || from === phone))
    return from !== undefined && offers && !peers.settled ? { do: 'pending' } : { do: 'pass', phone };
  return request.method === 'UPDATE' && !request.hasBody ? { do: 'accept' } : { do: 'later' };
}
