/** What the edge knows about push tokens. */
import type { PushRuleBook } from '../../lib/ports/push-policy.ts';
import { type KeeperDeps, TokenKeeper } from '../../lib/tokens/keeper.ts';

export function openTokens(
  deps: Pick<KeeperDeps, 'store' | 'clock' | 'log' | 'telemetry'>,
  tokenKey: Buffer,
  rules: PushRuleBook,
): TokenKeeper {
  return new TokenKeeper({
    ...deps,
    tokenKey,
    budgetOf: (app, provider) => {
      const { voipBudget, highPriorityBudget } = rules.configured(app, provider);
      return { voip: voipBudget, highPriority: highPriorityBudget };
    },
  });
}
