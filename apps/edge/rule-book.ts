/** The rules for pushes: the config, and the operator's own policy on top of it where he has one. */
import type { Config } from '../../lib/config/load.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushRuleBook } from '../../lib/ports/push-policy.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { configuredRules } from './push-rules.ts';

/** Rejects with EDGE_CONFIG_INVALID when the policy file is none. */
export async function openRuleBook(
  { push, wake }: Pick<Config, 'push' | 'wake'>,
  log: Log,
  telemetry: Telemetry,
): Promise<PushRuleBook & { close(): Promise<void> }> {
  const configured = configuredRules(push, wake.silentFlowMs);
  const { policyFile: file, policyTimeoutMs: timeoutMs } = push;
  if (file === undefined) return { configured, decide: ({ rules }) => rules, close: async () => undefined };
  const { openPushPolicy } = await import('../../lib/adapters/policy/push-policy.ts');
  const policy = await openPushPolicy({
    ...{ file, timeoutMs, configured },
    decided: () => telemetry.count('policyDecisions', { outcome: 'decided' }),
    trouble: (outcome, reason) => {
      telemetry.count('policyDecisions', { outcome });
      log.warn({ outcome, reason }, 'push policy did not decide: the rules of the config hold');
    },
  });
  log.info({ path: file }, 'push policy loaded');
  return policy;
}
