/** The end of a dialog that a SUBSCRIBE began (RFC 6665 4.1.2, 4.2.2, 4.4.1). */
import type { Headers } from '../../sip/headers.ts';
import type { TimerWheel } from '../timer-wheel.ts';

/** Forgets a subscription's dialog some time after it has run out, when nobody ended it. */
export function subscriptionExpiry(seconds: number, wheel: TimerWheel, onExpired: () => void): { stop(): void } {
  const timer = wheel.schedule((Math.min(seconds, 86_400) + 60) * 1000, { onTimer: onExpired }, 'expired');
  return { stop: () => wheel.cancel(timer) };
}

/** Of a NOTIFY: no other will follow. */
export function endsSubscription(headers: Headers): boolean {
  return /^\s*terminated\b/i.test(headers.get('subscription-state') ?? '');
}
