/**
 * What apps written for the Aria push gateway read. They know incoming calls only, and are no SIP clients: `callToken` is the UUID
 * of the call, by which whatever serves them finds it.
 */
import { callUuid } from '../core/call-uuid.ts';
import type { PushRequest } from '../ports/push-service.ts';
import { addressOf, type Amount, type Privacy, sidesOf } from './caller.ts';
import type { Keys } from './content.ts';

export function ariaKeys(request: PushRequest, privacy: Privacy, amount: Amount): Keys {
  const { uri, name } = sidesOf(request, privacy, amount);
  return {
    callToken: callUuid(request.callId),
    // its own word for a caller it does not know
    callerUri: addressOf(uri) ?? 'unknown@unknown',
    callerName: name,
  };
}

export function ariaAps(request: PushRequest, privacy: Privacy, amount: Amount): Keys {
  const { uri, name } = sidesOf(request, privacy, amount);
  const shown = name ?? addressOf(uri);
  return {
    alert: { title: 'Incoming Call', body: shown === undefined ? 'Somebody is calling' : `${shown} is calling` },
    sound: 'ringtone.caf',
    'content-available': 1,
  };
}
