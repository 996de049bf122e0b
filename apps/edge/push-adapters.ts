/** Opens the adapter of each push service with what the config has for it. Libraries of services nobody uses are not loaded: some cost tens of megabytes. */
import { systemClock } from '../../lib/adapters/system/clock.ts';
import type { WebhookService } from '../../lib/adapters/webhook/webhook-push-service.ts';
import type { WebPushService } from '../../lib/adapters/webpush/webpush-push-service.ts';
import type { ApnsAppConfig, FcmAppConfig, WebhookConfig, WebPushConfig } from '../../lib/config/push-config.ts';
import type { PayloadPolicy } from '../../lib/payload/profile.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushService } from '../../lib/ports/push-service.ts';

export interface AdapterDeps {
  readonly log: Log;
  /** the service called a fresh credential old: the clock of this host is wrong */
  readonly clockAlarm: () => void;
}

export async function openApnsApps(
  apps: readonly ApnsAppConfig[],
  { log, clockAlarm }: AdapterDeps,
): Promise<PushService> {
  const { openApns } = await import('../../lib/adapters/apns/apns-push-service.ts');
  return openApns(
    {
      apps: apps.map((app) => ({
        name: app.name,
        teamId: app.teamId,
        keyId: app.keyId,
        privateKey: app.key.reveal(),
        ...(app.sandboxKey === undefined
          ? {}
          : { sandboxKey: { keyId: app.sandboxKey.keyId, privateKey: app.sandboxKey.key.reveal() } }),
        // an app bound to one environment has one endpoint, whatever the phone says
        endpoint: {
          production: app.environment === 'sandbox' ? app.sandboxEndpoint : app.endpoint,
          sandbox: app.environment === 'production' ? app.endpoint : app.sandboxEndpoint,
        },
        ...(app.ca === undefined ? {} : { ca: app.ca }),
        ...payloadOf(app),
        callExpiration: app.callExpiration,
      })),
    },
    systemClock,
    {
      connection: (endpoint, what, reason) => log.info({ remote: endpoint, outcome: what, reason }, 'APNs connection'),
      clockAlarm: (keyId) => {
        clockAlarm();
        log.error({ kind: keyId }, 'APNs calls a fresh token expired: is the clock of this host wrong?');
      },
      failure: (err) => log.error({ err }, 'push failed in a way nobody thought of'),
    },
  );
}

export async function openFcmApps(apps: readonly FcmAppConfig[], { log }: AdapterDeps): Promise<PushService> {
  const { openFcm } = await import('../../lib/adapters/fcm/fcm-push-service.ts');
  return openFcm(
    apps.map((app) => ({
      name: app.name,
      endpoint: app.endpoint,
      ...payloadOf(app),
      account: { ...app.account, privateKey: app.account.privateKey.reveal() },
      ...(app.ca === undefined ? {} : { ca: app.ca }),
    })),
    systemClock,
    {
      connection: (endpoint, what, reason) => log.info({ remote: endpoint, outcome: what, reason }, 'FCM connection'),
      tokenTrouble: (app, reason) => log.error({ app, reason }, 'no access token for FCM'),
      failure: (err) => log.error({ err }, 'push failed in a way nobody thought of'),
    },
  );
}

function payloadOf({ profile, privacy, template }: ApnsAppConfig | FcmAppConfig): PayloadPolicy {
  return { profile, privacy, ...(template === undefined ? {} : { template }) };
}

export async function openWebPushOf(
  { key, ca, ...policy }: WebPushConfig,
  mayBeSilent: boolean,
): Promise<WebPushService> {
  const { openWebPush } = await import('../../lib/adapters/webpush/webpush-push-service.ts');
  const trust = ca === undefined ? {} : { ca };
  return openWebPush({ ...policy, privateKey: key.reveal(), mayBeSilent, ...trust }, systemClock);
}

export async function openHooks(hooks: readonly WebhookConfig[]): Promise<WebhookService> {
  const { openWebhooks } = await import('../../lib/adapters/webhook/webhook-push-service.ts');
  return openWebhooks(
    hooks.map(({ secret, ...hook }) => ({ ...hook, secret: secret.reveal() })),
    systemClock,
  );
}
