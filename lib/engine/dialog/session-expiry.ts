/**
 * The end of a session whose refresher is the peer and does not refresh it (RFC 4028 10). The engine never refreshes
 * itself: when the app's answer makes us the refresher, the app sends the re-INVITE.
 */
import type { Headers } from '../../sip/headers.ts';
import type { TimerWheel } from '../timer-wheel.ts';

/** Starts the timer a 2xx of ours asks for; undefined when no session timer is agreed or we are the refresher. */
export function sessionExpiryOf(
  answer: Headers,
  asked: string,
  secondMs: number,
  wheel: TimerWheel,
  onExpired: () => void,
): { stop(): void } | undefined {
  const agreed = answer.get('session-expires') ?? asked;
  const found = /^\s*(\d{1,9})\s*(;.*)?$/.exec(agreed);
  if (found === null || !/;\s*refresher\s*=\s*uac/i.test(found[2] ?? '')) return undefined;
  const timer = wheel.schedule(Math.max(90, Number(found[1])) * secondMs, { onTimer: onExpired }, 'expired');
  return { stop: () => wheel.cancel(timer) };
}

/** Forgets a subscription's dialog some time after it has run out, when nobody ended it (RFC 6665 4.1.2, 4.2.2). */
export function subscriptionExpiry(seconds: number, wheel: TimerWheel, onExpired: () => void): { stop(): void } {
  const timer = wheel.schedule((Math.min(seconds, 86_400) + 60) * 1000, { onTimer: onExpired }, 'expired');
  return { stop: () => wheel.cancel(timer) };
}

export function endsSubscription(headers: Headers): boolean {
  return /^\s*terminated\b/i.test(headers.get('subscription-state') ?? '');
}
