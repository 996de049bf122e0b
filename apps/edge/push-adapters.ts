/** Opens the adapter of each push service with what the config has for it. Libraries of services nobody uses are not loaded: some cost tens of megabytes. */
import { basicCredentials, type Proxy } from '../../lib/delivery/dial.ts';
import type { PoolEvents } from '../../lib/delivery/session-pool.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import type { WebhookService } from '../../lib/adapters/webhook/webhook-push-service.ts';
import type { WebPushService } from '../../lib/adapters/webpush/webpush-push-service.ts';
import type {
  ApnsAppConfig,
  FcmAppConfig,
  PushConfig,
  WebhookConfig,
  WebPushConfig,
} from '../../lib/config/push-config.ts';
import type { PayloadPolicy } from '../../lib/payload/profile.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { ApnsService } from '../../lib/adapters/apns/apns-push-service.ts';
import type { FcmService } from '../../lib/adapters/fcm/fcm-push-service.ts';

export interface AdapterDeps {
  readonly log: Log;
  /** the service called a fresh credential old: the clock of this host is wrong */
  readonly clockAlarm: () => void;
  /** told when a push service is given up for a while */
  readonly breakers: (provider: string) => NonNullable<PoolEvents['breaker']>;
}

/** What all services have in common on their way out. */
export type Ways = Pick<PushConfig, 'proxy' | 'connections'>;

function proxyOf({ proxy }: Ways): { readonly proxy?: Proxy } {
  if (proxy === undefined) return {};
  const { url, except, user, password } = proxy;
  const isNamed = user !== undefined && password !== undefined;
  const credentials = isNamed ? { authorization: basicCredentials(user, password.reveal()) } : {};
  return { proxy: { url, except, ...credentials } };
}

export async function openApnsApps(
  apps: readonly ApnsAppConfig[],
  ways: Ways,
  { log, clockAlarm, breakers }: AdapterDeps,
): Promise<ApnsService> {
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
        findsEnvironment: app.environment === 'auto',
        endpoint: {
          production: app.environment === 'sandbox' ? app.sandboxEndpoint : app.endpoint,
          sandbox: app.environment === 'production' ? app.endpoint : app.sandboxEndpoint,
        },
        ...(app.ca === undefined ? {} : { ca: app.ca }),
        ...payloadOf(app),
        callExpiration: app.callExpiration,
      })),
      limits: { warmSessions: ways.connections },
      ...proxyOf(ways),
    },
    systemClock,
    {
      breaker: breakers('apns'),
      connection: (endpoint, what, reason) => log.info({ remote: endpoint, outcome: what, reason }, 'APNs connection'),
      clockAlarm: (keyId) => {
        clockAlarm();
        log.error({ kind: keyId }, 'APNs calls a fresh token expired: is the clock of this host wrong?');
      },
      failure: (err) => log.error({ err }, 'push failed in a way nobody thought of'),
    },
  );
}

export async function openFcmApps(
  apps: readonly FcmAppConfig[],
  ways: Ways,
  { log, breakers }: AdapterDeps,
): Promise<FcmService> {
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
      breaker: breakers('fcm'),
      connection: (endpoint, what, reason) => log.info({ remote: endpoint, outcome: what, reason }, 'FCM connection'),
      tokenTrouble: (app, reason) => log.error({ app, reason }, 'no access token for FCM'),
      failure: (err) => log.error({ err }, 'push failed in a way nobody thought of'),
    },
    { limits: { warmSessions: ways.connections }, ...proxyOf(ways) },
  );
}

function payloadOf({ profile, privacy, template }: ApnsAppConfig | FcmAppConfig): PayloadPolicy {
  return { profile, privacy, ...(template === undefined ? {} : { template }) };
}

export async function openWebPushOf(
  { key, ca, ...policy }: WebPushConfig,
  provider: 'webpush' | 'unifiedpush',
  ways: Ways,
  { breakers }: AdapterDeps,
): Promise<WebPushService> {
  const { openWebPush } = await import('../../lib/adapters/webpush/webpush-push-service.ts');
  const trust = ca === undefined ? {} : { ca };
  // a browser withdraws the subscription of who pushes without showing something
  const mayBeSilent = provider === 'unifiedpush';
  return openWebPush({ ...policy, privateKey: key.reveal(), mayBeSilent, ...trust, ...proxyOf(ways) }, systemClock, {
    breaker: breakers(provider),
  });
}

export async function openHooks(
  hooks: readonly WebhookConfig[],
  ways: Ways,
  { breakers }: AdapterDeps,
): Promise<WebhookService> {
  const { openWebhooks } = await import('../../lib/adapters/webhook/webhook-push-service.ts');
  return openWebhooks(
    hooks.map(({ secret, ...hook }) => ({ ...hook, secret: secret.reveal() })),
    systemClock,
    { breaker: breakers('webhook') },
    proxyOf(ways).proxy,
  );
}
