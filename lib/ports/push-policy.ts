/** Where the rules for one push come from: the config, or an operator's own policy on top of it. */
import type { PushFacts } from '../core/push-policy.ts';
import type { PushRules } from '../core/push-ladder.ts';

export interface PushRuleBook {
  /** What the config says for this app. */
  configured(app: string, provider: string): PushRules;
  /** The rules for one phone and request. Never rejects, and settles within milliseconds: nobody waits for a policy that hangs. */
  decide(facts: PushFacts): PushRules | Promise<PushRules>;
}
