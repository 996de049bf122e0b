/**
 * PushService by webhook: the request as JSON to a URL of the operator, signed, for services we do not speak. Retried within the
 * deadline with the same body and id, so that the other side can tell a repeat. The schema is docs/webhook.schema.json.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { Agent, request as send } from 'undici';
import { gateLoad, attempt, type Gate, openGate } from '../../delivery/attempts.ts';
import { loadOf, type ServiceLoad, type Watched } from '../../delivery/renewal.ts';
import type { Proxy } from '../../delivery/dial.ts';
import { httpsConnector } from '../../delivery/https-connector.ts';
import type { PoolEvents } from '../../delivery/session-pool.ts';
import { type Judged, retryAfterMs, type Verdict } from '../../delivery/verdict.ts';
import { urgencies } from '../../delivery/waiting-line.ts';
import type { Privacy } from '../../payload/caller.ts';
import { genericKeys } from '../../payload/content.ts';
import { fillTemplate, type PayloadTemplate, templateFor } from '../../payload/template.ts';
import type { Clock } from '../../ports/clock.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';

export interface WebhookApp {
  readonly name: string;
  /** the pn-provider it is for */
  readonly provider: string;
  readonly url: string;
  /** key of the signature */
  readonly secret: string;
  readonly privacy: Privacy;
  /** what is posted instead of our own keys */
  readonly template?: PayloadTemplate;
  /** PEM text; the public CAs when absent */
  readonly ca?: string;
}

/** ms */
const attemptMs = 4000;
const longestAnswer = 4096;

interface OpenApp {
  readonly app: WebhookApp;
  readonly agent: Agent;
  readonly gate: Gate;
}

export interface WebhookService extends PushService, Watched {
  /** All webhooks anew, with their addresses and secrets; their breakers let pushes try again. */
  renew(apps: readonly WebhookApp[]): void;
  /** One signed ping (docs/webhook.md), no phone in it. Settles not later than the deadline, ms since the epoch. */
  ping(app: string, deadline: number, signal: AbortSignal): Promise<PushOutcome>;
}

class Webhooks implements WebhookService {
  #apps: ReadonlyMap<string, OpenApp> = new Map();
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  readonly #proxy: Proxy | undefined;

  constructor(apps: readonly WebhookApp[], clock: Clock, events: PoolEvents, proxy: Proxy | undefined) {
    this.#clock = clock;
    this.#events = events;
    this.#proxy = proxy;
    this.#apps = this.#install(apps);
  }

  renew(apps: readonly WebhookApp[]): void {
    const before = this.#apps;
    this.#apps = this.#install(apps);
    // what is under way ends on its connections
    for (const { agent } of before.values()) void agent.close();
    for (const { gate } of this.#apps.values()) gate.fuses.renewed();
  }

  #install(apps: readonly WebhookApp[]): ReadonlyMap<string, OpenApp> {
    return new Map(
      apps.map((app) => {
        const { name, ca } = app;
        const connect = httpsConnector({ ca, proxy: this.#proxy });
        const agent = new Agent({ connect, connections: 32, headersTimeout: attemptMs, bodyTimeout: attemptMs });
        const gate =
          this.#apps.get(name)?.gate ??
          openGate(this.#clock, (kind, isOpen, reason) => this.#events.breaker?.(name, kind, isOpen, reason));
        return [name, { app, agent, gate }];
      }),
    );
  }

  load(): ServiceLoad {
    return loadOf([...this.#apps.values()].map(({ gate }) => gate).map(gateLoad));
  }

  askAgain(): void {
    for (const { fuses } of [...this.#apps.values()].map(({ gate }) => gate)) fuses.renewed();
  }

  async push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const open = this.#apps.get(request.app);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const token = request.tokens[0]?.token;
    if (token === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    const { app, gate } = open;
    if (app.template !== undefined && templateFor(app.template, request.class) === undefined)
      return { is: 'not-applicable', reason: `this profile has no word for class ${request.class}` };
    const id = randomUUID();
    const body = Buffer.from(JSON.stringify(bodyOf(request, token, id, app, this.#clock.now())));
    return attempt(
      {
        token,
        urgency: urgencies[request.class],
        attemptMs,
        deadline: request.deadline,
        send: (limit) => {
          // it may have been renewed since the first attempt
          const now = this.#apps.get(request.app);
          if (now === undefined) return Promise.resolve({ verdict: 'config', reason: 'no credentials for app' });
          return this.#send(now.app, now.agent, id, body, limit);
        },
      },
      gate,
      this.#clock,
      signal,
    );
  }

  async ping(name: string, deadline: number, signal: AbortSignal): Promise<PushOutcome> {
    const open = this.#apps.get(name);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const { app, agent } = open;
    const id = randomUUID();
    const content = {
      id,
      provider: app.provider,
      app: app.name,
      v: '1',
      type: 'ping',
      'sent-at': String(this.#clock.now()),
    };
    const body = Buffer.from(JSON.stringify(content));
    const send = (limit: AbortSignal) => this.#send(app, agent, id, body, limit);
    // a check is asked what is, whatever was found before
    const gate = openGate(this.#clock, () => undefined);
    return attempt({ token: '', urgency: 0, attemptMs, deadline, send }, gate, this.#clock, signal);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#apps.values()].map(({ agent }) => agent.destroy()));
  }

  async #send(
    app: WebhookApp,
    agent: Agent,
    id: string,
    content: Buffer,
    signal: AbortSignal,
  ): Promise<Judged & { readonly id?: string }> {
    const now = this.#clock.now();
    const timestamp = String(Math.floor(now / 1000));
    const { statusCode, headers, body } = await send(app.url, {
      dispatcher: agent,
      method: 'POST',
      signal,
      headers: {
        'content-type': 'application/json',
        'reveille-push-id': id,
        'reveille-timestamp': timestamp,
        'reveille-signature': signature(app.secret, timestamp, content),
      },
      body: content,
    });
    const said = await textOf(body);
    const raw = headers['retry-after'];
    const wait = retryAfterMs(Array.isArray(raw) ? raw[0] : raw, now);
    return {
      ...judge(statusCode, said),
      id,
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    };
  }
}

/** `v1=` and the HMAC-SHA-256, in hexadecimal, of the timestamp, a dot and the octets of the body. */
export function signature(secret: string, timestamp: string, body: Buffer): string {
  return `v1=${createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex')}`;
}

function bodyOf(request: PushRequest, token: string, id: string, app: WebhookApp, now: number): unknown {
  const own = templateFor(app.template, request.class);
  if (own !== undefined) {
    const { provider } = app;
    return fillTemplate(own, request, app.privacy, now, 'whole', { token, provider, id });
  }
  return {
    id,
    provider: app.provider,
    app: app.name,
    param: request.param,
    token,
    'instance-id': request.instanceId,
    'wake-until': request.wakeUntil,
    ...genericKeys(request, app.privacy, now),
  };
}

/** The first octets of an answer; one without end is cut off. */
async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += chunk.toString();
    if (text.length > longestAnswer) break;
  }
  return text.slice(0, longestAnswer);
}

/** What the other side may say in the `reason` of a JSON object, and what it means (docs/webhook.md). */
const reasons: Readonly<Record<string, Verdict>> = {
  'token-dead': 'dead',
  throttled: 'throttled',
  unavailable: 'transient',
  'config-error': 'config',
};

/**
 * A token is condemned by 410 or by name only: 404 is also what a proxy says while the other side is not there, and a wrong path must
 * not cost every phone its token.
 */
function judge(status: number, said: string): Pick<Judged, 'verdict' | 'reason'> {
  if (status >= 200 && status < 300) return { verdict: 'accepted', reason: 'accepted' };
  const word = reasonIn(said);
  const verdict = word !== undefined && Object.hasOwn(reasons, word) ? reasons[word] : undefined;
  if (verdict !== undefined && word !== undefined) return { verdict, reason: word };
  return { verdict: verdictOf(status), reason: `status ${status}` };
}

function reasonIn(text: string): string | undefined {
  try {
    const { reason } = (JSON.parse(text) ?? {}) as { readonly reason?: unknown };
    return typeof reason === 'string' ? reason : undefined;
  } catch {
    return undefined;
  }
}

function verdictOf(status: number): Verdict {
  if (status === 410) return 'dead';
  if (status === 429) return 'throttled';
  // our signature is not accepted
  if (status === 401 || status === 403) return 'credential';
  return status >= 500 || status === 408 ? 'transient' : 'config';
}

export function openWebhooks(
  apps: readonly WebhookApp[],
  clock: Clock,
  events: PoolEvents = {},
  proxy?: Proxy,
): WebhookService {
  return new Webhooks(apps, clock, events, proxy);
}
