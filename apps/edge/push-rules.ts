/** The rules of the config for the pushes of each app: its own ladder, else that of all, else the defaults. */
import { defaultRules, type PushRules } from '../../lib/core/push-ladder.ts';
import type { LadderConfig, PushConfig } from '../../lib/config/push-config.ts';

/** `silentFlowMs`: nobody waits longer than that for a word on a flow. */
export function configuredRules(
  config: PushConfig,
  silentFlowMs: number,
): (app: string, provider: string) => PushRules {
  const ladderOf = (name: string): LadderConfig => {
    const { for: _, ...ladder } = config.ladders.find((one) => one.for.includes(name)) ?? { for: [] };
    return given(ladder);
  };
  const names = new Set(['webpush', ...[...config.apps, ...config.webhooks].map(({ name }) => name)]);
  // CallKit apps made after its sample take a second push for a second call (push-providers 7)
  const once = new Set(
    config.apps.filter((app) => app.provider === 'apns' && app.profile === 'pjsip').map(({ name }) => name),
  );
  const known = new Map<string, PushRules>();
  return (app, provider) => {
    const found = known.get(app);
    if (found !== undefined) return found;
    const ladder = { ...given(config.ladder), ...ladderOf(provider), ...ladderOf(app) };
    const rules = Object.freeze(rulesOf(once.has(app) ? { ...ladder, repeats: 0 } : ladder, provider, silentFlowMs));
    // names of the config only, so that a store from elsewhere fills no memory
    if (names.has(app)) known.set(app, rules);
    return rules;
  };
}

function given(ladder: LadderConfig): LadderConfig {
  return Object.fromEntries(Object.entries(ladder).filter(([, value]) => value !== undefined));
}

function rulesOf(ladder: LadderConfig, provider: string, silentFlowMs: number): PushRules {
  const usual = defaultRules(provider);
  const { waitSeconds, voipRetryMinutes } = ladder;
  return {
    ...usual,
    flow: ladder.flow ?? usual.flow,
    idleMs: Math.min(ladder.idleMs ?? usual.idleMs, silentFlowMs),
    callVia: ladder.callVia ?? usual.callVia,
    alertWhenRefused: ladder.alertWhenRefused ?? usual.alertWhenRefused,
    repeats: ladder.repeats ?? usual.repeats,
    repeatAfterMs: ladder.repeatAfterMs ?? usual.repeatAfterMs,
    waitMs: waitSeconds === undefined ? usual.waitMs : waitSeconds * 1000,
    voipBudget: ladder.voipBudget ?? usual.voipBudget,
    voipSpent: ladder.voipSpent ?? usual.voipSpent,
    voipRetryMs: voipRetryMinutes === undefined ? usual.voipRetryMs : voipRetryMinutes * 60_000,
    highPriorityBudget: ladder.highPriorityBudget ?? usual.highPriorityBudget,
  };
}

/** Room for the last answer to reach the PBX. */
const marginMs = 2000;

/** How long an INVITE is held: as long as wanted, and not so long that the PBX has given up before us. */
export function holdWithin(holdSeconds: number, giveUpBeforeSeconds: number): number {
  const wanted = holdSeconds * 1000;
  return giveUpBeforeSeconds === 0 ? wanted : Math.max(1000, Math.min(wanted, giveUpBeforeSeconds * 1000 - marginMs));
}
