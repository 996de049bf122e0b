/** What each answer of APNs means to us: one table from reason to verdict. Decides no retry. */
import { Errors } from 'apns2';
import type { Answer } from '../../delivery/session.ts';
import { type Judged, retryAfterMs, type Verdict } from '../../delivery/verdict.ts';

/** Names APNs has added since apns2 wrote its list. */
const newer = {
  expiredToken: 'ExpiredToken',
  unrelatedKeyId: 'UnrelatedKeyIdInToken',
  badEnvironmentKeyId: 'BadEnvironmentKeyIdInToken',
} as const;

export const verdicts: Readonly<Record<string, Verdict>> = {
  [Errors.badDeviceToken]: 'suspect',
  [Errors.deviceTokenNotForTopic]: 'config',
  [Errors.badTopic]: 'config',
  [Errors.topicDisallowed]: 'config',
  [Errors.missingTopic]: 'config',
  [Errors.invalidPushType]: 'config',
  [Errors.badPriority]: 'config',
  [Errors.badExpirationDate]: 'config',
  [Errors.badCollapseId]: 'config',
  [Errors.badMessageId]: 'config',
  [Errors.duplicateHeaders]: 'config',
  [Errors.payloadEmpty]: 'config',
  [Errors.missingDeviceToken]: 'config',
  [Errors.idleTimeout]: 'transient',
  [Errors.expiredProviderToken]: 'renew-token',
  [Errors.invalidProviderToken]: 'credential',
  [Errors.missingProviderToken]: 'credential',
  [Errors.invalidSigningKey]: 'credential',
  [Errors.forbidden]: 'credential',
  [Errors.badCertificate]: 'credential',
  [Errors.badCertificateEnvironment]: 'credential',
  [newer.unrelatedKeyId]: 'other-session',
  [newer.badEnvironmentKeyId]: 'credential',
  [Errors.badPath]: 'config',
  [Errors.methodNotAllowed]: 'config',
  [Errors.unregistered]: 'dead',
  [newer.expiredToken]: 'dead',
  [Errors.payloadTooLarge]: 'shrink',
  [Errors.tooManyRequests]: 'throttled',
  [Errors.tooManyProviderTokenUpdates]: 'older-token',
  [Errors.internalServerError]: 'transient',
  [Errors.serviceUnavailable]: 'transient',
  [Errors.shutdown]: 'transient',
};

/** For a body that tells nothing: a middlebox may have written it. */
function verdictOfStatus(status: number): Verdict {
  if (status === 200) return 'accepted';
  if (status === 410) return 'dead';
  if (status === 413) return 'shrink';
  if (status === 429) return 'throttled';
  return status >= 500 || status === 408 ? 'transient' : 'config';
}

function bodyOf(text: string): { readonly reason: string | undefined; readonly timestamp: number | undefined } {
  try {
    const { reason, timestamp } = (JSON.parse(text) ?? {}) as { reason?: unknown; timestamp?: unknown };
    return {
      reason: typeof reason === 'string' ? reason : undefined,
      timestamp: typeof timestamp === 'number' && Number.isFinite(timestamp) ? timestamp : undefined,
    };
  } catch {
    return { reason: undefined, timestamp: undefined };
  }
}

export function judge(answer: Answer, now: number): Judged {
  const { status } = answer;
  if (status === 200) return { verdict: 'accepted', reason: 'accepted' };
  const { reason, timestamp } = bodyOf(answer.body);
  const verdict = reason !== undefined && Object.hasOwn(verdicts, reason) ? verdicts[reason] : undefined;
  const wait = retryAfterMs(answer.headers['retry-after'], now);
  return {
    verdict: verdict ?? verdictOfStatus(status),
    reason: verdict === undefined || reason === undefined ? `status ${status}` : reason,
    ...(timestamp === undefined ? {} : { since: timestamp }),
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  };
}
