/** PushService for APNs (RFC 8599 10): configured apps, one pool per host and key, our own connection under apns2's notification model. */
import { createHash, randomUUID } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http2';
import { deliver } from '../../delivery/delivery.ts';
import { type PoolEvents, SessionPool } from '../../delivery/session-pool.ts';
import type { Urgency } from '../../delivery/waiting-line.ts';
import { EdgeError } from '../../errors.ts';
import type { Clock } from '../../ports/clock.ts';
import type { PushClass } from '../../core/push-class.ts';
import type { Amount } from '../../payload/caller.ts';
import { hasWordFor } from '../../payload/profile.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';
import { topicOf } from '../../sip/push-params.ts';
import { type ApnsPolicy, encodeNotification, notificationFor, planPush } from './payload.ts';
import { judge } from './outcome.ts';
import { ProviderTokenSource } from './provider-token.ts';
import { Suspects } from './suspects.ts';

export interface ApnsApp extends ApnsPolicy {
  readonly name: string;
  readonly teamId: string;
  readonly keyId: string;
  /** PEM text of the .p8 file */
  readonly privateKey: string;
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
  closeMs: 2000,
};

export const defaultLimits: ApnsLimits = { warmSessions: 1, maxSessions: 4, busyStreams: 200, queue: 5000 };

export const appleHosts = {
  production: 'https://api.push.apple.com',
  sandbox: 'https://api.sandbox.push.apple.com',
} as const;

const urgencies: Readonly<Record<PushClass, Urgency>> = { call: 0, cancel: 1, message: 1, notify: 2, refresh: 3 };
const deviceToken = /^(?:[0-9a-f]{2}){32,100}$/i;

const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};

interface OpenApp {
  readonly app: ApnsApp;
  /** where its pushes for an environment leave, and who signs for them */
  readonly wayTo: (environment: Environment) => Way;
}

type Environment = 'production' | 'sandbox';

interface Way {
  readonly pool: SessionPool;
  readonly tokens: ProviderTokenSource;
  readonly keyId: string;
}

class ApnsPushService implements PushService {
  readonly #apps = new Map<string, OpenApp>();
  readonly #pools = new Map<string, SessionPool>();
  readonly #timers: ApnsTimers;
  readonly #clock: Clock;
  readonly #events: ApnsEvents;
  readonly #suspects = new Suspects();

  constructor(config: ApnsConfig, clock: Clock, events: ApnsEvents) {
    this.#timers = { ...defaultTimers, ...config.timers };
    this.#clock = clock;
    this.#events = events;
    const limits = { ...defaultLimits, ...config.limits };
    const sources = new Map<string, ProviderTokenSource>();
    for (const app of config.apps) {
      if (this.#apps.has(app.name))
        throw new EdgeError('EDGE_CONFIG_INVALID', `APNs app ${app.name}: expected a name once, found it twice.`);
      const endpoints = { ...appleHosts, ...app.endpoint };
      for (const endpoint of Object.values(endpoints)) checkEndpoint(app.name, endpoint);
      // one signer per key, whoever uses it: APNs counts new tokens by key
      const signerOf = ({ keyId, privateKey }: { readonly keyId: string; readonly privateKey: string }) => {
        const name = createHash('sha256')
          .update(JSON.stringify([app.teamId, keyId, privateKey]))
          .digest('hex');
        const tokens = sources.get(name) ?? new ProviderTokenSource(app.teamId, keyId, privateKey);
        sources.set(name, tokens);
        return { name, tokens, keyId };
      };
      const signers = { production: signerOf(app), sandbox: signerOf(app.sandboxKey ?? app) };
      const ways = new Map<Environment, Way>();
      const wayTo = (environment: Environment): Way => {
        const known = ways.get(environment);
        if (known !== undefined) return known;
        const { name, tokens, keyId } = signers[environment];
        const way = { pool: this.#pool(name, endpoints[environment], app.ca, limits), tokens, keyId };
        ways.set(environment, way);
        return way;
      };
      this.#apps.set(app.name, { app, wayTo });
      wayTo('production').pool.warm();
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
    await Promise.all([...this.#pools.values()].map((pool) => pool.close(this.#timers.closeMs)));
  }

  /** Sums over all pools, for gauges. */
  load(): { readonly sessions: number; readonly streams: number; readonly waiting: number } {
    const sum = { sessions: 0, streams: 0, waiting: 0 };
    for (const { load } of this.#pools.values()) {
      sum.sessions += load.sessions;
      sum.streams += load.streams;
      sum.waiting += load.waiting;
    }
    return sum;
  }

  #push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> | PushOutcome {
    const open = this.#apps.get(request.app);
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
    const { app } = open;
    const { pool, tokens, keyId } = open.wayTo(request.environment ?? 'production');
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
    return deliver(
      pool,
      tokens,
      this.#clock,
      {
        id,
        token: plan.token,
        body,
        smaller,
        urgency: urgencies[request.class],
        // in one piece: this is the hot path
        headers: (providerToken) => {
          const headers: OutgoingHttpHeaders = {
            ':method': 'POST',
            ':path': path,
            authorization: `bearer ${providerToken}`,
            'apns-topic': topic,
            'apns-push-type': pushType,
            'apns-priority': priority,
            'apns-expiration': expiration,
            'apns-id': id,
          };
          if (collapseId !== undefined) headers['apns-collapse-id'] = collapseId;
          return headers;
        },
      },
      {
        attemptMs: isCall ? this.#timers.callAttemptMs : this.#timers.attemptMs,
        probeMs: this.#timers.probeMs,
        deadline: request.deadline,
      },
      signal,
      {
        clockAlarm: () => this.#events.clockAlarm?.(keyId),
        suspect: () => this.#suspects.report(plan.token, request.callId),
        judge,
        accepted: (answer) => {
          this.#suspects.clear(plan.token);
          return { id: answer.headers['apns-id'] ?? id };
        },
      },
    );
  }

  #pool(signer: string, endpoint: string, ca: string | undefined, limits: ApnsLimits): SessionPool {
    const key = JSON.stringify([endpoint, signer, ca]);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const { warmSessions, maxSessions, busyStreams, queue } = limits;
    const pool = new SessionPool(
      { endpoint, ca, timers: this.#timers, warmSessions, maxSessions, busyStreams, queueLimit: queue },
      this.#clock,
      this.#events,
    );
    this.#pools.set(key, pool);
    return pool;
  }
}

function checkEndpoint(app: string, endpoint: string): void {
  if (!URL.canParse(endpoint) || new URL(endpoint).protocol !== 'https:') {
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      `APNs app ${app}: expected an endpoint like https://host:port, found ${JSON.stringify(endpoint)}.`,
    );
  }
}

export interface ApnsService extends PushService {
  /** open connections, streams on their way, pushes that wait for a stream */
  load(): { readonly sessions: number; readonly streams: number; readonly waiting: number };
}

/** Opens the connections that calls will need. Throws EDGE_CONFIG_INVALID for an unreadable key or endpoint. */
export function openApns(config: ApnsConfig, clock: Clock = systemClock, events: ApnsEvents = {}): ApnsService {
  return new ApnsPushService(config, clock, events);
}
