/** What kind of push a request may cause, and whether the tokens of a phone can carry it (RFC 8599 5.6.2, PN-APNS-06). */
import type { SipRequest } from '../sip/message.ts';
import type { PushRecord, PushToken } from './binding.ts';

/**
 * `call` rings; `cancel` says that the call of an earlier push is over; `message` is shown to the user; `notify` and `refresh` wake
 * the app and show nothing.
 */
export type PushClass = 'call' | 'cancel' | 'message' | 'notify' | 'refresh';

/** Bodies of MESSAGE that no user has written (RFC 3994, RFC 5438): nobody is woken for them. */
const notWritten = /^\s*(?:application\/im-iscomposing\+xml|message\/imdn\+xml)\s*(?:;|$)/i;

/** undefined: this request goes to phones that are awake and wakes nobody. */
export function pushClassOf({ method, headers }: SipRequest): PushClass | undefined {
  switch (method) {
    case 'INVITE':
      return 'call';
    case 'MESSAGE':
      if (notWritten.test(headers.get('Content-Type') ?? '')) return undefined;
      return headers.get('Priority')?.trim().toLowerCase() === 'non-urgent' ? undefined : 'message';
    // no request ever waits for them, and none of them waits (PN-PURR-14)
    case 'ACK':
    case 'CANCEL':
    case 'PRACK':
      return undefined;
    default:
      return 'notify';
  }
}

/**
 * A VoIP push that is not a call makes iOS kill the app and, after a few, stop its pushes: a phone with no other token is not
 * pushed for anything else.
 */
export function canPush(push: PushRecord | undefined, pushClass: PushClass | undefined): boolean {
  if (push === undefined || push.deadSince !== undefined || pushClass === undefined) return false;
  return pushClass === 'call' || push.tokens.some(({ kind }) => kind !== 'voip');
}

/** The token a push of this class goes to: of several one, never two. A call to the VoIP token where there is one, all else never. */
export function tokenFor(push: PushRecord | undefined, pushClass: PushClass | undefined): PushToken | undefined {
  if (push === undefined || !canPush(push, pushClass)) return undefined;
  const voip = pushClass === 'call' ? push.tokens.find(({ kind }) => kind === 'voip') : undefined;
  return voip ?? push.tokens.find(({ kind }) => kind !== 'voip');
}
