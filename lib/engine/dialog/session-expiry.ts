/**
 * The end of a session whose refresher is the peer and does not refresh it (RFC 4028 10). The engine never refreshes
 * itself: when the app's answer makes us the refresher, the app sends the re-INVITE.
 */
import type { Headers } from '../../sip/headers.ts';
import type { TimerWheel } from '../timer-wheel.ts';
import type { Dialog } from './dialog.ts';

/**
 * Puts what the 2xx to an INVITE or UPDATE agrees in the place of what was agreed before (RFC 4028 7.2, 9): a refresh by either
 * side and with either method starts the time anew, and a 2xx without Session-Expires ends it. `peer`: the side the other
 * end was on in this exchange; without its being the refresher no timer runs.
 */
export function agreeSession(
  dialog: Dialog,
  answer: Headers,
  peer: 'uac' | 'uas',
  { wheel, secondMs }: { readonly wheel: TimerWheel; readonly secondMs: number },
  onExpired: () => void,
): void {
  dialog.sessionExpiry?.stop();
  dialog.sessionExpiry = undefined;
  const found = /^\s*(\d{1,9})\s*(;.*)?$/.exec(answer.get('session-expires') ?? '');
  const refresher = /;\s*refresher\s*=\s*(ua[cs])/i.exec(found?.[2] ?? '')?.[1]?.toLowerCase();
  if (found === null || refresher !== peer) return;
  const timer = wheel.schedule(Math.max(90, Number(found[1])) * secondMs, { onTimer: onExpired }, 'expired');
  dialog.sessionExpiry = { stop: () => wheel.cancel(timer) };
}

/** Forgets a subscription's dialog some time after it has run out, when nobody ended it (RFC 6665 4.1.2, 4.2.2). */
export function subscriptionExpiry(seconds: number, wheel: TimerWheel, onExpired: () => void): { stop(): void } {
  const timer = wheel.schedule((Math.min(seconds, 86_400) + 60) * 1000, { onTimer: onExpired }, 'expired');
  return { stop: () => wheel.cancel(timer) };
}

export function endsSubscription(headers: Headers): boolean {
  return /^\s*terminated\b/i.test(headers.get('subscription-state') ?? '');
}
