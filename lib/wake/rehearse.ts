/**
 * Rehearses an operator's push policy against a recorded scenario, without phones, push services or clocks (docs/push-policy.md): asks the
 * policy, climbs the same ladder as the edge with time that only passes here, and tells what would have been pushed when.
 */
import {
  climb,
  defaultRules,
  type LadderEvent,
  type LadderOutcome,
  type PushRules,
  stepLadder,
} from '../core/push-ladder.ts';
import { decidedRules, type PushFacts, type PushPolicy } from '../core/push-policy.ts';

export interface Scenario {
  readonly name: string;
  /** what the policy is told; what is left out has the values of a plain call for a sleeping phone */
  readonly facts?: Partial<Omit<PushFacts, 'rules'>> & { readonly rules?: Partial<PushRules> };
  /** what the push service says to each push in turn; accepted when there are no more */
  readonly outcomes?: readonly LadderOutcome[];
  /** when the phone registers, ms after the call came; left out: never */
  readonly registersAt?: number;
  /** when the caller gives up, ms */
  readonly cancelledAt?: number;
}

export interface Rehearsed {
  /** undefined: the policy threw, or decided what cannot be, and the config would hold */
  readonly trouble: string | undefined;
  readonly rules: PushRules;
  /** `at`: ms after the call came */
  readonly pushes: readonly {
    readonly at: number;
    readonly kind: string;
    readonly priority: string;
    readonly repeat: number;
  }[];
  readonly ended: { readonly at: number; readonly with: 'accepted' | 'refused' | 'gave-up' | 'stopped' };
}

/** How long a push service takes to answer here, ms. */
const answerMs = 50;

export async function rehearse(policy: PushPolicy, scenario: Scenario): Promise<Rehearsed> {
  const facts = factsFor(scenario);
  let trouble: string | undefined;
  let decided: PushRules | undefined;
  try {
    decided = decidedRules(facts.rules, await policy(facts));
    if (decided === undefined) trouble = 'its decision is none';
  } catch (error) {
    trouble = error instanceof Error ? error.message : String(error);
  }
  const rules = decided ?? facts.rules;
  return { trouble, rules, ...play(scenario, facts, rules) };
}

function play(scenario: Scenario, facts: PushFacts, rules: PushRules): Pick<Rehearsed, 'pushes' | 'ended'> {
  const outcomes = [...(scenario.outcomes ?? [])];
  const agenda: { readonly at: number; readonly event: LadderEvent }[] = [];
  for (const at of [scenario.registersAt, scenario.cancelledAt, facts.holdMs])
    if (at !== undefined) agenda.push({ at, event: { is: 'stop' } });
  const pushes: Rehearsed['pushes'][number][] = [];
  let now = facts.phone.hasFlow && rules.flow === 'if-idle' ? rules.idleMs : 0;
  const life = {
    voip: { unanswered: facts.unansweredVoip, unansweredAt: facts.now },
    fcm: { wasted: [[Math.floor(facts.now / 86_400_000), facts.wastedHighPriority]] as const },
  };
  const tokens = facts.tokens.map((kind) => ({ kind, token: kind }));
  if (agenda.some(({ at }) => at <= now)) return { pushes, ended: { at: now, with: 'stopped' } };
  let step = climb({ pushClass: facts.class, push: { tokens, life }, rules, now: facts.now });
  for (;;) {
    const [ladder, effects] = step;
    for (const effect of effects) {
      if (effect.do === 'end') return { pushes, ended: { at: now, with: effect.with } };
      if (effect.do === 'push') {
        const { token, priority, repeat } = effect.rung;
        pushes.push({ at: now, kind: token.kind, priority, repeat });
        agenda.push({ at: now + answerMs, event: { is: 'pushed', outcome: outcomes.shift() ?? 'accepted' } });
      } else
        agenda.push({
          at: now + effect.ms,
          event: { is: effect.do === 'start-repeat-timer' ? 'repeat-timer' : 'wait-timer' },
        });
    }
    agenda.sort((a, b) => a.at - b.at);
    const next = agenda.shift();
    if (next === undefined) return { pushes, ended: { at: now, with: 'stopped' } };
    now = Math.max(now, next.at);
    step = stepLadder(ladder, next.event);
  }
}

function factsFor({ facts = {} }: Scenario): PushFacts {
  const provider = facts.provider ?? 'apns';
  const now = facts.now ?? 1_800_000_000_000;
  return deepFreeze({
    ...{ now, class: 'call', method: 'INVITE', callId: 'rehearsal', aor: 'anna@example.org', domain: 'example.org' },
    ...{ from: { uri: 'sip:bob@example.org', display: 'Bob' }, hasVideo: false, app: 'phone', provider },
    ...{ tokens: provider === 'apns' ? ['voip', 'alert'] : [provider], unansweredVoip: 0, wastedHighPriority: 0 },
    ...{ phones: 1, holdMs: 30_000 },
    ...facts,
    phone: {
      ...{ bindingId: '0123456789abcdef0123', instanceId: undefined, userAgent: undefined },
      ...{ registeredAt: now - 600_000, expiresAt: now + 3_000_000, hasFlow: false },
      ...facts.phone,
    },
    rules: { ...defaultRules(provider), ...facts.rules },
  } as PushFacts);
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
