/** Our own keys, the same words over every service: `opaque` tells only that and which call, `generic` who as well. */
import { callUuid } from '../core/call-uuid.ts';
import type { PushRequest } from '../ports/push-service.ts';
import { type Amount, type Privacy, sidesOf } from './caller.ts';

export type Keys = Readonly<Record<string, unknown>>;

/** Keys and texts; JSON leaves out what is undefined. */
export function genericKeys(request: PushRequest, privacy: Privacy, now: number, amount: Amount = 'whole'): Keys {
  const { uri, name, to } = sidesOf(request, privacy, amount);
  return {
    ...opaqueKeys(request, now),
    'call-id': request.callId,
    'has-video': request.class === 'call' ? String(request.hasVideo) : undefined,
    'from-uri': uri,
    'display-name': name,
    'to-uri': to,
  };
}

/**
 * No name, no address, no Call-ID (which often has a host in it): the UUID made of the Call-ID, which the INVITE carries too
 * (X-Call-UUID), and two times.
 */
export function opaqueKeys(request: PushRequest, now: number): Keys {
  return {
    v: '1',
    type: request.class,
    'call-uuid': isOfCall(request) ? callUuid(request.callId) : undefined,
    reason: request.reason,
    'sent-at': String(now),
    'expires-at': String(request.wakeUntil),
  };
}

export function isOfCall(request: PushRequest): boolean {
  return request.class === 'call' || request.class === 'cancel';
}
