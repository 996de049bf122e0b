/** PushService for APNs (RFC 8599 10): configured apps, one pool per host and key, our own connection under apns2's notification model. */
import { createHash, randomUUID } from 'node:crypto';
import type { Proxy } from '../../delivery/dial.ts';
import { deliver, type Route } from '../../delivery/delivery.ts';
import type { Field } from '../../delivery/http2/hpack.ts';
import { type PoolEvents, SessionPool } from '../../delivery/session-pool.ts';
import { loadOf, type RenewHow, type ServiceLoad, type Watched } from '../../delivery/renewal.ts';
import { urgencies } from '../../delivery/waiting-line.ts';
import { EdgeError } from '../../errors.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Amount } from '../../payload/caller.ts';
import { hasWordFor } from '../../payload/profile.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';
import { topicOf } from '../../sip/push-params.ts';
import { type ApnsPolicy, encodeNotification, notificationFor, planPush } from './payload.ts';
import { judge } from './outcome.ts';
import { ProviderTokenSource } from './provider-token.ts';
import { WrongPairs } from './wrong-pairs.ts';

export interface ApnsApp extends ApnsPolicy {
  readonly name: string;
  readonly teamId: string;
  readonly keyId: string;
  /** PEM text of the .p8 file */
  readonly privateKey: string;
  /** a token that one environment does not know is tried once in the other one */
  readonly findsEnvironment?: boolean;
  /** of the sandbox, when it is another one than in production */
  readonly sandboxKey?: { readonly keyId: string; readonly privateKey: string };
  /** Apple's hosts when absent */
  readonly endpoint?: { readonly production?: string; readonly sandbox?: string };
  /** PEM text, for stand-ins; the public CAs when absent */
  readonly ca?: string;
}

/** All in ms. */
export interface ApnsTimers {
  readonly connectMs: number;
  readonly pingMs: number;
  readonly pingAckMs: number;
  /** one attempt of a call's push */
  readonly callAttemptMs: number;
  /** one attempt of any other push */
  readonly attemptMs: number;
  /** silent for this long while a push waits, a connection has as long again to prove that it lives before pushes leave it */
  readonly probeMs: number;
  /** a call's push without a status for this long is sent on another connection too */
  readonly hedgeMs: number;
  /** how long `close` lets pushes on their way end */
  readonly closeMs: number;
}

export interface ApnsLimits {
  readonly warmSessions: number;
  readonly maxSessions: number;
  readonly busyStreams: number;
  readonly queue: number;
}

export interface ApnsConfig {
  readonly apps: readonly ApnsApp[];
  readonly timers?: Partial<ApnsTimers>;
  /** per pool */
  readonly limits?: Partial<ApnsLimits>;
  readonly proxy?: Proxy;
}

export interface ApnsEvents extends PoolEvents {
  /** APNs calls a young provider token expired: the clock of this host is wrong */
  clockAlarm?(keyId: string): void;
  /** a branch nobody thought of; the push was answered `unreachable` */
  failure?(cause: unknown): void;
}

export const defaultTimers: ApnsTimers = {
  connectMs: 3000,
  pingMs: 20_000,
  pingAckMs: 5000,
  callAttemptMs: 2000,
  attemptMs: 10_000,
  probeMs: 500,
  hedgeMs: 1000,
  closeMs: 2000,
};

export const defaultLimits: ApnsLimits = { warmSessions: 1, maxSessions: 4, busyStreams: 200, queue: 5000 };

export const appleHosts = {
  production: 'https://api.push.apple.com',
  sandbox: 'https://api.sandbox.push.apple.com',
} as const;

const deviceToken = /^(?:[0-9a-f]{2}){32,100}$/i;

const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};

const wrongTopic = 'DeviceTokenNotForTopic';

type Environment = 'production' | 'sandbox';

/** One app with what belongs to its key. */
interface OpenApp {
  readonly app: ApnsApp;
  /** who signs, and where */
  readonly ways: Readonly<Record<Environment, Signed>>;
}

interface Signed {
  /** names team and key */
  readonly signer: string;
  readonly tokens: ProviderTokenSource;
  readonly keyId: string;
  readonly endpoint: string;
}

interface Installed {
  readonly apps: ReadonlyMap<string, OpenApp>;
  /** by signer */
  readonly sources: ReadonlyMap<string, ProviderTokenSource>;
}

class ApnsPushService implements ApnsService {
  readonly #pools = new Map<string, SessionPool>();
  readonly #timers: ApnsTimers;
  readonly #limits: ApnsLimits;
  readonly #proxy: Proxy | undefined;
  readonly #clock: Clock;
  readonly #events: ApnsEvents;
  readonly #routes = new Map<string, Route>();
  readonly #wrongPairs = new WrongPairs();
  /** pools whose credentials are no longer used, until their connections have ended */
  readonly #retired = new Set<SessionPool>();
  #installed: Installed;
  #isClosed = false;

  constructor(config: ApnsConfig, clock: Clock, events: ApnsEvents) {
    this.#timers = { ...defaultTimers, ...config.timers };
    this.#limits = { ...defaultLimits, ...config.limits };
    this.#proxy = config.proxy;
    this.#clock = clock;
    this.#events = events;
    this.#installed = install(config.apps, new Map());
    this.#warm();
  }

  renew(apps: readonly ApnsApp[], how: RenewHow = 'drain'): void {
    if (this.#isClosed) return;
    // throws before anything has changed
    this.#installed = install(apps, this.#installed.sources);
    this.#routes.clear();
    this.#wrongPairs.clear();
    const before = new Map(this.#pools);
    const used = new Set<string>();
    for (const { app, ways } of this.#installed.apps.values())
      for (const way of Object.values(ways)) used.add(poolKey(way, app.ca));
    for (const [key, pool] of before) {
      if (used.has(key)) {
        pool.fuses.renewed();
        continue;
      }
      this.#pools.delete(key);
    }
    // the new connections are on their way before the old ones go
    this.#warm();
    for (const [key, pool] of before) {
      if (used.has(key)) continue;
      this.#retired.add(pool);
      pool.retire(how === 'at-once');
      void pool.ended.then(() => this.#retired.delete(pool));
    }
  }

  push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    try {
      const outcome = this.#push(request, signal);
      return outcome instanceof Promise ? outcome : Promise.resolve(outcome);
    } catch (cause) {
      this.#events.failure?.(cause);
      return Promise.resolve({ is: 'unreachable', reason: 'internal error' });
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const pools = [...this.#pools.values(), ...this.#retired];
    await Promise.all(pools.map((pool) => pool.close(this.#timers.closeMs)));
  }

  load(): ServiceLoad {
    const tokens = [...this.#installed.apps.values()].flatMap(({ app, ways }) => {
      const { madeAt } = ways.production.tokens;
      return madeAt === undefined ? [] : [{ app: app.name, madeAt }];
    });
    return loadOf(
      [...this.#pools.values()].map(({ load }) => load),
      tokens,
    );
  }

  askAgain(): void {
    for (const { fuses } of this.#pools.values()) fuses.renewed();
  }

  #push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> | PushOutcome {
    const open = this.#installed.apps.get(request.app);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const plan = planPush(request.class, request.tokens);
    if (plan === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    if (!hasWordFor(open.app, request.class))
      return { is: 'not-applicable', reason: `this profile has no word for class ${request.class}` };
    const topic = request.param === undefined ? undefined : topicOf(request.param, plan.kind);
    if (topic === undefined) return { is: 'config-error', reason: `pn-param has no topic for ${plan.kind}` };
    // before it becomes part of a path
    if (!deviceToken.test(plan.token)) return { is: 'token-dead', token: plan.token, reason: 'not a device token' };

    const now = this.#clock.now();
    if (this.#wrongPairs.has(plan.token, topic, now)) return { is: 'config-error', reason: wrongTopic };
    const { app } = open;
    const written = (amount: Amount): Buffer | undefined =>
      encodeNotification(notificationFor(request, plan, topic, app, now, amount));
    const smaller = (): Buffer | undefined => written('bare');
    const notification = notificationFor(request, plan, topic, app, now);
    const body = encodeNotification(notification) ?? written('cut') ?? smaller();
    if (body === undefined) return { is: 'config-error', reason: 'payload too large' };
    const id = randomUUID();
    const { collapseId } = notification.options;
    const { pushType } = notification;
    const path = `/3/device/${plan.token}`;
    const priority = String(notification.priority);
    const expiration = String(notification.options.expiration);
    const isCall = request.class === 'call';
    const send = (environment: Environment): Promise<PushOutcome> =>
      deliver(
        () => this.#route(app.name, environment),
        this.#clock,
        {
          id,
          token: plan.token,
          body,
          smaller,
          urgency: urgencies[request.class],
          headers: (providerToken) => {
            const fields: Field[] = [
              { name: ':path', value: path, as: 'secret' },
              // as Apple asks: neither this nor what differs with every push shall fill its table
              { name: 'authorization', value: `bearer ${providerToken}`, as: 'secret' },
              { name: 'apns-topic', value: topic, as: 'indexed' },
              { name: 'apns-push-type', value: pushType, as: 'indexed' },
              { name: 'apns-priority', value: priority, as: 'indexed' },
              { name: 'apns-expiration', value: expiration, as: 'plain' },
              { name: 'apns-id', value: id, as: 'plain' },
            ];
            if (collapseId !== undefined) fields.push({ name: 'apns-collapse-id', value: collapseId, as: 'plain' });
            return fields;
          },
        },
        {
          attemptMs: isCall ? this.#timers.callAttemptMs : this.#timers.attemptMs,
          probeMs: this.#timers.probeMs,
          ...(isCall ? { hedgeMs: this.#timers.hedgeMs } : {}),
          deadline: request.deadline,
        },
        signal,
        {
          clockAlarm: () => this.#events.clockAlarm?.(open.ways[environment].keyId),
          judge,
          accepted: (answer) => ({ id: answer.headers['apns-id'] ?? id }),
        },
      );
    const said = request.environment ?? 'production';
    return (app.findsEnvironment === true ? findEnvironment(said, send) : send(said)).then((outcome) => {
      if (outcome.is === 'config-error' && outcome.reason === wrongTopic)
        this.#wrongPairs.add(plan.token, topic, this.#clock.now());
      return outcome;
    });
  }

  #warm(): void {
    for (const { app } of this.#installed.apps.values()) this.#route(app.name, 'production')?.pool.warm();
  }

  #route(name: string, environment: Environment): Route | undefined {
    const key = `${environment} ${name}`;
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    const open = this.#installed.apps.get(name);
    if (open === undefined) return undefined;
    const way = open.ways[environment];
    const route = { pool: this.#pool(way, open.app.ca), credentials: way.tokens };
    this.#routes.set(key, route);
    return route;
  }

  #pool(way: Signed, ca: string | undefined): SessionPool {
    const key = poolKey(way, ca);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const { warmSessions, maxSessions, busyStreams, queue } = this.#limits;
    const pool = new SessionPool(
      {
        endpoint: way.endpoint,
        ca,
        proxy: this.#proxy,
        timers: this.#timers,
        warmSessions,
        maxSessions,
        busyStreams,
        queueLimit: queue,
      },
      this.#clock,
      this.#events,
    );
    this.#pools.set(key, pool);
    return pool;
  }
}

function poolKey({ signer, endpoint }: Signed, ca: string | undefined): string {
  return JSON.stringify([endpoint, signer, ca]);
}

/** `sources`: those in use, so that a reload with the same key makes no new token: APNs counts them by key, whoever uses it. */
function install(apps: readonly ApnsApp[], before: ReadonlyMap<string, ProviderTokenSource>): Installed {
  const installed = new Map<string, OpenApp>();
  const sources = new Map<string, ProviderTokenSource>();
  for (const app of apps) {
    if (installed.has(app.name))
      throw new EdgeError('EDGE_CONFIG_INVALID', `APNs app ${app.name}: expected a name once, found it twice.`);
    const endpoints = { ...appleHosts, ...app.endpoint };
    for (const endpoint of Object.values(endpoints)) checkEndpoint(app.name, endpoint);
    const signed = (key: { readonly keyId: string; readonly privateKey: string }, endpoint: string): Signed => {
      const { keyId, privateKey } = key;
      const signer = createHash('sha256')
        .update(JSON.stringify([app.teamId, keyId, privateKey]))
        .digest('hex');
      const tokens =
        sources.get(signer) ?? before.get(signer) ?? new ProviderTokenSource(app.teamId, keyId, privateKey);
      sources.set(signer, tokens);
      return { signer, tokens, keyId, endpoint };
    };
    const ways = {
      production: signed(app, endpoints.production),
      sandbox: signed(app.sandboxKey ?? app, endpoints.sandbox),
    };
    installed.set(app.name, { app, ways });
  }
  return { apps: installed, sources };
}

/** A token of the other environment is called bad: asked there once, the answer there tells (push-providers 3.7). */
async function findEnvironment(
  said: Environment,
  send: (environment: Environment) => Promise<PushOutcome>,
): Promise<PushOutcome> {
  const outcome = await send(said);
  if (outcome.is !== 'token-suspect') return outcome;
  const environment = said === 'production' ? 'sandbox' : 'production';
  const other = await send(environment);
  if (other.is === 'accepted') return { ...other, environment };
  // only what is said of the token there is news; trouble with that host says nothing about this one
  return other.is === 'token-dead' || other.is === 'throttled' || other.is === 'cancelled' ? other : outcome;
}

function checkEndpoint(app: string, endpoint: string): void {
  if (!URL.canParse(endpoint) || new URL(endpoint).protocol !== 'https:') {
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `APNs app ${app}: expected an endpoint like https://host:port, found ${JSON.stringify(endpoint)}.`,
    );
  }
}

export interface ApnsService extends PushService, Watched {
  /**
   * All apps anew, with their keys. Connections of keys that are still used stay, and their breakers let pushes try again; new keys
   * get new connections, and pushes that wait move over to them; those of other keys end when their streams have, or `at-once`. Throws EDGE_CONFIG_INVALID, and then
   * nothing has changed.
   */
  renew(apps: readonly ApnsApp[], how?: RenewHow): void;
}

/** Opens the connections that calls will need. Throws EDGE_CONFIG_INVALID for an unreadable key or endpoint. */
export function openApns(config: ApnsConfig, clock: Clock = systemClock, events: ApnsEvents = {}): ApnsService {
  return new ApnsPushService(config, clock, events);
}
