/** How each phone that one request is for may be pushed: as configured, or as a policy of the operator says when it is asked. */
import type { Binding } from '../core/binding.ts';
import { canPush, type PushClass } from '../core/push-class.ts';
import type { PushRules } from '../core/push-ladder.ts';
import { factsOf } from '../core/push-policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { PushRuleBook } from '../ports/push-policy.ts';
import { unquote } from '../sip/auth.ts';
import type { SipRequest } from '../sip/message.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { isWorthTrying, type ReachPolicy } from './reach.ts';

export interface PhoneRulesDeps {
  readonly rules: PushRuleBook;
  readonly clock: Clock;
  readonly policy: ReachPolicy;
}

/** The request they are asked about. */
export interface RuledRequest {
  readonly request: SipRequest;
  /** undefined: nobody is pushed for it */
  readonly pushClass: PushClass | undefined;
  /** longest wait for the phone to register, ms */
  readonly holdMs: number;
}

export class PhoneRules {
  readonly #wanted: RuledRequest;
  readonly #arrivedAt: number;
  readonly #deps: PhoneRulesDeps;
  /** by binding id */
  readonly #rules = new Map<string, PushRules>();

  /** `arrivedAt`: when the request came, ms since the epoch */
  constructor(wanted: RuledRequest, arrivedAt: number, deps: PhoneRulesDeps) {
    this.#wanted = wanted;
    this.#arrivedAt = arrivedAt;
    this.#deps = deps;
  }

  /** Once, for the phones that were found first; those that come later have what is configured. */
  async ask(found: readonly Binding[]): Promise<void> {
    const { rules, clock, policy } = this.#deps;
    const { request, pushClass, holdMs } = this.#wanted;
    if (pushClass === undefined) return;
    const from = parseNameAddr(request.headers.get('From') ?? '');
    const callId = request.headers.get('Call-ID') ?? '';
    const now = clock.now();
    const about = {
      ...{ now, class: pushClass, method: request.method, callId, phones: found.length, holdMs },
      from: { uri: from?.uri ?? '', display: from?.display === undefined ? undefined : unquote(from.display) },
      hasVideo: request.body.includes('\nm=video '),
    };
    const waiting: Promise<unknown>[] = [];
    for (const binding of found) {
      if (!canPush(binding.push, pushClass) || binding.push === undefined) continue;
      const configured = rules.configured(binding.push.app, binding.push.provider);
      const facts = factsOf(binding, about, isWorthTrying(binding, this.#arrivedAt, policy, now), configured);
      if (facts === undefined) continue;
      const decided = rules.decide(facts);
      if (decided instanceof Promise) waiting.push(decided.then((one) => void this.#rules.set(binding.id, one)));
      else this.#rules.set(binding.id, decided);
    }
    if (waiting.length > 0) await Promise.all(waiting);
  }

  of({ id, push }: Binding): PushRules {
    return this.#rules.get(id) ?? this.#deps.rules.configured(push?.app ?? '', push?.provider ?? '');
  }
}
