/**
 * PushService for Web Push (RFC 8599 12, RFC 8030, RFC 8292): a POST to the subscription the phone named, signed with our VAPID
 * key. Empty, as RFC 8599 carries no keys to encrypt a payload with; a phone that sends them beside it may get one (RFC 8291).
 */
import { createHash } from 'node:crypto';
import { Agent, request as send } from 'undici';
import { gateLoad, attempt, type Gate, openGate } from '../../delivery/attempts.ts';
import { loadOf, type ServiceLoad, type Watched } from '../../delivery/renewal.ts';
import type { Proxy } from '../../delivery/dial.ts';
import { httpsConnector } from '../../delivery/https-connector.ts';
import type { PoolEvents } from '../../delivery/session-pool.ts';
import { type Judged, retryAfterMs, type Verdict } from '../../delivery/verdict.ts';
import { urgencies as places } from '../../delivery/waiting-line.ts';
import type { Privacy } from '../../payload/caller.ts';
import { browserContent } from '../../payload/profile.ts';
import type { Clock } from '../../ports/clock.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';
import { encrypt } from './encrypt.ts';
import { guardedLookup, type GuardPolicy, refusal } from './guard.ts';
import { Vapid } from './vapid.ts';

export interface WebPushConfig extends GuardPolicy {
  /** EC P-256 private key in PEM */
  readonly privateKey: string;
  /** `mailto:` or `https:`; Apple refuses any other, and localhost */
  readonly subject: string;
  /** PEM text, for stand-ins; the public CAs when absent */
  readonly ca?: string;
  /** The proxy looks names up, so keeping pushes out of the inside by address is its work; names are checked here all the same. */
  readonly proxy?: Proxy;
  /** what a phone that sent keys is told */
  readonly payload?: 'none' | 'opaque' | 'generic';
  readonly privacy?: Privacy;
  /** false for browsers, which withdraw the subscription of who pushes without showing something */
  readonly mayBeSilent?: boolean;
}

export interface WebPushService extends PushService, Watched {
  /** what pages give to `pushManager.subscribe` as applicationServerKey, and sip.vapid says (PN-REG-11) */
  readonly publicKey: string;
  /** why a push resource is not accepted; undefined when it is (PN-SEC-10) */
  refuses(url: string): string | undefined;
  /** Another key, subject or list of hosts from now on; `publicKey` changes with the key. Throws for a key that is none. */
  renew(config: WebPushConfig): void;
  /** what push services would refuse in our signature; undefined: nothing */
  selfCheck(): string | undefined;
}

const urgencies = { call: 'high', cancel: 'high', message: 'high', notify: 'normal', refresh: 'low' } as const;
/** ms */
const attemptMs = 4000;
const longestAnswer = 2048;
/** Push services of the world that have a breaker of their own. */
const mostOrigins = 1000;
/** The most a push service keeps a push for us, seconds. */
const longestTtl = 86_400;

class WebPush implements WebPushService {
  publicKey: string;
  #config: WebPushConfig;
  #vapid: Vapid;
  #agent: Agent;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  /** by origin: one push service in trouble is no reason not to ask another */
  readonly #gates = new Map<string, Gate>();

  constructor(config: WebPushConfig, clock: Clock, events: PoolEvents) {
    this.#config = config;
    this.#clock = clock;
    this.#events = events;
    this.#vapid = new Vapid(config.privateKey, config.subject);
    this.publicKey = this.#vapid.publicKey;
    this.#agent = agentFor(config);
  }

  renew(config: WebPushConfig): void {
    this.#vapid = new Vapid(config.privateKey, config.subject);
    this.publicKey = this.#vapid.publicKey;
    this.#config = config;
    const before = this.#agent;
    this.#agent = agentFor(config);
    // what is under way ends on its connections
    void before.close();
    for (const { fuses } of this.#gates.values()) fuses.renewed();
  }

  refuses(url: string): string | undefined {
    return refusal(url, this.#config);
  }

  selfCheck(): string | undefined {
    return this.#vapid.fault(this.#clock.now());
  }

  load(): ServiceLoad {
    return loadOf([...this.#gates.values()].map(gateLoad));
  }

  askAgain(): void {
    for (const { fuses } of this.#gates.values()) fuses.renewed();
  }

  async push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    if (this.#config.mayBeSilent !== true && (request.class === 'refresh' || request.class === 'cancel'))
      return { is: 'not-applicable', reason: 'a browser must show something for each push' };
    const token = request.tokens.find(({ kind }) => kind === 'webpush')?.token;
    if (token === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    const why = this.refuses(token);
    if (why !== undefined) return { is: 'config-error', reason: why };
    // one body for all attempts: a second one encrypts nothing new
    const body = this.#bodyFor(request);
    return attempt(
      {
        token,
        urgency: places[request.class],
        attemptMs,
        deadline: request.deadline,
        send: (limit) => this.#send(new URL(token), request, body, limit),
      },
      this.#gate(new URL(token).origin),
      this.#clock,
      signal,
    );
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #gate(origin: string): Gate {
    const known = this.#gates.get(origin);
    if (known !== undefined) return known;
    const [oldest] = this.#gates.keys();
    if (oldest !== undefined && this.#gates.size >= mostOrigins) this.#gates.delete(oldest);
    const gate = openGate(this.#clock, (kind, isOpen, reason) => this.#events.breaker?.(origin, kind, isOpen, reason));
    this.#gates.set(origin, gate);
    return gate;
  }

  #bodyFor(request: PushRequest): Buffer | undefined {
    const { payload = 'none', privacy = 'full' } = this.#config;
    const keys = request.hints?.keys;
    if (payload === 'none' || keys === undefined) return undefined;
    const now = this.#clock.now();
    const seen = payload === 'opaque' ? 'none' : privacy;
    for (const amount of ['whole', 'cut'] as const) {
      const text = JSON.stringify(browserContent(request, seen, now, amount));
      const body = encrypt(Buffer.from(text), keys);
      if (body !== undefined) return body;
    }
    return undefined;
  }

  async #send(
    url: URL,
    request: PushRequest,
    content: Buffer | undefined,
    signal: AbortSignal,
  ): Promise<Judged & { readonly id?: string }> {
    const now = this.#clock.now();
    const ttl = Math.min(longestTtl, Math.max(0, Math.ceil((request.wakeUntil - now) / 1000)));
    const { statusCode, headers, body } = await send(url, {
      dispatcher: this.#agent,
      method: 'POST',
      signal,
      headers: {
        ttl: String(ttl),
        urgency: urgencies[request.class],
        // a newer push of the same topic takes the place of one that was not delivered yet (RFC 8030 5.4)
        topic: createHash('sha256').update(request.callId).digest('base64url').slice(0, 32),
        authorization: this.#vapid.authorization(url.origin, now),
        ...(content === undefined
          ? { 'content-length': '0' }
          : { 'content-type': 'application/octet-stream', 'content-encoding': 'aes128gcm' }),
      },
      ...(content === undefined ? {} : { body: content }),
    });
    await body.dump({ limit: longestAnswer });
    const wait = retryAfterMs(single(headers['retry-after']), now);
    const location = single(headers['location']);
    return {
      verdict: verdictOf(statusCode),
      reason: `status ${statusCode}`,
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
      // the last part names the message; the rest would name the phone
      ...(location === undefined ? {} : { id: location.slice(location.lastIndexOf('/') + 1).slice(0, 64) }),
    };
  }
}

function agentFor(config: WebPushConfig): Agent {
  const { ca, proxy } = config;
  return new Agent({
    connect: httpsConnector({ ca, proxy, lookup: guardedLookup(config) }),
    connections: 32,
    keepAliveTimeout: 60_000,
    headersTimeout: attemptMs,
    bodyTimeout: attemptMs,
  });
}

function verdictOf(status: number): Verdict {
  if (status >= 200 && status < 300) return 'accepted';
  if (status === 404 || status === 410) return 'dead';
  if (status === 429) return 'throttled';
  return status >= 500 || status === 408 ? 'transient' : 'config';
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

export function openWebPush(config: WebPushConfig, clock: Clock, events: PoolEvents = {}): WebPushService {
  return new WebPush(config, clock, events);
}
