/** What an answer says about the server it came from, and whether the next one is to be tried (RFC 3263 4.3). */
import type { HealthEvent } from '../core/upstream-health.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';

export interface Verdict {
  readonly event: HealthEvent;
  /** why the next server is tried; undefined: this answer counts */
  readonly moves: 'timeout' | 'refused' | 'unreachable' | undefined;
}

/** Undefined: it says nothing about the server, the request itself was at fault. `local`: no peer has answered. */
export function verdictOf(response: SipResponse, local: boolean): Verdict | undefined {
  const { status, headers } = response;
  if (local) {
    if (status === 408) return { event: { is: 'failed' }, moves: 'timeout' };
    return status >= 500 && status !== 513 ? { event: { is: 'failed' }, moves: 'unreachable' } : undefined;
  }
  if (status === 503) return { event: { is: 'refused', retryAfterMs: retryAfterMs(headers) }, moves: 'refused' };
  return { event: { is: 'answered' }, moves: undefined };
}

/** RFC 3261 20.33; undefined when it is not there or cannot be read. */
export function retryAfterMs(headers: Headers): number | undefined {
  const found = /^\s*(\d{1,9})\b/.exec(headers.get('Retry-After') ?? '');
  return found === null ? undefined : Number(found[1]) * 1000;
}
