/** What a push tells the app, the same words over every service: keys of our own generic profile, cut down to what privacy allows. */
import { callUuid } from '../core/call-uuid.ts';
import type { PushRequest } from '../ports/push-service.ts';

/** What the push service may see of the caller: URI and name, the name, or neither. */
export type Privacy = 'full' | 'name' | 'none';

const longestName = 128;
const longestUri = 512;

export interface Caller {
  readonly uri: string | undefined;
  readonly name: string | undefined;
}

export function callerFor(request: PushRequest, privacy: Privacy): Caller {
  const name = request.from.display?.slice(0, longestName);
  switch (privacy) {
    case 'full':
      return { uri: request.from.uri.slice(0, longestUri), name };
    case 'name':
      return { uri: undefined, name };
    case 'none':
      return { uri: undefined, name: undefined };
    default:
      return privacy satisfies never;
  }
}

export type Keys = Readonly<Record<string, unknown>>;

/** Keys and texts; JSON leaves out what is undefined. */
export function genericKeys(request: PushRequest, privacy: Privacy, now: number): Keys {
  const caller = callerFor(request, privacy);
  const isCall = request.class === 'call';
  const isOfCall = isCall || request.class === 'cancel';
  return {
    v: '1',
    type: request.class,
    'call-id': request.callId,
    'call-uuid': isOfCall ? callUuid(request.callId) : undefined,
    'has-video': isCall ? String(request.hasVideo) : undefined,
    reason: request.reason,
    'from-uri': caller.uri,
    'display-name': caller.name,
    'to-uri': privacy === 'full' ? request.to.slice(0, longestUri) : undefined,
    'sent-at': String(now),
    'expires-at': String(request.wakeUntil),
  };
}
