/**
 * PushService by webhook: the request as JSON to a URL of the operator, signed, for services we do not speak. Retried within the
 * deadline with the same body and id, so that the other side can tell a repeat. The schema is docs/webhook.schema.json.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { Agent, request as send } from 'undici';
import { attempt } from '../../delivery/attempts.ts';
import { type Judged, retryAfterMs, type Verdict } from '../../delivery/verdict.ts';
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

export interface WebhookService extends PushService {
  /** One signed ping (docs/webhook.md), no phone in it. Settles not later than the deadline, ms since the epoch. */
  ping(app: string, deadline: number, signal: AbortSignal): Promise<PushOutcome>;
}

class Webhooks implements WebhookService {
  readonly #apps = new Map<string, { readonly app: WebhookApp; readonly agent: Agent }>();
  readonly #clock: Clock;

  constructor(apps: readonly WebhookApp[], clock: Clock) {
    this.#clock = clock;
    for (const app of apps) {
      const connect = { timeout: 3000, ...(app.ca === undefined ? {} : { ca: app.ca }) };
      const agent = new Agent({ connect, connections: 32, headersTimeout: attemptMs, bodyTimeout: attemptMs });
      this.#apps.set(app.name, { app, agent });
    }
  }

  async push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const open = this.#apps.get(request.app);
    if (open === undefined) return { is: 'config-error', reason: 'no credentials for app' };
    const token = request.tokens[0]?.token;
    if (token === undefined) return { is: 'not-applicable', reason: `no token for class ${request.class}` };
    const { app, agent } = open;
    if (app.template !== undefined && templateFor(app.template, request.class) === undefined)
      return { is: 'not-applicable', reason: `this profile has no word for class ${request.class}` };
    const id = randomUUID();
    const body = Buffer.from(JSON.stringify(bodyOf(request, token, id, app, this.#clock.now())));
    return attempt(
      {
        token,
        attemptMs,
        deadline: request.deadline,
        send: (limit) => this.#send(app, agent, id, body, limit),
      },
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
    return attempt({ token: '', attemptMs, deadline, send }, this.#clock, signal);
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
    await body.dump({ limit: longestAnswer });
    const raw = headers['retry-after'];
    const wait = retryAfterMs(Array.isArray(raw) ? raw[0] : raw, now);
    return {
      verdict: verdictOf(statusCode),
      reason: `status ${statusCode}`,
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

/** 404 and 410 say that the token is gone; what else the other side means by its answer it can tell by 429 and 5xx. */
function verdictOf(status: number): Verdict {
  if (status >= 200 && status < 300) return 'accepted';
  if (status === 404 || status === 410) return 'dead';
  if (status === 429) return 'throttled';
  return status >= 500 || status === 408 ? 'transient' : 'config';
}

export function openWebhooks(apps: readonly WebhookApp[], clock: Clock): WebhookService {
  return new Webhooks(apps, clock);
}
