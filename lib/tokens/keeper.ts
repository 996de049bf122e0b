/**
 * The one place that writes down what pushes teach about tokens: an outcome of a push service, or a phone that did not come, is
 * judged by core/token-life and swapped into the stored binding. Tells the operator. Never rejects: a lost word costs one more push.
 */
import type { Binding } from '../core/binding.ts';
import { keptUntil } from '../core/binding-set.ts';
import { shortName } from '../core/short-name.ts';
import { hearOfToken, type TokenBudget, type TokenEvent, type TokenNews, tokenKey } from '../core/token-life.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { PushOutcome } from '../ports/push-service.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import { providerLabel } from '../telemetry/metrics.ts';

export interface KeeperDeps {
  readonly store: LocationStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** for the names of tokens in memory */
  readonly tokenKey: Buffer;
  /** of the app of a binding */
  readonly budgetOf: (app: string, provider: string) => TokenBudget;
}

/** One push and what came of it. */
export interface Pushed {
  readonly binding: Binding;
  /** the token that was pushed; undefined: none was */
  readonly token: string | undefined;
  /** ms since the epoch */
  readonly at: number;
  /** the call or refresh it was for; another one each time */
  readonly occasion: string;
}

const attempts = 5;
const mostDead = 10_000;

export class TokenKeeper {
  readonly #deps: KeeperDeps;
  /** by name of the token, oldest first: when it died, ms */
  readonly #dead = new Map<string, number>();

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  /** What a push service said. Resolves when it is written down. */
  async heard(pushed: Pushed, outcome: PushOutcome): Promise<void> {
    const news = newsOf(outcome, pushed.occasion);
    const token = 'token' in outcome ? outcome.token : pushed.token;
    if (news === undefined || token === undefined) return;
    // most pushes teach nothing: then nothing is read
    if (news.is === 'accepted' && news.environment === undefined && !isSuspect(pushed.binding, token)) return;
    const reason = 'reason' in outcome ? outcome.reason : undefined;
    await this.#write(pushed, token, news, reason);
  }

  /** The service took it over, and the phone did not register while the call waited. */
  async unanswered(pushed: Pushed, high: boolean): Promise<void> {
    const { binding, token } = pushed;
    if (binding.push === undefined || token === undefined) return;
    this.#deps.telemetry.count('unansweredPushes', { provider: providerLabel(binding.push.provider) });
    await this.#write(pushed, token, { is: 'unanswered', high }, undefined);
  }

  /** Died after the REGISTER that brought it: at any binding that has it, not only at the one whose push said so. */
  isKnownDead(provider: string, token: string, registeredAt: number): boolean {
    if (this.#dead.size === 0) return false;
    const diedAt = this.#dead.get(tokenKey(this.#deps.tokenKey, provider, token));
    return diedAt !== undefined && diedAt > registeredAt;
  }

  async #write(pushed: Pushed, token: string, news: TokenNews, reason: string | undefined): Promise<void> {
    const { store, log } = this.#deps;
    const { binding, at } = pushed;
    const { push } = binding;
    if (push === undefined) return;
    try {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const { version, bindings } = await store.read(binding.aor);
        const budget = this.#deps.budgetOf(push.app, push.provider);
        const change = hearOfToken(bindings, binding.id, token, news, at, budget);
        if (change.bindings === bindings) return;
        const keepUntil = keptUntil(change.bindings);
        if ((await store.swap(binding.aor, version, change.bindings, keepUntil)) === 'conflict') continue;
        if (change.events.includes('dead')) this.#remember(push.provider, token, news, at);
        this.#tell(binding, token, change.events, reason);
        return;
      }
      log.warn({ bindingId: binding.id, kind: news.is, reason: 'others changed it' }, 'word about a push token lost');
    } catch (err) {
      if (news.is === 'dead') this.#remember(push.provider, token, news, at);
      log.warn({ bindingId: binding.id, kind: news.is, err }, 'word about a push token lost');
    }
  }

  #remember(provider: string, token: string, news: TokenNews, at: number): void {
    const name = tokenKey(this.#deps.tokenKey, provider, token);
    this.#dead.delete(name);
    this.#dead.set(name, news.is === 'dead' ? (news.since ?? at) : at);
    if (this.#dead.size <= mostDead) return;
    const [oldest] = this.#dead.keys();
    if (oldest !== undefined) this.#dead.delete(oldest);
  }

  #tell({ aor, id, push }: Binding, token: string, events: readonly TokenEvent[], reason: string | undefined): void {
    const { log, telemetry } = this.#deps;
    const provider = push?.provider ?? '';
    for (const event of events) {
      telemetry.count('pushTokens', { provider: providerLabel(provider), event });
      const facts = {
        aor,
        bindingId: id,
        provider,
        app: push?.app,
        kind: event,
        pridHash: pridHash(token),
        ...(reason === undefined ? {} : { reason }),
      };
      switch (event) {
        case 'dead':
          log.warn(facts, 'push token given up: this phone cannot be woken until it registers anew');
          break;
        case 'voip-budget':
          log.error(facts, 'VoIP pushes in a row without a REGISTER: the app may lose its pushes by iOS');
          break;
        case 'high-priority-budget':
          log.error(facts, 'high-priority pushes without a REGISTER: FCM may demote the app on this phone');
          break;
        case 'suspect':
        case 'cleared':
        case 'environment':
          log.info(facts, 'push token judged anew');
          break;
        default:
          event satisfies never;
      }
    }
  }
}

function isSuspect({ push }: Binding, token: string): boolean {
  const kind = push?.tokens.find((one) => one.token === token)?.kind;
  return kind !== undefined && push?.life?.[kind]?.suspects !== undefined;
}

function newsOf(outcome: PushOutcome, occasion: string): TokenNews | undefined {
  switch (outcome.is) {
    case 'accepted':
      return { is: 'accepted', ...(outcome.environment === undefined ? {} : { environment: outcome.environment }) };
    case 'token-dead':
      return { is: 'dead', ...(outcome.since === undefined ? {} : { since: outcome.since }) };
    case 'token-suspect':
      return { is: 'suspect', occasion: shortName([occasion], 22) };
    case 'throttled':
    case 'not-applicable':
    case 'config-error':
    case 'unreachable':
    case 'cancelled':
      return undefined;
    default:
      return outcome satisfies never;
  }
}
