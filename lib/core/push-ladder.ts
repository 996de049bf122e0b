/**
 * How one phone is pushed for one request, rung by rung: its first push, an alert push when its VoIP push is refused or out of budget,
 * once more when it was accepted and the phone does not come, and the end of the wait (push-providers 3.2, 8.1, 8.4). Pure: timers and
 * pushes are effects, their ends are events. Whether the INVITE goes to a live flow first is `PushRules.flow`, which
 * core/held-invite is told with its targets.
 */
import type { PushRecord, PushToken } from './binding.ts';
import type { PushClass } from './push-class.ts';
import { wastedWithin } from './token-life.ts';

/** What an operator, or his policy, decides for one app. */
export interface PushRules {
  /**
   * A phone with a flow that may still stand: `if-idle` sends the INVITE there and pushes when no 1xx came within `idleMs`; `parallel`
   * does both at once; `always` pushes and sends the INVITE when the phone has registered.
   */
  readonly flow: 'if-idle' | 'parallel' | 'always';
  readonly idleMs: number;
  /** false: this phone is not pushed for this request */
  readonly push: boolean;
  /** which token a call goes to where there are both */
  readonly callVia: 'voip' | 'alert';
  /** a call whose VoIP push was refused for the token goes to the alert token */
  readonly alertWhenRefused: boolean;
  /** how often the same push is sent once more when it was accepted and the phone has not come; calls only */
  readonly repeats: number;
  readonly repeatAfterMs: number;
  /** the phone is given up after so long; undefined: when the request itself is */
  readonly waitMs: number | undefined;
  /** VoIP pushes in a row without a REGISTER; from then on as `voipSpent` says. 0: no limit. */
  readonly voipBudget: number;
  /** an alert push where there is an alert token, else none; none at all; or only the alarm */
  readonly voipSpent: 'alert' | 'none' | 'alarm';
  /** out of VoIP budget one push may go out all the same when the last one is so long ago, ms; 0: never */
  readonly voipRetryMs: number;
  /** high-priority pushes of FCM in seven days without a REGISTER; from then on normal priority. 0: no limit. */
  readonly highPriorityBudget: number;
}

export interface LadderFacts {
  readonly pushClass: PushClass;
  readonly push: Pick<PushRecord, 'tokens' | 'life'>;
  readonly rules: PushRules;
  /** the phone has registered since it was pushed for this request: that push has done its work */
  readonly cameSince?: boolean;
  /** ms since the epoch */
  readonly now: number;
}

/** One push to be sent. */
export interface Rung {
  readonly token: PushToken;
  /** how often a push of this kind was accepted before */
  readonly repeat: number;
  readonly priority: 'high' | 'normal';
}

export type LadderOutcome =
  | 'accepted'
  /** nothing can be said against another token of the same phone */
  | 'refused-token'
  /** nor would another token help: the service is away, or the phone gets too many */
  | 'refused'
  | 'cancelled';

export type LadderEvent =
  | { readonly is: 'pushed'; readonly outcome: LadderOutcome }
  | { readonly is: 'repeat-timer' }
  | { readonly is: 'wait-timer' }
  /** the phone came, or nobody waits any more */
  | { readonly is: 'stop' };

export type LadderEffect =
  | { readonly do: 'push'; readonly rung: Rung }
  | { readonly do: 'start-repeat-timer'; readonly ms: number }
  | { readonly do: 'start-wait-timer'; readonly ms: number }
  /** once; all timers and the push on its way are taken back with it */
  | { readonly do: 'end'; readonly with: 'accepted' | 'refused' | 'gave-up' | 'stopped' };

interface Climbing {
  readonly at: 'pushing' | 'waiting';
  readonly facts: LadderFacts;
  readonly rung: Rung;
  readonly sent: Sent;
  readonly refused: readonly PushToken['kind'][];
}

export type Ladder = Climbing | { readonly at: 'over'; readonly sent: Sent };
/** By kind of token, kept from one climb to the next of the same request and phone: one that was taken back may have arrived. */
export type Sent = Readonly<Partial<Record<PushToken['kind'], { readonly sends: number; readonly accepted: number }>>>;
export type LadderStep = readonly [Ladder, readonly LadderEffect[]];

/** Begins to climb; `sent` of an earlier climb for the same request: a phone that was lost again is not pushed more than the rules say, and once more when it had come. */
export function climb(facts: LadderFacts, sent: Sent = {}): LadderStep {
  const token = facts.rules.push ? tokenOf(facts, []) : undefined;
  if (token === undefined) return end(sent, 'refused');
  const { waitMs } = facts.rules;
  const wait: LadderEffect[] = waitMs === undefined ? [] : [{ do: 'start-wait-timer', ms: waitMs }];
  const rung = rungOf(facts, token, sent);
  // the push of before is as good as another one, unless it was used up; a phone that is lost again and again is let go
  const repeats = facts.pushClass === 'call' ? facts.rules.repeats : 0;
  const usedUp = facts.cameSince === true && (sent[token.kind]?.sends ?? 0) <= repeats + 1;
  if (rung.repeat > 0 && !usedUp)
    return waitMs === undefined ? end(sent, 'accepted') : [{ at: 'waiting', facts, rung, sent, refused: [] }, wait];
  const [ladder, effects] = send(facts, rung, sent, []);
  return [ladder, [...effects, ...wait]];
}

export function stepLadder(ladder: Ladder, event: LadderEvent): LadderStep {
  if (ladder.at === 'over') return [ladder, []];
  switch (event.is) {
    case 'stop':
      return end(ladder.sent, 'stopped');
    case 'wait-timer':
      return end(ladder.sent, 'gave-up');
    case 'repeat-timer': {
      if (ladder.at !== 'waiting') return [ladder, []];
      const { facts, rung, sent, refused } = ladder;
      if (!mayRepeat(facts, rung, sent)) return [ladder, []];
      return send(facts, rungOf(facts, rung.token, sent), sent, refused);
    }
    case 'pushed':
      return ladder.at === 'pushing' ? pushed(ladder, event.outcome) : [ladder, []];
    default:
      return event satisfies never;
  }
}

function pushed(ladder: Climbing, outcome: LadderOutcome): LadderStep {
  const { facts, rung, sent } = ladder;
  const { rules, pushClass } = facts;
  switch (outcome) {
    case 'accepted': {
      const { kind } = rung.token;
      const counted: Sent = { ...sent, [kind]: { sends: sent[kind]?.sends ?? 1, accepted: rung.repeat + 1 } };
      if (!mayRepeat(facts, rung, counted)) return rest({ ...ladder, sent: counted });
      return [{ ...ladder, at: 'waiting', sent: counted }, [{ do: 'start-repeat-timer', ms: rules.repeatAfterMs }]];
    }
    case 'cancelled':
      return end(sent, 'stopped');
    case 'refused-token':
    case 'refused': {
      const refused = [...ladder.refused, rung.token.kind];
      // one that was accepted before may still bring the phone
      if (rung.repeat > 0) return rest({ ...ladder, refused });
      const isFallBack = pushClass === 'call' && rung.token.kind === 'voip' && rules.alertWhenRefused;
      const next = outcome === 'refused-token' && isFallBack ? tokenOf(facts, refused) : undefined;
      return next === undefined ? end(sent, 'refused') : send(facts, rungOf(facts, next, sent), sent, refused);
    }
    default:
      return outcome satisfies never;
  }
}

function mayRepeat({ pushClass, rules }: LadderFacts, { token }: Rung, sent: Sent): boolean {
  return pushClass === 'call' && (sent[token.kind]?.sends ?? 0) <= rules.repeats;
}

/** Nothing more is sent: the request itself ends the wait, unless this phone has less time. */
function rest(ladder: Climbing): LadderStep {
  return ladder.facts.rules.waitMs === undefined ? end(ladder.sent, 'accepted') : [{ ...ladder, at: 'waiting' }, []];
}

function send(facts: LadderFacts, rung: Rung, sent: Sent, refused: Climbing['refused']): LadderStep {
  const { kind } = rung.token;
  const counted = { ...sent, [kind]: { sends: (sent[kind]?.sends ?? 0) + 1, accepted: rung.repeat } };
  return [{ at: 'pushing', facts, rung, sent: counted, refused }, [{ do: 'push', rung }]];
}

function end(sent: Sent, how: Extract<LadderEffect, { do: 'end' }>['with']): LadderStep {
  return [{ at: 'over', sent }, [{ do: 'end', with: how }]];
}

function rungOf({ pushClass, push, rules, now }: LadderFacts, token: PushToken, sent: Sent): Rung {
  const high = pushClass === 'call' || pushClass === 'cancel' || pushClass === 'message';
  const spent =
    token.kind === 'fcm' &&
    rules.highPriorityBudget > 0 &&
    wastedWithin(push.life?.fcm, now) >= rules.highPriorityBudget;
  return { token, repeat: sent[token.kind]?.accepted ?? 0, priority: high && !spent ? 'high' : 'normal' };
}

/** Of several tokens one: a call to the VoIP token while that may be pushed, and nothing but a call ever (push-providers 6). */
function tokenOf(facts: LadderFacts, refused: readonly PushToken['kind'][]): PushToken | undefined {
  const { pushClass, push, rules } = facts;
  const others = push.tokens.filter(({ kind }) => kind !== 'voip' && !refused.includes(kind));
  const voip = push.tokens.find(({ kind }) => kind === 'voip');
  if (pushClass !== 'call' || voip === undefined || refused.includes('voip')) return others[0];
  if (rules.callVia === 'alert' && others[0] !== undefined) return others[0];
  if (!isVoipSpent(facts)) return voip;
  return rules.voipSpent === 'alert' ? others[0] : undefined;
}

function isVoipSpent({ push, rules, now }: LadderFacts): boolean {
  const life = push.life?.voip;
  if (rules.voipBudget === 0 || rules.voipSpent === 'alarm' || (life?.unanswered ?? 0) < rules.voipBudget) return false;
  return rules.voipRetryMs === 0 || now - (life?.unansweredAt ?? 0) < rules.voipRetryMs;
}

/** What an app gets when nobody says otherwise. */
export function defaultRules(provider: string): PushRules {
  return {
    flow: 'if-idle',
    idleMs: 500,
    push: true,
    callVia: 'voip',
    alertWhenRefused: true,
    repeats: provider === 'fcm' ? 1 : 0,
    repeatAfterMs: 5000,
    waitMs: provider === 'webpush' ? 25_000 : undefined,
    voipBudget: 10,
    voipSpent: 'alert',
    voipRetryMs: 3_600_000,
    highPriorityBudget: 0,
  };
}
