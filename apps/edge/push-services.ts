/**
 * The push services of the config behind one port: which phone each of them is for, and how they are changed while calls go on. What
 * is not changed keeps its connections.
 */
import { createHash } from 'node:crypto';
import { routePushes, type PushRoute } from '../../lib/adapters/push/router.ts';
import { openLogPushes } from '../../lib/adapters/pushlog/log-push-service.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import type { PushConfig } from '../../lib/config/push-config.ts';
import { Secret } from '../../lib/config/secret.ts';
import type { RegisterPolicy } from '../../lib/core/register-decision.ts';
import type { Watched } from '../../lib/delivery/renewal.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushService } from '../../lib/ports/push-service.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel, pushReasonLabel } from '../../lib/telemetry/metrics.ts';
import { type AdapterDeps, openApnsApps, openFcmApps, openHooks, openWebPushOf } from './push-adapters.ts';
import { appFinder, type MatchableApp } from './push-apps.ts';
import { watchBreakers } from './push-breakers.ts';
import { measureServices } from './push-gauges.ts';
import { apnsCheck, type AppCheck, fcmCheck, logCheck, webhookCheck, webpushCheck } from './push-checks.ts';

export interface PushServices {
  readonly push: PushService;
  readonly supports: RegisterPolicy['supports'];
  /** every provider a phone may ask for; changes with `renew` */
  readonly providers: readonly string[];
  /** sip.vapid by provider; changes with `renew` */
  readonly vapid: ReadonlyMap<string, string>;
  /** undefined: there is no such app */
  readonly providerOf: (app: string) => string | undefined;
  /** how each app can be asked whether its credentials are good */
  checks(): readonly AppCheck[];
  /** Takes another config into use; false when nothing differs. When something cannot be opened it rejects, and everything is as it was. */
  renew(config: PushConfig): Promise<boolean>;
  /** Sets the gauges of what each service is doing. */
  measure(): void;
}

/** All apps of one provider. */
interface Group {
  readonly provider: string;
  readonly service: PushService & Partial<Watched>;
  readonly names: readonly string[];
  readonly matchable: readonly MatchableApp[];
  readonly checks: readonly AppCheck[];
  readonly vapid?: string;
}

interface Part {
  readonly provider: string;
  /** undefined: nothing is configured */
  readonly about: unknown;
  open(): Promise<Group>;
}

export async function openPushServices(config: PushConfig, log: Log, telemetry: Telemetry): Promise<PushServices> {
  const routes = new Map<string, PushRoute>();
  const groups = new Map<string, { readonly print: string; readonly group: Group }>();
  const vapid = new Map<string, string>();
  const providers: string[] = [];
  let find = appFinder([]);
  const deps: AdapterDeps = {
    log,
    clockAlarm: () => telemetry.count('pushClockAlarms'),
    breakers: (provider) => watchBreakers(provider, log, telemetry),
  };

  const renew = async (to: PushConfig): Promise<boolean> => {
    const opened: Group[] = [];
    const next = new Map<string, { readonly print: string; readonly group: Group }>();
    try {
      for (const part of partsOf(to, deps)) {
        if (part.about === undefined) continue;
        // who leaves by another proxy needs other connections
        const print = fingerprint([part.about, to.proxy, to.connections]);
        const known = groups.get(part.provider);
        if (known?.print === print) {
          known.group.service.askAgain?.();
          next.set(part.provider, known);
        } else {
          const group = await part.open();
          opened.push(group);
          next.set(part.provider, { print, group });
        }
      }
    } catch (error) {
      await Promise.allSettled(opened.map(({ service }) => service.close()));
      throw error;
    }
    if (opened.length === 0 && next.size === groups.size) return false;
    const gone = [...groups.values()].filter((one) => next.get(one.group.provider) !== one);
    groups.clear();
    routes.clear();
    vapid.clear();
    for (const [provider, one] of next) {
      groups.set(provider, one);
      for (const name of one.group.names) routes.set(name, { provider, service: one.group.service });
      if (one.group.vapid !== undefined) vapid.set(provider, one.group.vapid);
    }
    const matchable = [...next.values()].flatMap(({ group }) => group.matchable);
    find = appFinder(matchable);
    providers.splice(0, providers.length, ...new Set(matchable.map(({ provider }) => provider)));
    // pushes on their way end on the connections they began on
    for (const { group } of gone)
      systemClock.after(to.deadlineMs, () => void group.service.close().catch(() => undefined));
    return true;
  };
  await renew(config);

  return {
    push: routePushes(routes, systemClock, (app, provider, pushClass, outcome, seconds) => {
      const label = providerLabel(provider);
      telemetry.count('pushes', { provider: label, outcome: outcome.is });
      // a stored binding may name an app that is gone: its name must not make a series
      const known = routes.has(app) ? app : 'other';
      const reason = pushReasonLabel('reason' in outcome ? outcome.reason : outcome.is);
      telemetry.count('pushResults', { provider: label, app: known, class: pushClass, outcome: outcome.is, reason });
      telemetry.observe('pushSeconds', seconds, { provider: label, app: known });
    }),
    supports: (provider, param, tokens) => find(provider, param, tokens),
    providers,
    vapid,
    providerOf: (app) => routes.get(app)?.provider,
    checks: () => [...groups.values()].flatMap(({ group }) => group.checks),
    renew,
    measure: () =>
      measureServices(
        [...groups.values()].map(({ group }) => group),
        telemetry,
        systemClock.now(),
      ),
  };
}

/** In the order in which they are asked whether a phone is theirs. */
function partsOf(config: PushConfig, deps: AdapterDeps): readonly Part[] {
  const apns = config.apps.filter((app) => app.provider === 'apns');
  const fcm = config.apps.filter((app) => app.provider === 'fcm');
  const { webhooks, logged } = config;
  const some = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list);
  return [
    {
      provider: 'apns',
      about: some(apns),
      open: async () => {
        const service = await openApnsApps(apns, config, deps);
        return { ...groupOf('apns', service, apns), checks: apns.flatMap((app) => apnsCheck(app, service)) };
      },
    },
    {
      provider: 'fcm',
      about: some(fcm),
      open: async () => {
        const service = await openFcmApps(fcm, config, deps);
        // the project of the account is as good a name as any alias
        const apps = fcm.map((app) => ({ ...app, match: [...app.match, app.account.projectId] }));
        return { ...groupOf('fcm', service, apps), checks: fcm.map((app) => fcmCheck(app, service)) };
      },
    },
    {
      provider: 'webhook',
      about: some(webhooks),
      open: async () => {
        const service = await openHooks(webhooks, config, deps);
        return {
          ...groupOf('webhook', service, webhooks),
          checks: webhooks.map((hook) => webhookCheck(hook, service)),
        };
      },
    },
    ...(['webpush', 'unifiedpush'] as const).map((provider) => webpushPart(provider, config, deps)),
    {
      // behind all others: an app that can really push goes first
      provider: 'log',
      about: some(logged),
      open: () => {
        deps.log.warn({ kind: logged.join(' ') }, 'push.log is set: phones of these push services are not woken');
        const apps = logged.map((provider) => ({ name: `log-${provider}`, provider, match: [] }));
        return Promise.resolve({
          ...groupOf('log', openLogPushes(deps.log), apps),
          checks: apps.map(({ name }) => logCheck(name)),
        });
      },
    },
  ];
}

function webpushPart(provider: 'webpush' | 'unifiedpush', config: PushConfig, deps: AdapterDeps): Part {
  const about = config[provider];
  return {
    provider,
    about,
    open: async () => {
      if (about === undefined) throw new Error(`${provider} is not configured`);
      const service = await openWebPushOf(about, provider, config, deps);
      const app = { name: provider, provider, match: [], refuses: (token: string) => service.refuses(token) };
      return {
        ...groupOf(provider, service, [app]),
        vapid: service.publicKey,
        checks: [webpushCheck(provider, service)],
      };
    },
  };
}

function groupOf(provider: string, service: Group['service'], apps: readonly MatchableApp[]): Omit<Group, 'checks'> {
  const matchable = apps.map(({ name, provider: of, match, refuses }) => ({
    ...{ name, provider: of, match },
    ...(refuses === undefined ? {} : { refuses }),
  }));
  return { provider, service, names: apps.map(({ name }) => name), matchable };
}

/** The same for the same config, its secrets included. */
function fingerprint(about: unknown): string {
  const text = JSON.stringify(about, function (this: Readonly<Record<string, unknown>>, key: string, value: unknown) {
    const held = this[key];
    return held instanceof Secret ? held.reveal() : value;
  });
  return createHash('sha256').update(text).digest('hex');
}
