/** Opens the push services of the config behind one port, and says which phone each of them is for. */
import { routePushes, type PushRoute } from '../../lib/adapters/push/router.ts';
import { openLogPushes } from '../../lib/adapters/pushlog/log-push-service.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import type {
  ApnsAppConfig,
  FcmAppConfig,
  PushConfig,
  WebhookConfig,
  WebPushConfig,
} from '../../lib/config/push-config.ts';
import type { RegisterPolicy } from '../../lib/core/register-decision.ts';
import type { PayloadPolicy } from '../../lib/payload/profile.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushService } from '../../lib/ports/push-service.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel } from '../../lib/telemetry/metrics.ts';
import { appFinder, type MatchableApp } from './push-apps.ts';

export interface PushServices {
  readonly push: PushService;
  readonly supports: RegisterPolicy['supports'];
  /** every provider a phone may ask for */
  readonly providers: readonly string[];
  /** sip.vapid by provider */
  readonly vapid: ReadonlyMap<string, string>;
}

/** Libraries of services nobody has configured are not loaded: some cost tens of megabytes. */
export async function openPushServices(config: PushConfig, log: Log, telemetry: Telemetry): Promise<PushServices> {
  const routes = new Map<string, PushRoute>();
  const matchable: MatchableApp[] = [
    // the project of the account is as good a name as any alias
    ...config.apps.map((app) =>
      app.provider === 'fcm' ? { ...app, match: [...app.match, app.account.projectId] } : app,
    ),
    ...config.webhooks,
  ];
  const vapid = new Map<string, string>();
  const add = (provider: string, names: readonly string[], service: PushService): void => {
    for (const name of names) routes.set(name, { provider, service });
  };
  const apns = config.apps.filter((app) => app.provider === 'apns');
  if (apns.length > 0) add('apns', namesOf(apns), await openApnsApps(apns, log));
  const fcm = config.apps.filter((app) => app.provider === 'fcm');
  if (fcm.length > 0) add('fcm', namesOf(fcm), await openFcmApps(fcm, log));
  if (config.webhooks.length > 0) add('webhook', namesOf(config.webhooks), await openHooks(config.webhooks));
  for (const provider of ['webpush', 'unifiedpush'] as const) {
    const of = config[provider];
    if (of === undefined) continue;
    const service = await openWebPushOf(of, provider === 'unifiedpush');
    add(provider, [provider], service);
    matchable.push({ name: provider, provider, match: [], refuses: (token) => service.refuses(token) });
    vapid.set(provider, service.publicKey);
  }
  if (config.logged.length > 0) {
    log.warn({ kind: config.logged.join(' ') }, 'push.log is set: phones of these push services are not woken');
    add('log', config.logged.map(loggedName), openLogPushes(log));
    // behind all others: an app that can really push goes first
    for (const provider of config.logged) matchable.push({ name: loggedName(provider), provider, match: [] });
  }
  return {
    push: routePushes(routes, systemClock, (_app, provider, _class, outcome) =>
      telemetry.count('pushes', { provider: providerLabel(provider), outcome: outcome.is }),
    ),
    supports: appFinder(matchable),
    providers: [...new Set(matchable.map(({ provider }) => provider))],
    vapid,
  };
}

function loggedName(provider: string): string {
  return `log-${provider}`;
}

function namesOf(apps: readonly { readonly name: string }[]): readonly string[] {
  return apps.map(({ name }) => name);
}

async function openApnsApps(apps: readonly ApnsAppConfig[], log: Log): Promise<PushService> {
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
      clockAlarm: (keyId) =>
        log.error({ kind: keyId }, 'APNs calls a fresh token expired: is the clock of this host wrong?'),
      failure: (err) => log.error({ err }, 'push failed in a way nobody thought of'),
    },
  );
}

async function openFcmApps(apps: readonly FcmAppConfig[], log: Log): Promise<PushService> {
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

async function openWebPushOf({ key, ca, ...policy }: WebPushConfig, mayBeSilent: boolean) {
  const { openWebPush } = await import('../../lib/adapters/webpush/webpush-push-service.ts');
  const trust = ca === undefined ? {} : { ca };
  return openWebPush({ ...policy, privateKey: key.reveal(), mayBeSilent, ...trust }, systemClock);
}

async function openHooks(hooks: readonly WebhookConfig[]): Promise<PushService> {
  const { openWebhooks } = await import('../../lib/adapters/webhook/webhook-push-service.ts');
  return openWebhooks(
    hooks.map(({ secret, ...hook }) => ({ ...hook, secret: secret.reveal() })),
    systemClock,
  );
}
