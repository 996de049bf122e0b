/**
 * Whether the credentials of an app are good, found out without waking a phone: APNs by a token that no phone has, FCM by
 * validate_only, Web Push by a signature of our own that we check ourselves, a webhook by a signed ping.
 */
import { randomBytes } from 'node:crypto';
import type { WebhookService } from '../../lib/adapters/webhook/webhook-push-service.ts';
import type { WebPushService } from '../../lib/adapters/webpush/webpush-push-service.ts';
import { environmentsOf } from '../../lib/config/apns-keys.ts';
import type { ApnsAppConfig, FcmAppConfig, WebhookConfig } from '../../lib/config/push-config.ts';
import type { PushToken } from '../../lib/core/binding.ts';
import type { PushRequest, PushService } from '../../lib/ports/push-service.ts';
import { type Checked, verdictOfCheck } from './push-verdicts.ts';

export interface AppCheck {
  readonly app: string;
  readonly provider: string;
  /** what is looked at: a topic and environment, a project, an address; no secret */
  readonly about: string;
  /** Never rejects; settles not later than the deadline (ms since the epoch). */
  check(deadline: number): Promise<Checked>;
}

const never: AbortSignal = new AbortController().signal;

/** Begins with zeros, as no phone has one and stand-ins know it by that; else new each time, so that nothing remembers it. */
function bogusDeviceToken(): string {
  return '0'.repeat(16) + randomBytes(24).toString('hex');
}

/** A refresh that shows nothing, should there be a phone after all. */
function nobody(app: string, token: PushToken, deadline: number, more: Partial<PushRequest> = {}): PushRequest {
  return {
    app,
    class: 'refresh',
    environment: undefined,
    param: undefined,
    tokens: [token],
    instanceId: undefined,
    callId: `check-${randomBytes(8).toString('hex')}`,
    from: { uri: '', display: undefined },
    to: '',
    hasVideo: false,
    deadline,
    wakeUntil: deadline,
    ...more,
  };
}

/** One for each environment and topic. */
export function apnsCheck(app: ApnsAppConfig, service: PushService): readonly AppCheck[] {
  const params = [...new Set(app.match.map((value) => value.replace(/\.(?:voip|remote)(?:&(?:voip|remote))?$/, '')))];
  return environmentsOf(app.environment).flatMap((environment) =>
    params.map((param) => ({
      app: app.name,
      provider: 'apns',
      about: `${environment} ${param.slice(param.indexOf('.') + 1)}`,
      check: async (deadline: number) => {
        const token = { kind: 'alert', token: bogusDeviceToken() } as const;
        const asked = nobody(app.name, token, deadline, { environment, param });
        return verdictOfCheck('apns', await service.push(asked, never));
      },
    })),
  );
}

export function fcmCheck(app: FcmAppConfig, service: PushService): AppCheck {
  return {
    app: app.name,
    provider: 'fcm',
    about: app.account.projectId,
    check: async (deadline) => {
      const token = { kind: 'fcm', token: `reveille-check:${randomBytes(24).toString('base64url')}` } as const;
      const asked = nobody(app.name, token, deadline, { param: app.account.projectId, dryRun: true });
      return verdictOfCheck('fcm', await service.push(asked, never));
    },
  };
}

export function webpushCheck(provider: string, service: WebPushService): AppCheck {
  return {
    app: provider,
    provider,
    about: 'VAPID',
    check: () => {
      const why = service.selfCheck();
      const fix = 'Look at vapid_key_file and subject.';
      return Promise.resolve(
        why === undefined ? { is: 'good', how: 'signature and claims of VAPID' } : { is: 'bad', reason: why, fix },
      );
    },
  };
}

export function webhookCheck(hook: WebhookConfig, service: WebhookService): AppCheck {
  return {
    app: hook.name,
    provider: 'webhook',
    about: new URL(hook.url).host,
    check: async (deadline) => verdictOfCheck('webhook', await service.ping(hook.name, deadline, never)),
  };
}

export function logCheck(app: string): AppCheck {
  return {
    app,
    provider: 'log',
    about: 'log lines',
    check: () => Promise.resolve({ is: 'good', how: 'nothing is pushed: push.log is set' }),
  };
}
