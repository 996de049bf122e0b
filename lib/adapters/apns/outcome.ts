/** What each answer of APNs means to us: one table from reason to verdict. Decides no retry. */
import { Errors } from 'apns2';
import type { Answer } from './session.ts';

export type Verdict =
  | 'accepted'
  /** the token is gone */
  | 'dead'
  /** the token is wrong here: often the other environment, so one such answer proves little */
  | 'suspect'
  /** this device gets too many */
  | 'throttled'
  /** the operator must act */
  | 'config'
  /** may be tried again, best on another session */
  | 'transient'
  /** may be tried again with a fresh provider token */
  | 'renew-token'
  /** may be tried again with the provider token from before */
  | 'older-token'
  /** may be tried once more on another session */
  | 'other-session'
  /** may be tried once more with less in it */
  | 'shrink';

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
  [Errors.invalidProviderToken]: 'config',
  [Errors.missingProviderToken]: 'config',
  [Errors.invalidSigningKey]: 'config',
  [Errors.forbidden]: 'config',
  [Errors.badCertificate]: 'config',
  [Errors.badCertificateEnvironment]: 'config',
  [newer.unrelatedKeyId]: 'other-session',
  [newer.badEnvironmentKeyId]: 'config',
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

export interface Judged {
  readonly verdict: Verdict;
  /** a reason of the table, or `status NNN` */
  readonly reason: string;
  /** 410: when APNs learned that the token is gone, ms since the epoch */
  readonly since?: number;
  /** ms from now */
  readonly retryAfterMs?: number;
}

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

/** Seconds or a date (RFC 9110 10.2.3), as ms from now. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
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
