/** What the answer to a check means, and what an operator does about it. Pure. */
import type { PushOutcome } from '../../lib/ports/push-service.ts';

export type Checked =
  /** `how`: what was tried and accepted */
  | { readonly is: 'good'; readonly how: string }
  /** the service refuses: `reason` in its words, `fix` in ours */
  | { readonly is: 'bad'; readonly reason: string; readonly fix: string }
  /** no answer that tells anything about credentials */
  | { readonly is: 'unknown'; readonly reason: string };

type Service = 'apns' | 'fcm' | 'webhook';

/** Answers that only come after the credentials have been accepted. */
const proofs: Readonly<Record<Service, ReadonlySet<string>>> = {
  apns: new Set(['BadDeviceToken', 'Unregistered', 'ExpiredToken', 'DeviceTokenNotForTopic']),
  fcm: new Set(['INVALID_ARGUMENT', 'UNREGISTERED', 'SENDER_ID_MISMATCH']),
  webhook: new Set(),
};

export const fixes: Readonly<Record<Service, Readonly<Record<string, string>>>> = {
  apns: {
    InvalidProviderToken: 'key_id, team_id and the .p8 file do not belong together, or the key was revoked.',
    MissingProviderToken: 'Please report it: no token was sent.',
    ExpiredProviderToken: 'The clock of this host is wrong: APNs takes tokens of the last hour.',
    InvalidSigningKey: 'The .p8 file is not a key for APNs.',
    Forbidden: 'The key may not push; look at it in the developer account.',
    BadEnvironmentKeyIdInToken: 'The key is for the other environment: give push.apns_keys[].environments.',
    UnrelatedKeyIdInToken: 'The key is not for this topic: give push.apns_keys[].topics.',
    TopicDisallowed: 'The bundle id in match is not one of this team, or the key is not for it.',
    BadTopic: 'The bundle id in match is wrong.',
    'pn-param has no topic for alert': 'match has to be TEAM.bundle.id.',
    TooManyProviderTokenUpdates: 'Other servers make tokens with the same key; wait 20 minutes.',
  },
  fcm: {
    PERMISSION_DENIED:
      'Switch on the Firebase Cloud Messaging API of the project, and give the account the role for it.',
    NOT_FOUND: 'There is no such project: look at project_id in the service account.',
    UNAUTHENTICATED: 'The key of the service account was revoked, or the clock of this host is wrong.',
    THIRD_PARTY_AUTH_ERROR: 'FCM cannot push to APNs or a browser for this project.',
  },
  webhook: {
    'status 401': 'The other side refuses the signature: the secrets differ, or a clock is wrong.',
    'status 403': 'The other side refuses the signature: the secrets differ, or a clock is wrong.',
    'status 404': 'Nothing is at the URL, or it does not know type ping (docs/webhook.md).',
    'status 405': 'The URL does not take POST.',
  },
};

const sayings: Readonly<Record<Service, string>> = {
  apns: 'a push for a token that no phone has',
  fcm: 'a message with validate_only',
  webhook: 'a signed ping',
};

export function verdictOfCheck(service: Service, outcome: PushOutcome): Checked {
  if (outcome.is === 'accepted') return { is: 'good', how: sayings[service] };
  if (outcome.is === 'cancelled') return { is: 'unknown', reason: 'cancelled' };
  const { reason } = outcome;
  if (proofs[service].has(reason)) return { is: 'good', how: sayings[service] };
  const fix = Object.hasOwn(fixes[service], reason) ? fixes[service][reason] : undefined;
  // Google refuses the account before there is a push
  if (service === 'fcm' && reason.startsWith('token endpoint answered 4'))
    return {
      is: 'bad',
      reason,
      fix: 'The service account or its key was deleted, or the clock of this host is wrong.',
    };
  if (fix !== undefined) return { is: 'bad', reason, fix };
  if (outcome.is === 'config-error' || outcome.is === 'token-dead')
    return { is: 'bad', reason, fix: 'See docs/push.md.' };
  return { is: 'unknown', reason };
}
