/**
 * How wide a request may fork (RFC 5393 5.3.3). A phone does not fork, so each branch to one gets a share of 1, and what counts is how
 * many phones there are, held ones too.
 */
import type { Headers } from '../sip/headers.ts';

const most = 60;
/** of each branch */
export const shareOfPhone = '1';

/** Branches that may be open at a time. */
export function breadthOf(headers: Headers): number {
  const text = headers.get('Max-Breadth')?.trim() ?? '';
  return /^\d{1,9}$/.test(text) ? Math.min(Number(text), most) : most;
}
