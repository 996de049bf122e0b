/** PushService for FCM HTTP v1 (RFC 8599 11): one access token and one pool of HTTP/2 connections for each service account. */
import { Agent } from 'undici';
import { deliver, type Route } from '../../delivery/delivery.ts';
import type { Proxy } from '../../delivery/dial.ts';
import type { Field } from '../../delivery/http2/hpack.ts';
import { httpsConnector } from '../../delivery/https-connector.ts';
import { loadOf, type RenewHow, type ServiceLoad, type Watched } from '../../delivery/renewal.ts';
import { type PoolEvents, SessionPool, type SessionPoolLimits } from '../../delivery/session-pool.ts';
import { urgencies } from '../../delivery/waiting-line.ts';
import type { Clock } from '../../ports/clock.ts';
import { hasWordFor, type PayloadPolicy } from '../../payload/profile.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';
import { AccessTokenSource, type ServiceAccount } from './access-token.ts';
import { fcmMessage } from './message.ts';
import { judgeFcm } from './outcome.ts';

export interface FcmApp extends PayloadPolicy {
  readonly name: string;
  readonly account: ServiceAccount;
  /** `https://host:port`; Google's when absent */
  readonly endpoint?: string;
  /** PEM text, for stand-ins; the public CAs when absent */
  readonly ca?: string;
}

export interface FcmEvents extends PoolEvents {
  /** no access token can be had: why, without any secret */
  tokenTrouble?(app: string, reason: string): void;
  /** a branch nobody thought of; the push was answered `unreachable` */
  failure?(cause: unknown): void;
}

export const googleEndpoint = 'https://fcm.googleapis.com';

const poolTimers = { connectMs: 3000, pingMs: 20_000, pingAckMs: 5000 };
/** ms: one attempt for a call, and for anything else */
const callAttemptMs = 4000;
const attemptMs = 10_000;
const probeMs = 500;
const hedgeMs = 1000;
const closeMs = 2000;
/** What a registration token is made of; it becomes JSON only, so this is about size and sense. */
const registrationToken = /^[\w:.~%+/=-]{20,4096}$/;

const defaultLimits: SessionPoolLimits = { warmSessions: 1, maxSessions: 4, busyStreams: 80, queueLimit: 5000 };

export interface FcmOptions {
  readonly proxy?: Proxy;
  readonly limits?: Partial<SessionPoolLimits>;
}

/** What a service account, an endpoint and its CA have in common. */
interface Access {
  readonly tokens: AccessTokenSource;
  readonly pool: SessionPool;
  readonly agent: Agent | undefined;
}

interface OpenApp {
  readonly app: FcmApp;
  readonly access: Access;
  readonly path: string;
}

class FcmPushService implements FcmService {
  #apps: ReadonlyMap<string, OpenApp> = new Map();
  #accesses: ReadonlyMap<string, Access> = new Map();
  readonly #retired = new Set<Access>();
  readonly #clock: Clock;
  readonly #events: FcmEvents;
  readonly #options: FcmOptions;

  constructor(apps: readonly FcmApp[], clock: Clock, events: FcmEvents, options: FcmOptions) {
    this.#clock = clock;
    this.#events = events;
    this.#options = options;
    this.#install(apps);
  }

  renew(apps: readonly FcmApp[], how: RenewHow = 'drain'): void {
    const before = this.#accesses;
    this.#install(apps);
    for (const [key, access] of before) {
      if (this.#accesses.has(key)) {
        access.pool.fuses.renewed();
        continue;
      }
      this.#retired.add(access);
      access.pool.retire(how === 'at-once');
      void access.pool.ended.then(() => {
        this.#retired.delete(access);
        return access.agent?.destroy();
      });
    }
  }

  load(): ServiceLoad {
    const tokens = [...this.#apps.values()].flatMap(({ app, access }) => {
      const { life } = access.tokens;
      return life === undefined ? [] : [{ app: app.name, ...life }];
    });
    return loadOf(
      [...this.#accesses.values()].map(({ pool }) => pool.load),
      tokens,
    );
  }

  askAgain(): void {
    for (const { pool } of this.#accesses.values()) pool.fuses.renewed();
  }

  async push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    try {
      return await this.#push(request, signal);
    } catch (cause) {
      this.#events.failure?.(cause);
      return { is: 'unreachable', reason: 'internal error' };
    }
  }

  async close(): Promise<void> {
    const all = [...this.#accesses.values(), ...this.#retired];
    await Promise.all(all.map(({ pool }) => pool.close(closeMs)));
    await Promise.all(all.flatMap(({ agent }) => (agent === undefined ? [] : agent.destroy())));
  }

  async #push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const open = this.#apps.get(request.app);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const token = request.tokens.find(({ kind }) => kind === 'fcm')?.token;
    if (token === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    if (!registrationToken.test(token)) return { is: 'token-dead', token, reason: 'not a registration token' };
    const {
      app,
      access: { tokens },
      path,
    } = open;
    if (!hasWordFor(app, request.class))
      return { is: 'not-applicable', reason: `this profile has no word for class ${request.class}` };
    const got = await this.#inTime(this.#aToken(app.name, tokens, request.deadline, signal), request.deadline, signal);
    if (got === 'cancelled') return { is: 'cancelled' };
    if (got !== true) {
      this.#events.tokenTrouble?.(app.name, tokens.trouble);
      return { is: 'unreachable', reason: got === 'late' ? 'no access token in time' : tokens.trouble };
    }
    const body = fcmMessage(request, token, app, this.#clock.now());
    return deliver(
      () => this.#route(app.name),
      this.#clock,
      {
        id: request.callId,
        token,
        body,
        smaller: () => undefined,
        urgency: urgencies[request.class],
        headers: (credential) => {
          const fields: readonly Field[] = [
            { name: ':path', value: path, as: 'indexed' },
            { name: 'authorization', value: `Bearer ${credential}`, as: 'secret' },
            json,
          ];
          return fields;
        },
      },
      {
        attemptMs: request.class === 'call' ? callAttemptMs : attemptMs,
        probeMs,
        ...(request.class === 'call' ? { hedgeMs } : {}),
        deadline: request.deadline,
      },
      signal,
      {
        judge: judgeFcm,
        accepted: (answer) => ({ id: nameOf(answer.body) }),
        clockAlarm: () => this.#events.tokenTrouble?.(app.name, tokens.trouble),
      },
    );
  }

  #install(apps: readonly FcmApp[]): void {
    const installed = new Map<string, OpenApp>();
    const accesses = new Map<string, Access>();
    for (const app of apps) {
      const key = JSON.stringify([app.account, app.endpoint, app.ca]);
      const known = accesses.get(key) ?? this.#accesses.get(key);
      const access = known ?? this.#open(app);
      accesses.set(key, access);
      const path = `/v1/projects/${encodeURIComponent(app.account.projectId)}/messages:send`;
      installed.set(app.name, { app, access, path });
    }
    this.#apps = installed;
    this.#accesses = accesses;
  }

  #open({ name, account, endpoint = googleEndpoint, ca }: FcmApp): Access {
    const { proxy, limits } = this.#options;
    const agent =
      ca === undefined && proxy === undefined ? undefined : new Agent({ connect: httpsConnector({ ca, proxy }) });
    const tokens = new AccessTokenSource(account, this.#clock, agent);
    const pool = new SessionPool(
      { endpoint, ca, proxy, timers: poolTimers, ...defaultLimits, ...limits },
      this.#clock,
      this.#events,
    );
    pool.warm();
    // the first call shall not wait for it
    void tokens.ready().then((ok) => {
      if (!ok) this.#events.tokenTrouble?.(name, tokens.trouble);
    });
    return { tokens, pool, agent };
  }

  #route(name: string): Route | undefined {
    const access = this.#apps.get(name)?.access;
    return access === undefined ? undefined : { pool: access.pool, credentials: access.tokens };
  }

  /** Asks again until there is one, as long as it may help: a call shall not be lost for an endpoint that hiccups as it comes. */
  async #aToken(name: string, tokens: AccessTokenSource, deadline: number, signal: AbortSignal): Promise<boolean> {
    for (let tries = 0; !(await tokens.ready()); tries++) {
      const again = tokens.askAgainAt;
      const now = this.#clock.now();
      if (again === undefined || again >= deadline || signal.aborted) return false;
      if (tries === 0) this.#events.tokenTrouble?.(name, tokens.trouble);
      await new Promise<void>((resolve) => void this.#clock.after(Math.max(1, again - now), resolve));
    }
    return true;
  }

  /** A token that does not come must not hold a push beyond its deadline. */
  #inTime(ready: Promise<boolean>, deadline: number, signal: AbortSignal): Promise<boolean | 'late' | 'cancelled'> {
    return new Promise((resolve) => {
      const end = (result: boolean | 'late' | 'cancelled'): void => {
        stopTimer();
        signal.removeEventListener('abort', abort);
        resolve(result);
      };
      const abort = (): void => end('cancelled');
      const stopTimer = this.#clock.after(Math.max(0, deadline - this.#clock.now()), () => end('late'));
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      void ready.then(end);
    });
  }
}

const json: Field = { name: 'content-type', value: 'application/json', as: 'indexed' };

/** The last part of `projects/.../messages/...`; empty when the answer has none. */
function nameOf(body: string): string {
  return /"name"\s*:\s*"[^"]{0,200}\/([\w:%.-]{1,128})"/.exec(body)?.[1] ?? '';
}

export interface FcmService extends PushService, Watched {
  /**
   * All apps anew, with their service accounts. What is still used stays, and its breakers let pushes try again; other connections
   * end when their streams have, or `at-once`.
   */
  renew(apps: readonly FcmApp[], how?: RenewHow): void;
}

/** Fetches the access tokens and opens the connections that calls will need. */
export function openFcm(
  apps: readonly FcmApp[],
  clock: Clock,
  events: FcmEvents = {},
  options: FcmOptions = {},
): FcmService {
  return new FcmPushService(apps, clock, events, options);
}
