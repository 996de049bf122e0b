/** PushService for FCM HTTP v1 (RFC 8599 11): one access token and one pool of HTTP/2 connections for each service account. */
import type { OutgoingHttpHeaders } from 'node:http2';
import { Agent } from 'undici';
import { deliver } from '../../delivery/delivery.ts';
import { type PoolEvents, SessionPool } from '../../delivery/session-pool.ts';
import type { Urgency } from '../../delivery/waiting-line.ts';
import type { Clock } from '../../ports/clock.ts';
import type { PushClass } from '../../core/push-class.ts';
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
const closeMs = 2000;
const urgencies: Readonly<Record<PushClass, Urgency>> = { call: 0, cancel: 1, message: 1, notify: 2, refresh: 3 };
/** What a registration token is made of; it becomes JSON only, so this is about size and sense. */
const registrationToken = /^[\w:.~%+/=-]{20,4096}$/;

interface OpenApp {
  readonly app: FcmApp;
  readonly tokens: AccessTokenSource;
  readonly pool: SessionPool;
  readonly path: string;
}

class FcmPushService implements PushService {
  readonly #apps = new Map<string, OpenApp>();
  readonly #agents: Agent[] = [];
  readonly #clock: Clock;
  readonly #events: FcmEvents;

  constructor(apps: readonly FcmApp[], clock: Clock, events: FcmEvents) {
    this.#clock = clock;
    this.#events = events;
    for (const app of apps) {
      const agent = app.ca === undefined ? undefined : new Agent({ connect: { ca: app.ca } });
      if (agent !== undefined) this.#agents.push(agent);
      const tokens = new AccessTokenSource(app.account, clock, agent);
      const pool = new SessionPool(
        {
          endpoint: app.endpoint ?? googleEndpoint,
          ca: app.ca,
          timers: poolTimers,
          warmSessions: 1,
          maxSessions: 4,
          busyStreams: 80,
          queueLimit: 5000,
        },
        clock,
        events,
      );
      pool.warm();
      // the first call shall not wait for it
      void tokens.ready().then((ok) => {
        if (!ok) events.tokenTrouble?.(app.name, tokens.trouble);
      });
      const path = `/v1/projects/${encodeURIComponent(app.account.projectId)}/messages:send`;
      this.#apps.set(app.name, { app, tokens, pool, path });
    }
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
    await Promise.all([...this.#apps.values()].map(({ pool }) => pool.close(closeMs)));
    await Promise.all(this.#agents.map((agent) => agent.destroy()));
  }

  async #push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const open = this.#apps.get(request.app);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const token = request.tokens.find(({ kind }) => kind === 'fcm')?.token;
    if (token === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    if (!registrationToken.test(token)) return { is: 'token-dead', token, reason: 'not a registration token' };
    const { app, tokens, pool, path } = open;
    if (!hasWordFor(app, request.class))
      return { is: 'not-applicable', reason: `this profile has no word for class ${request.class}` };
    const got = await this.#inTime(tokens.ready(), request.deadline, signal);
    if (got === 'cancelled') return { is: 'cancelled' };
    if (got !== true) {
      this.#events.tokenTrouble?.(app.name, tokens.trouble);
      return { is: 'unreachable', reason: got === 'late' ? 'no access token in time' : tokens.trouble };
    }
    const body = fcmMessage(request, token, app, this.#clock.now());
    return deliver(
      pool,
      tokens,
      this.#clock,
      {
        id: request.callId,
        token,
        body,
        smaller: () => undefined,
        urgency: urgencies[request.class],
        headers: (credential) => {
          const headers: OutgoingHttpHeaders = {
            ':method': 'POST',
            ':path': path,
            authorization: `Bearer ${credential}`,
            'content-type': 'application/json',
          };
          return headers;
        },
      },
      { attemptMs: request.class === 'call' ? callAttemptMs : attemptMs, probeMs, deadline: request.deadline },
      signal,
      {
        judge: judgeFcm,
        // the name is in a body nobody waits for
        accepted: () => ({ id: '' }),
        clockAlarm: () => this.#events.tokenTrouble?.(app.name, tokens.trouble),
        suspect: () => false,
      },
    );
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

/** Fetches the access tokens and opens the connections that calls will need. */
export function openFcm(apps: readonly FcmApp[], clock: Clock, events: FcmEvents = {}): PushService {
  return new FcmPushService(apps, clock, events);
}
