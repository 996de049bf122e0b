/** The one place that knows which adapter stands behind a port: builds the edge from its config and takes it down again. */
import { hkdfSync } from 'node:crypto';
import { calmLog } from '../../lib/adapters/pino/calm-log.ts';
import { createLog } from '../../lib/adapters/pino/log.ts';
import { createPrometheus } from '../../lib/adapters/prometheus/registry.ts';
import { anyMethod, connectSrf, routedMethods, type SrfEdge } from '../../lib/adapters/srf/connect.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import { systemIds } from '../../lib/adapters/system/ids.ts';
import { BridgedDialogs } from '../../lib/call/bridged-dialogs.ts';
import { Calls } from '../../lib/call/ledger.ts';
import { Subscriptions } from '../../lib/call/subscriptions.ts';
import { ensureApiToken } from '../../lib/config/api-token.ts';
import type { Config } from '../../lib/config/load.ts';
import type { Binding } from '../../lib/core/binding.ts';
import { openContact } from '../../lib/core/contact-token.ts';
import { sealPurr } from '../../lib/core/purr.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { NodeBus } from '../../lib/ports/node-bus.ts';
import { TokenMover } from '../../lib/tokens/owners.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { TokenUsers } from '../../lib/register/token-users.ts';
import { startRefreshPushes } from '../../lib/refresh/refresh-pushes.ts';
import { AwakeFlows } from '../../lib/wake/awake-flows.ts';
import { LatePhones } from '../../lib/wake/late-phones.ts';
import { Mailbox, type MailboxDeps } from '../../lib/wake/mailbox.ts';
import { isWorthTrying } from '../../lib/wake/reach.ts';
import { startAdmin } from '../../lib/adapters/http/admin.ts';
import { followEngine } from '../../lib/adapters/prometheus/follow-engine.ts';
import { statusRoutes } from './api.ts';
import { openBehalf, servesAccount } from './behalf.ts';
import { startCensus } from './census.ts';
import { openCertificates } from './certificates.ts';
import { openDomains } from './domains.ts';
import { Farewell } from './farewell.ts';
import { countStoreErrors } from './count-store-errors.ts';
import { openMedia } from './media.ts';
import { nonceLifeMs } from './middleware/authenticate.ts';
import { requestCounter } from './middleware/count.ts';
import { UsedNonces } from './middleware/used-nonces.ts';
import { holdWithin } from './push-rules.ts';
import { openRuleBook } from './rule-book.ts';
import { openTokens } from './tokens.ts';
import { joinNodes, type Nodes, remoteControl } from './nodes.ts';
import { frameLimits, openEngine } from './open-engine.ts';
import { hearNews, watchPauses } from './pause-watch.ts';
import { pushRoutes } from './push-api.ts';
import { pushOverClear, warnOfClear } from './push-over-clear.ts';
import { openPushServices } from './push-services.ts';
import { timingWakes } from './push-wakes.ts';
import { watchPushes } from './push-watch.ts';
import { openStore } from './open-store.ts';
import { openServers } from './servers.ts';
import { listenToPushes, openSimulations } from './simulations.ts';
import { registrationsRoutes } from './registrations-api.ts';
import type { RouteDeps } from './route-deps.ts';
import { route, saidToStrangers } from './routes.ts';

export interface RunningEdge {
  /** where the engine listens, `udp/192.0.2.1:5060` */
  readonly hostports: readonly string[];
  readonly httpPort: number;
  /** resolves when the edge can no longer work */
  readonly broken: Promise<Error>;
  /** Reads what can be renewed without a restart: the certificates and the push services. Never rejects. */
  reload(): Promise<void>;
  /** No new calls; held ones are answered; calls go on for at most shutdown.call_seconds; then everything is closed. */
  stop(): Promise<void>;
}

/** `reread`: reads the config again, for what can be renewed without a restart; throws EDGE_CONFIG_INVALID. */
export async function startEdge(config: Config, reread?: () => Config): Promise<RunningEdge> {
  const log = calmLog(createLog({ level: config.log.level }), {
    sentences: saidToStrangers,
    intervalMs: 10_000,
    full: 50,
    fullOfOne: 5,
  });
  const prometheus = createPrometheus();
  const { telemetry } = prometheus;
  const closers: (() => Promise<void>)[] = [async () => log.close()];
  try {
    return await assemble(config, reread, log, prometheus, telemetry, closers);
  } catch (error) {
    for (const close of closers.reverse()) await close().catch(() => undefined);
    throw error;
  }
}

async function assemble(
  config: Config,
  reread: (() => Config) | undefined,
  log: Log,
  prometheus: ReturnType<typeof createPrometheus>,
  telemetry: Telemetry,
  closers: (() => Promise<void>)[],
): Promise<RunningEdge> {
  const opening = await openStore(config, log);
  const { store: opened, bus: news, agenda, mail, records, registrations, owners } = opening;
  const { nodes: directory, localAddress } = opening;
  const store = countStoreErrors(opened, telemetry);
  closers.push(
    () => news.close(),
    () => store.close(),
  );
  const secret = await store.shared('edge-secret', () => systemIds.hex(32));
  const keyFor = (use: string): Buffer => Buffer.from(hkdfSync('sha256', secret, '', `reveille ${use}`, 32));
  const contactKey = keyFor('contact');
  const flowKey = keyFor('flow token');
  const targetKey = keyFor('dialog target');
  const gruuKey = keyFor('gruu');
  const purrKey = keyFor('purr');
  const purrMs = config.registration.purrHours * 3_600_000;

  const pushes = await openPushServices(config.push, log, telemetry);
  const { providerOf } = pushes;
  const ears = listenToPushes(pushes.push, pushes.supports);
  const push = timingWakes({ push: ears.push, bus: news, clock: systemClock, telemetry, providerOf });
  closers.push(() => push.close());
  const watch = watchPushes(config.push, {
    ...{ services: pushes, clock: systemClock, log, telemetry, file: config.file },
    reread: reread && (() => reread().push),
  });
  closers.push(async () => watch.stop());
  if (pushes.providers.length === 0)
    log.warn(
      { reason: 'push has no apps, no webpush and no webhooks' },
      'no push credentials: sleeping phones cannot be woken',
    );

  const engine = await openEngine(config, remoteControl(config, localAddress(), systemIds.hex(32)));
  if (engine.handle !== undefined) closers.push(engine.handle.close);
  const certificates =
    engine.handle === undefined
      ? undefined
      : openCertificates(config.sip, engine.handle, systemClock.now, { log, telemetry });
  closers.push(async () => certificates?.stop());

  const calls = new Calls(
    { maxHeld: config.wake.maxHeld, maxHeldPerDevice: config.wake.maxHeldPerDevice },
    systemClock.now,
  );
  // oxlint-disable-next-line prefer-const -- read by requests that come before it is there
  let deps: RouteDeps | undefined;
  let connected = false;
  const counted = requestCounter(telemetry);
  // oxlint-disable-next-line prefer-const -- read by dialogs whose peer has moved to another node
  let nodes: Nodes | undefined;
  const common = {
    elsewhere: () => nodes,
    remembersConnections: config.engine.kind === 'drachtio',
    movesFlows: config.engine.kind === 'embedded',
    takesRoutes: config.engine.kind === 'embedded',
    clock: systemClock,
    // nobody knows what a drachtio-server does with a route for every method, and it drops such requests anyway
    ...(config.engine.kind === 'embedded' ? { methods: [...routedMethods, anyMethod] } : {}),
    ...frameLimits(config),
  };
  const srf: SrfEdge = await connectSrf({
    ...engine.control,
    ...common,
    engineId: engine.id,
    onRequest: (transaction) => {
      if (deps === undefined) void transaction.respond({ status: 503 });
      else void route(counted(transaction), deps);
    },
    onUp: () => {
      connected = true;
      telemetry.gauge('controlUp', 1);
    },
    onDown: () => {
      connected = false;
      telemetry.gauge('controlUp', 0);
      log.error({ kind: config.engine.kind }, 'connection to the SIP engine lost');
    },
    onTrouble: (what, err) => {
      if (what === 'connect-failed')
        log.warn({ kind: config.engine.kind, reason: String(err) }, 'the SIP engine cannot be reached');
      else log.error({ err }, 'a message was lost to a fault of the edge; please report it');
    },
  });
  connected = true;
  telemetry.gauge('controlUp', 1);
  closers.push(() => srf.close());

  nodes = await joinNodes({
    config,
    directory,
    id: systemIds.hex(8),
    engine: { id: engine.id, at: engine.forOthers },
    srf,
    common,
    log,
    telemetry,
  });
  closers.push(nodes.close);
  const gate = watchPauses({
    ...{ precise: () => performance.now(), isSure: nodes.isSure, log },
    settle: (paused) => Promise.all([nodes.settle(paused), paused ? hearNews(news, store) : undefined]),
  });
  closers.push(async () => gate.stop());

  const domains = await openDomains(config, srf.hostports, { log, telemetry, now: systemClock.now });
  closers.push(domains.close);
  const servers = openServers({ client: nodes.client, legs: nodes.legs, isUp: () => srf.up }, domains.pools, config);
  closers.push(async () => servers.close());
  const media = openMedia(config, servers.legs, { log, telemetry });
  closers.push(async () => media.close());
  const behalf = openBehalf(config, {
    ...{ records, registrations, secret, contactKey, log, telemetry },
    ...{
      precise: () => performance.now(),
      client: servers.client,
      clock: systemClock,
      ids: systemIds,
      domains: domains.known,
    },
  });
  closers.push(behalf.close);
  const times = {
    holdMs: holdWithin(config.wake.holdSeconds, config.wake.giveUpBeforeSeconds),
    silentMs: config.wake.silentFlowMs,
    ringMs: config.wake.ringSeconds * 1000,
    ...(config.calls.ringBudgetSeconds === 0 ? {} : { budgetMs: config.calls.ringBudgetSeconds * 1000 }),
  };
  const overClear = pushOverClear(config.registration, srf.hostports);
  const dialogs = new BridgedDialogs((user) => openContact(contactKey, user)?.aor);
  const { heartbeatSeconds } = config.calls;
  const keepsIdentities = config.calls.identityToPhones === 'strip';
  const heartbeat = heartbeatSeconds === 0 ? undefined : { clock: systemClock, everyMs: heartbeatSeconds * 1000 };
  const mailbox = openMailbox(config, { mail, store, client: servers.client, clock: systemClock, log, telemetry });
  if (mailbox !== undefined) closers.push(async () => mailbox.close());
  const bus = mailbox === undefined ? news : delivering(news, mailbox);
  const late = new LatePhones(systemClock, config.wake.maxHeld, times.holdMs + longestPushMs(config));
  closers.push(async () => late.close());
  const subscriptions = new Subscriptions(config.calls.maxSubscriptions);
  const farewell = new Farewell({
    ...{ calls, subscriptions, ...config.shutdown, others: () => (engine.handle === undefined ? 0 : directory.others) },
    guestCalls: async () => (await engine.handle?.counters())?.guestCalls ?? 0,
  });
  const { refreshPushes, refreshPushLeadSeconds, refreshPushesPerSecond } = config.registration;
  const refresh = refreshPushes ? { leadSeconds: refreshPushLeadSeconds } : undefined;
  const rules = await openRuleBook(config, log, telemetry);
  closers.push(async () => rules.close());
  const tokenKey = keyFor('push token');
  const tokens = openTokens({ store, clock: systemClock, log, telemetry }, tokenKey, rules);
  const mover = config.push.allowSharedToken ? undefined : new TokenMover({ store, owners, log, telemetry, tokenKey });
  const shared = {
    tokens,
    rules,
    dialogs,
    heartbeat,
    store,
    bus,
    log,
    telemetry,
    clock: systemClock,
    calls,
    ids: systemIds,
    mailbox,
    subscriptions,
    legs: media.legs,
    client: servers.client,
    gate,
    keys: { contactKey, targetKey },
  };
  deps = {
    classifier: {
      domains: domains.known,
      contactKey,
      flowKey,
      gruuKey,
      purrKey,
      targetKey,
      hasAccount: behalf.hasAccount,
    },
    loginOf: behalf.loginOf,
    authenticate: {
      ...{ store, secret, now: systemClock.now, hex: systemIds.hex, used: new UsedNonces(nonceLifeMs) },
      accountSecret: behalf.accountSecret,
    },
    register: {
      ...shared,
      agenda,
      mover,
      contactKey,
      flowKey,
      gruuKey,
      purr: purrMs === 0 ? undefined : (name) => sealPurr(purrKey, name, Math.floor(systemClock.now() / purrMs)),
      edgeSecret: secret,
      tokenUsers: new TokenUsers(config.registration.maxUsersPerToken),
      policy: {
        refresh,
        supports: ears.supports,
        providers: pushes.providers,
        vapid: pushes.vapid,
        unsupportedPush: config.registration.unsupportedPush,
        dialects: config.registration.pushDialects,
        minExpires: config.registration.minExpires,
        pushLeadSeconds: config.registration.refreshLeadSeconds,
        slackSeconds: 30,
        defaultExpires: config.registration.defaultExpires,
        maxExpires: config.registration.maxExpires,
        maxBindings: config.registration.maxBindings,
        pushOverClear: overClear,
        wakeLapsedMs: config.registration.wakeLapsedHours * 3_600_000,
        whenFull: config.registration.whenFull,
        pnsreg: config.registration.pnsregSeconds,
        upstreamTimeoutMs: config.registration.answerSeconds * 1000,
      },
    },
    wake: {
      ...shared,
      push,
      awake: new AwakeFlows(),
      late,
      precise: () => performance.now(),
      policy: {
        ...times,
        requestHoldMs: config.wake.requestHoldSeconds * 1000,
        udpAwakeMs: config.wake.udpFlowAwakeMs,
        pushDeadlineMs: config.push.deadlineMs,
        engineLives: nodes.engineLives,
        latePhone: config.wake.latePhone,
        callUuid: config.wake.callUuid,
        earlyRingingMs: config.calls.earlyRingingMs,
        expiresMarginMs: config.calls.expiresMarginMs,
        busy: config.calls.busy,
        decline: config.calls.decline,
        keepsIdentities,
      },
    },
    placeCall: { ...shared, times: { ...times, budgetMs: undefined }, keepsIdentities },
    standalone: { ...shared, timeoutMs: 30_000 },
    subscribe: { ...shared, timeoutMs: 30_000 },
    regEvent: { ...shared, gruuKey },
    store,
    now: systemClock.now,
    log,
    telemetry,
    draining: () => calls.closed,
    sendsPhonesAway: () => farewell.sendsPhonesAway,
    followsRedirects: config.calls.redirects === 'follow',
  };

  const ready = async (): Promise<{ readonly ok: boolean; readonly why?: string }> => {
    if (calls.closed) return { ok: false, why: 'draining: no new calls' };
    if (!connected) return { ok: false, why: 'not connected to the SIP engine' };
    await store.ping();
    const why = watch.trouble() ?? servers.missing();
    return why === undefined ? { ok: true } : { ok: false, why };
  };
  const { policy } = deps.wake;
  const isAwake = (binding: Binding): boolean =>
    isWorthTrying(binding, Number.POSITIVE_INFINITY, policy, systemClock.now());
  const several = config.store.kind === 'redis' ? records : undefined;
  const census = startCensus({ store, telemetry, isAwake, clock: systemClock, shared: several });
  closers.push(async () => census.stop());
  if (refresh !== undefined)
    closers.push(
      startRefreshPushes({
        ...shared,
        precise: () => performance.now(),
        agenda,
        push,
        policy: {
          ...refresh,
          perSecond: refreshPushesPerSecond,
          perAppPerSecond: config.push.refreshPerSecond,
          pushDeadlineMs: config.push.deadlineMs,
        },
      }),
    );
  const followed = followEngine(telemetry);
  prometheus.onScrape(async () => {
    if (engine.handle !== undefined) followed(await engine.handle.counters());
    pushes.measure();
    telemetry.gauge('otherNodes', directory.others);
    telemetry.gauge('heldInvites', calls.held);
    telemetry.gauge('oldestHeld', calls.oldestHeldSeconds);
    telemetry.gauge('calls', calls.talking);
    telemetry.gauge('subscriptions', subscriptions.size);
  });
  const simulations = openSimulations(ears, { ...shared, config, hostports: srf.hostports, ...domains });
  closers.push(simulations.close);
  const admin = await startAdmin({
    listen: config.http.listen,
    registry: prometheus,
    ready,
    api: {
      token: ensureApiToken(config)?.reveal(),
      routes: [
        ...statusRoutes({ calls, subscriptions, ready, hostports: srf.hostports }),
        ...registrationsRoutes({
          ...{ ...behalf, store, isAwake },
          now: systemClock.now,
          serves: (aor) => servesAccount(aor, domains.known),
          counted: () => census.counted,
          phones: {
            ...{ ...shared, edgeSecret: secret, supports: pushes.supports },
            maxBindings: config.registration.maxBindings,
          },
        }),
        ...simulations.routes,
        ...pushRoutes({ ...shared, watch, services: pushes, push, deadlineMs: config.push.deadlineMs }),
      ],
    },
  });
  closers.push(() => admin.close());

  if (pushes.providers.length > 0) warnOfClear(overClear, srf.hostports, log);
  log.info({ local: srf.hostports.join(' '), kind: config.engine.kind }, 'edge is up');
  return {
    hostports: srf.hostports,
    httpPort: admin.port,
    reload: async () => {
      await Promise.all([certificates?.reload(), watch.reload(), reread && behalf.reload(reread)]);
    },
    // undefined: it was closed by us
    broken: new Promise((resolve) => void engine.handle?.ended.then((error) => error !== undefined && resolve(error))),
    stop: async () => {
      log.info({ count: calls.talking, seconds: config.shutdown.callSeconds }, 'stopping: no new calls');
      await farewell.wait();
      for (const close of closers.reverse())
        await close().catch((err: unknown) => log.warn({ err }, 'not closed cleanly'));
      log.info({}, 'stopped');
    },
  };
}

/** How long a push service may keep the push of a call before it delivers it. */
function longestPushMs({ wake, push }: Config): number {
  const seconds = push.apps.map((app) =>
    app.provider === 'apns' && app.callExpiration !== 'window' ? app.callExpiration : 0,
  );
  return Math.max(wake.holdSeconds, ...seconds) * 1000;
}

function openMailbox({ messages, wake }: Config, deps: MailboxDeps): Mailbox | undefined {
  if (!messages.store) return undefined;
  return new Mailbox(deps, {
    lifetime: messages.lifetimeHours * 3600,
    mostPerAor: messages.maxPerUser,
    mostOctets: messages.maxOctets,
    answerMs: wake.requestHoldSeconds * 1000,
  });
}

/** The node that took a REGISTER has the connection to the phone, so it delivers; who waits for the phone is told first. */
function delivering(bus: NodeBus, mailbox: Mailbox): NodeBus {
  return {
    subscribe: (aor, listener) => bus.subscribe(aor, listener),
    lookAgain: () => bus.lookAgain(),
    close: () => bus.close(),
    publish: async (change) => {
      await bus.publish(change);
      if (change.is === 'refresh-accepted') void mailbox.deliver(change.aor, change.bindingId);
    },
  };
}
