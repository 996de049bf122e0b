/** What the edge knows about push tokens. */
import { type KeeperDeps, TokenKeeper } from '../../lib/tokens/keeper.ts';

export function openTokens(
  deps: Pick<KeeperDeps, 'store' | 'clock' | 'log' | 'telemetry'>,
  tokenKey: Buffer,
): TokenKeeper {
  return new TokenKeeper({ ...deps, tokenKey, budgetOf: () => ({ voip: 10, highPriority: 0 }) });
}
