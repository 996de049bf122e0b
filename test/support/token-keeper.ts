/** The keeper of push tokens over any store, as the edge opens it. */
import type { TokenBudget } from '../../lib/core/token-life.ts';
import { defaultRules, type PushRules } from '../../lib/core/push-ladder.ts';
import type { PushRuleBook } from '../../lib/ports/push-policy.ts';
import type { KeeperDeps } from '../../lib/tokens/keeper.ts';
import { TokenKeeper } from '../../lib/tokens/keeper.ts';

export function aTokenKeeper(
  deps: Pick<KeeperDeps, 'store' | 'clock' | 'log' | 'telemetry'>,
  budget: TokenBudget = { voip: 0, highPriority: 0 },
): TokenKeeper {
  return new TokenKeeper({ ...deps, tokenKey: Buffer.alloc(32, 7), budgetOf: () => budget });
}

/** The defaults of every provider, or what is said here. */
export function aRuleBook(rules: Partial<PushRules> = {}): PushRuleBook {
  return {
    configured: (_app, provider) => ({ ...defaultRules(provider), idleMs: 1500, ...rules }),
    decide: (facts) => facts.rules,
  };
}
