/** Which final answer goes back when every leg of a call has failed (RFC 3261 16.7 steps 6 and 7, EDGE-PRX-09, EDGE-PRX-11). */
import type { SipResponse } from '../sip/message.ts';

export interface FailedLeg {
  readonly leg: string;
  /** 300 to 699 */
  readonly status: number;
  /** made up by the engine: nobody answered */
  readonly local: boolean;
}

export type BestResponse =
  | { readonly is: 'relay'; readonly leg: string; readonly status: number }
  | { readonly is: 'refuse'; readonly status: 480 | 500 };

/** These tell the caller how to try again, so they beat others of class 4. */
const preferred = new Set([401, 407, 415, 420, 484]);

/** The answer of a device beats anything local; nothing at all is 480, never 408 or 404 (PN-PROXY-12). */
export function bestResponse(failures: readonly FailedLeg[]): BestResponse {
  let best: FailedLeg | undefined;
  for (const failure of failures) {
    if (!failure.local && (best === undefined || rank(failure.status) < rank(best.status))) best = failure;
  }
  if (best === undefined) return { is: 'refuse', status: 480 };
  // a 503 would make the PBX believe that all of the edge is overloaded
  if (best.status === 503) return { is: 'refuse', status: 500 };
  return { is: 'relay', leg: best.leg, status: best.status };
}

/**
 * A 401 or 407 with the challenges of all legs, so that the caller can answer each of them at once; its own come first, and those of
 * one leg stay in their order (RFC 8760 2.5). Any other answer as it is. `all`: the last answer of every leg, in order.
 */
export function withAllChallenges(best: SipResponse, all: Iterable<SipResponse>): SipResponse {
  if (!isChallenge(best)) return best;
  const headers = best.headers.copy();
  for (const other of all) {
    if (other === best || !isChallenge(other)) continue;
    for (const name of ['WWW-Authenticate', 'Proxy-Authenticate']) {
      const known = headers.lines(name);
      for (const challenge of other.headers.lines(name)) if (!known.includes(challenge)) headers.add(name, challenge);
    }
  }
  return { ...best, headers };
}

function isChallenge({ status }: SipResponse): boolean {
  return status === 401 || status === 407;
}

/** Lower is better. */
function rank(status: number): number {
  if (status >= 600) return 0;
  const ofClass = Math.floor(status / 100) * 10;
  if (preferred.has(status)) return ofClass;
  return status === 503 ? ofClass + 2 : ofClass + 1;
}
