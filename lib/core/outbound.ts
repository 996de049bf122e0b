/** What a registrar makes of reg-id (RFC 5626 6): several flows of one phone, or one, or no registration at all. Pure. */

export interface OutboundQuestion {
  /** Contacts that stay (expiry above 0) */
  readonly kept: number;
  /** one of them has reg-id together with +sip.instance; reg-id alone says nothing */
  readonly regId: boolean;
  /** Supported has `outbound` */
  readonly supported: boolean;
  /** the phone itself has sent it to us: one Via */
  readonly firstHop: boolean;
  /** the first Path value, of a proxy that we believe, has `ob` */
  readonly pathHasOb: boolean;
}

export type OutboundAnswer =
  /** bindings are kept by reg-id; `require`: the 2xx says `Require: outbound` (EDGE-OUT-06) */
  | { readonly is: 'used'; readonly require: boolean }
  /** reg-id means nothing here */
  | { readonly is: 'ignored' }
  | { readonly is: 'refuse'; readonly status: 400 | 439 };

export function judgeOutbound({ kept, regId, supported, firstHop, pathHasOb }: OutboundQuestion): OutboundAnswer {
  if (!regId) return { is: 'ignored' };
  if (kept > 1) return { is: 'refuse', status: 400 };
  if (firstHop || pathHasOb) return { is: 'used', require: supported };
  return supported ? { is: 'refuse', status: 439 } : { is: 'ignored' };
}
