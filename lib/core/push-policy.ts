/**
 * What an operator's own policy is told about one phone and one request, and what it may decide (docs/push-policy.md). These types are
 * kept stable: fields are added, none is taken away or changes its meaning.
 */
import type { Binding, PushToken } from './binding.ts';
import type { PushClass } from './push-class.ts';
import type { PushRules } from './push-ladder.ts';
import { wastedWithin } from './token-life.ts';

/** Frozen, plain data. Times are ms since the epoch. No token is in it. */
export interface PushFacts {
  readonly now: number;
  /** what the push would be about */
  readonly class: PushClass;
  readonly method: string;
  readonly callId: string;
  /** `user@domain` of the phone */
  readonly aor: string;
  readonly domain: string;
  readonly from: { readonly uri: string; readonly display: string | undefined };
  readonly hasVideo: boolean;
  /** name of the configured app */
  readonly app: string;
  readonly provider: string;
  /** kinds of token the phone has */
  readonly tokens: readonly PushToken['kind'][];
  readonly phone: {
    readonly bindingId: string;
    readonly instanceId: string | undefined;
    readonly userAgent: string | undefined;
    readonly registeredAt: number;
    readonly expiresAt: number;
    /** it has a flow that may still stand */
    readonly hasFlow: boolean;
  };
  /** VoIP pushes in a row that no REGISTER followed */
  readonly unansweredVoip: number;
  /** high-priority pushes of the last seven days that no REGISTER followed */
  readonly wastedHighPriority: number;
  /** bindings of the AOR */
  readonly phones: number;
  /** longest wait for the phone, ms */
  readonly holdMs: number;
  /** what the config says; a decision changes some of it */
  readonly rules: PushRules;
}

/** What is left out is as the config says. */
export type PushDecision = Partial<PushRules>;

/** The default export of a policy file. Nothing or undefined: as the config says. */
export type PushPolicy = (facts: PushFacts) => PushDecision | undefined | Promise<PushDecision | undefined>;

export interface AboutRequest {
  readonly now: number;
  readonly class: PushClass;
  readonly method: string;
  readonly callId: string;
  readonly from: PushFacts['from'];
  readonly hasVideo: boolean;
  readonly phones: number;
  readonly holdMs: number;
}

/** undefined: this phone has nothing to push. */
export function factsOf(
  binding: Binding,
  about: AboutRequest,
  hasFlow: boolean,
  rules: PushRules,
): PushFacts | undefined {
  const { push, aor } = binding;
  if (push === undefined) return undefined;
  return {
    ...about,
    aor,
    domain: aor.slice(aor.lastIndexOf('@') + 1),
    app: push.app,
    provider: push.provider,
    tokens: push.tokens.map(({ kind }) => kind),
    phone: {
      bindingId: binding.id,
      instanceId: binding.instanceId,
      userAgent: binding.userAgent,
      registeredAt: binding.registeredAt,
      expiresAt: binding.expiresAt,
      hasFlow,
    },
    unansweredVoip: push.life?.voip?.unanswered ?? 0,
    wastedHighPriority: wastedWithin(push.life?.fcm, about.now),
    rules,
  };
}

type Check = (value: unknown) => boolean;
const word =
  (...words: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && words.includes(value);
const whole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const yesOrNo: Check = (value) => typeof value === 'boolean';

/** What each field of a decision may be; as wide as the config. */
const checks: Readonly<Record<keyof PushRules, Check>> = {
  flow: word('if-idle', 'parallel', 'always'),
  idleMs: whole(50, 10_000),
  push: yesOrNo,
  callVia: word('voip', 'alert'),
  alertWhenRefused: yesOrNo,
  repeats: whole(0, 3),
  repeatAfterMs: whole(1000, 30_000),
  waitMs: (value) => value === undefined || whole(1000, 60_000)(value),
  voipBudget: whole(0, 1000),
  voipSpent: word('alert', 'none', 'alarm'),
  voipRetryMs: whole(0, 604_800_000),
  highPriorityBudget: whole(0, 10_000),
};

/** The rules with a decision applied; undefined: the decision is none, and nothing of it counts. */
export function decidedRules(rules: PushRules, decision: unknown): PushRules | undefined {
  if (decision === undefined || decision === null) return rules;
  if (typeof decision !== 'object') return undefined;
  const decided: Record<string, unknown> = { ...rules };
  for (const [name, value] of Object.entries(decision)) {
    if (!Object.hasOwn(checks, name) || !checks[name as keyof PushRules](value)) return undefined;
    decided[name] = value;
  }
  return decided as unknown as PushRules;
}
