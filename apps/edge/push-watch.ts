/**
 * Keeps the push services as the config and its files are: read again on SIGHUP and when a file changes, checked at the start and
 * after each change, and warned about before they end. What is wrong is told, and the services in use stay.
 */
import { followFiles } from '../../lib/config/follow-files.ts';
import { endOfCertificate } from '../../lib/config/certificates.ts';
import type { PushConfig } from '../../lib/config/push-config.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel } from '../../lib/telemetry/metrics.ts';
import type { PushServices } from './push-services.ts';
import type { Checked } from './push-verdicts.ts';

export interface PushWatchDeps {
  readonly services: PushServices;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** Reads the config again; throws EDGE_CONFIG_INVALID. undefined: there is no file to read. */
  readonly reread: (() => PushConfig) | undefined;
  /** path of the config file */
  readonly file: string | undefined;
}

export interface AppChecked {
  readonly app: string;
  readonly provider: string;
  readonly about: string;
  readonly result: Checked;
}

export interface PushWatch {
  /** Reads config and files now. Never rejects. */
  reload(): Promise<void>;
  /** Asks all apps, or one, whether their credentials are good. Never rejects. */
  check(app?: string): Promise<readonly AppChecked[]>;
  /** why this node is not ready for calls (self_test fail); undefined: it is */
  trouble(): string | undefined;
  stop(): void;
}

/** Longest wait for one answer, ms. */
const checkMs = 5000;
/** How soon refused credentials are tried again, and how often good ones are looked at for their end, ms. */
const againMs = 60_000;
const dayMs = 86_400_000;

export function watchPushes(config: PushConfig, deps: PushWatchDeps): PushWatch {
  const { services, clock, log, telemetry } = deps;
  let inUse = config;
  let refused: readonly AppChecked[] = [];
  let tested = false;
  let stopped = false;
  let turn: Promise<void> = Promise.resolve();
  let stopAgain = (): void => undefined;

  const check = async (app?: string): Promise<readonly AppChecked[]> => {
    const deadline = clock.now() + checkMs;
    const asked = services.checks().filter((one) => app === undefined || one.app === app);
    const results = await Promise.all(
      asked.map(async (one): Promise<AppChecked> => {
        const result = await one
          .check(deadline)
          .catch(
            (error: unknown): Checked => ({ is: 'unknown', reason: error instanceof Error ? error.name : 'error' }),
          );
        return { app: one.app, provider: one.provider, about: one.about, result };
      }),
    );
    const worth = { good: 1, unknown: -1, bad: 0 } as const;
    for (const name of new Set(results.map((one) => one.app))) {
      const own = results.filter((one) => one.app === name);
      const worst =
        (['bad', 'unknown', 'good'] as const).find((is) => own.some(({ result }) => result.is === is)) ?? 'good';
      telemetry.gauge('pushSelfTest', worth[worst], { provider: providerLabel(own[0]?.provider ?? ''), app: name });
    }
    return results;
  };

  const selfTest = async (): Promise<void> => {
    if (inUse.selfTest === 'off' || stopped) return;
    const results = await check();
    if (stopped) return;
    for (const { app, provider, about, result } of results) {
      const facts = { app, provider, kind: about, outcome: result.is };
      if (result.is === 'good') log.info({ ...facts, reason: result.how }, 'push credentials are good');
      else if (result.is === 'unknown')
        log.warn({ ...facts, reason: result.reason }, 'push credentials could not be checked');
      else log.error({ ...facts, reason: result.reason, fix: result.fix }, 'push credentials are refused');
    }
    tested = true;
    refused = results.filter(({ result }) => result.is === 'bad');
    // whoever has repaired them at the service shall not have to tell us
    stopAgain();
    if (refused.length > 0) stopAgain = clock.after(againMs, () => void selfTest());
  };

  const warnOfEnds = (): void => {
    for (const path of inUse.openKeys)
      log.warn({ path, fix: 'chmod 640' }, 'everybody on this host can read a key of a push service');
    const now = clock.now();
    for (const { app, provider, endsAt } of certificatesOf(inUse)) {
      telemetry.gauge('pushCredentialExpires', endsAt, { provider: providerLabel(provider), app });
      const seconds = endsAt - Math.floor(now / 1000);
      if (seconds * 1000 < inUse.expiryWarningDays * dayMs)
        log.warn({ app, provider, seconds }, 'a certificate of push.*.ca_file ends soon or has ended');
    }
    for (const app of inUse.apps) {
      if (app.provider !== 'fcm' || app.accountWrittenAt === undefined) continue;
      const age = Math.max(0, now - app.accountWrittenAt);
      telemetry.gauge('pushKeyAge', age / 1000, { provider: 'fcm', app: app.name });
      if (inUse.keyAgeWarningDays > 0 && age > inUse.keyAgeWarningDays * dayMs)
        log.warn({ app: app.name, seconds: Math.round(age / 1000) }, 'the key of a service account is old');
    }
  };

  /** `asked`: by somebody, and not by a file that may be about other things */
  const readAgain = async (asked: boolean): Promise<void> => {
    if (deps.reread === undefined || stopped) return;
    try {
      const next = deps.reread();
      const changed = await services.renew(next);
      inUse = next;
      telemetry.count('pushReloads', { result: changed ? 'accepted' : 'unchanged' });
      log.info({ outcome: changed ? 'changed' : 'unchanged' }, 'push services read again');
      if (!changed && !asked) return;
    } catch (error) {
      telemetry.count('pushReloads', { result: 'refused' });
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ reason }, 'the new push config is wrong; the old one stays in use');
      return;
    }
    warnOfEnds();
    await selfTest();
  };
  // one after the other: the last one wins
  const reload = (asked = true): Promise<void> => (turn = turn.then(() => readAgain(asked)));

  const files = (): readonly string[] => [...(deps.file === undefined ? [] : [deps.file]), ...inUse.files];
  const follower = deps.reread === undefined ? undefined : followFiles(files, () => void reload(false));
  const everyDay = setInterval(warnOfEnds, dayMs).unref();
  warnOfEnds();
  turn = turn.then(selfTest);

  return {
    reload: () => reload(),
    check,
    trouble: () => {
      if (inUse.selfTest !== 'fail') return undefined;
      if (!tested) return 'push credentials not checked yet';
      const names = [...new Set(refused.map(({ app }) => app))];
      return names.length === 0 ? undefined : `push credentials refused: ${names.join(', ')}`;
    },
    stop: () => {
      stopped = true;
      follower?.stop();
      clearInterval(everyDay);
      stopAgain();
    },
  };
}

interface CertificateEnd {
  readonly app: string;
  readonly provider: string;
  /** seconds since 1970 */
  readonly endsAt: number;
}

function certificatesOf(config: PushConfig): readonly CertificateEnd[] {
  const named = [
    ...config.apps,
    ...config.webhooks.map(({ name, ca }) => ({ name, provider: 'webhook', ca })),
    ...(['webpush', 'unifiedpush'] as const).map((name) => ({ name, provider: name, ca: config[name]?.ca })),
  ];
  return named.flatMap(({ name, provider, ca }) => {
    const blocks = ca?.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
    const ends = blocks.map(endOfCertificate);
    return ends.length === 0 ? [] : [{ app: name, provider, endsAt: Math.min(...ends) }];
  });
}
