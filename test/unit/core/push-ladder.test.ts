import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PushToken } from '../../../lib/core/binding.ts';
import {
  climb,
  defaultRules,
  type Ladder,
  type LadderEffect,
  type LadderEvent,
  type LadderFacts,
  type PushRules,
  type Sent,
  stepLadder,
} from '../../../lib/core/push-ladder.ts';

const token = (kind: PushToken['kind']): PushToken => ({ kind, token: `a-${kind}-token` });
const day = 86_400_000;
const now = 20_000 * day + 5000;

function facts(kinds: readonly PushToken['kind'][], rules: Partial<PushRules> = {}, more: Partial<LadderFacts> = {}) {
  return {
    pushClass: 'call',
    push: { tokens: kinds.map(token) },
    rules: { ...defaultRules('apns'), ...rules },
    now,
    ...more,
  } satisfies LadderFacts;
}

class Climber {
  ladder: Ladder;
  readonly effects: LadderEffect[] = [];

  constructor(about: LadderFacts, sent?: Sent) {
    const [ladder, effects] = climb(about, sent);
    this.ladder = ladder;
    this.effects.push(...effects);
  }

  tell(...events: readonly LadderEvent[]): this {
    for (const event of events) {
      const [ladder, effects] = stepLadder(this.ladder, event);
      this.ladder = ladder;
      this.effects.push(...effects);
    }
    return this;
  }

  get words(): readonly string[] {
    return this.effects.map((effect) => {
      if (effect.do === 'push') return `push ${effect.rung.token.kind} ${effect.rung.priority} ${effect.rung.repeat}`;
      return effect.do === 'end' ? `end ${effect.with}` : `${effect.do} ${effect.ms}`;
    });
  }
}

const accepted = { is: 'pushed', outcome: 'accepted' } as const;
const refusedToken = { is: 'pushed', outcome: 'refused-token' } as const;
const refused = { is: 'pushed', outcome: 'refused' } as const;
const repeatTimer = { is: 'repeat-timer' } as const;
const waitTimer = { is: 'wait-timer' } as const;
const stop = { is: 'stop' } as const;

describe('a climb', () => {
  it('pushes once and leaves the wait to the request', () => {
    expect(new Climber(facts(['voip', 'alert'])).tell(accepted).words).toEqual(['push voip high 0', 'end accepted']);
  });

  it('FCM: once more after 5 s when it was accepted and nobody came', () => {
    const { rules } = { rules: defaultRules('fcm') };
    const climber = new Climber(facts(['fcm'], rules)).tell(accepted, repeatTimer, accepted);
    expect(climber.words).toEqual(['push fcm high 0', 'start-repeat-timer 5000', 'push fcm high 1', 'end accepted']);
    expect(new Climber(facts(['fcm'], rules)).tell(accepted, stop, repeatTimer).words).not.toContain('push fcm high 1');
    const message = new Climber(facts(['fcm'], rules, { pushClass: 'message' })).tell(accepted, repeatTimer);
    expect(message.words).toEqual(['push fcm high 0', 'end accepted']);
  });

  it('a VoIP token that is refused: the alert token; a service that is away or throttles: nothing more', () => {
    expect(new Climber(facts(['voip', 'alert'])).tell(refusedToken, accepted).words).toEqual([
      'push voip high 0',
      'push alert high 0',
      'end accepted',
    ]);
    expect(new Climber(facts(['voip', 'alert'])).tell(refused).words).toEqual(['push voip high 0', 'end refused']);
    expect(new Climber(facts(['voip'])).tell(refusedToken).words).toEqual(['push voip high 0', 'end refused']);
    expect(new Climber(facts(['voip', 'alert'], { alertWhenRefused: false })).tell(refusedToken).words).toEqual([
      'push voip high 0',
      'end refused',
    ]);
  });

  it('a call goes by alert when the app wants it so', () => {
    expect(new Climber(facts(['voip', 'alert'], { callVia: 'alert' })).words).toEqual(['push alert high 0']);
  });

  it('out of VoIP budget: the alert token, or none, or an alarm only; a REGISTER brings it back', () => {
    const spent = (kinds: readonly PushToken['kind'][], rules: Partial<PushRules>, unansweredAt = now - 1000) =>
      new Climber(
        facts(kinds, rules, { push: { tokens: kinds.map(token), life: { voip: { unanswered: 10, unansweredAt } } } }),
      ).words[0];
    expect(spent(['voip', 'alert'], {})).toBe('push alert high 0');
    expect(spent(['voip'], {})).toBe('end refused');
    expect(spent(['voip', 'alert'], { voipSpent: 'none' })).toBe('end refused');
    expect(spent(['voip'], { voipSpent: 'alarm' })).toBe('push voip high 0');
    expect(spent(['voip'], { voipBudget: 11 })).toBe('push voip high 0');
    expect(spent(['voip'], { voipBudget: 0 })).toBe('push voip high 0');
    // a phone that was switched off for a day is found again
    expect(spent(['voip'], {}, now - 3_600_000)).toBe('push voip high 0');
    expect(spent(['voip'], { voipRetryMs: 0 }, 0)).toBe('end refused');
  });

  it('out of high-priority budget: normal priority, until seven days have passed', () => {
    const today = 20_000;
    const of = (wasted: readonly (readonly [number, number])[]) =>
      new Climber(
        facts(['fcm'], { highPriorityBudget: 5 }, { push: { tokens: [token('fcm')], life: { fcm: { wasted } } } }),
      ).words[0];
    expect(
      of([
        [today - 3, 3],
        [today, 2],
      ]),
    ).toBe('push fcm normal 0');
    expect(
      of([
        [today - 7, 3],
        [today, 2],
      ]),
    ).toBe('push fcm high 0');
  });

  it('gives a phone up when its own time is over, whatever is on its way', () => {
    expect(new Climber(facts(['webpush'], defaultRules('webpush'))).tell(accepted, waitTimer).words).toEqual([
      'push webpush high 0',
      'start-wait-timer 25000',
      'end gave-up',
    ]);
  });

  it('a phone that was lost again is pushed again only if its push was taken back', () => {
    const first = new Climber(facts(['voip'])).tell(accepted);
    expect(new Climber(facts(['voip']), first.ladder.sent).words).toEqual(['end accepted']);
    const taken = new Climber(facts(['voip'])).tell(stop);
    expect(new Climber(facts(['voip']), taken.ladder.sent).words).toEqual(['push voip high 0']);
  });

  it('a phone that came and was lost again is pushed once more, and then no more', () => {
    const first = new Climber(facts(['voip'])).tell(accepted);
    const came = facts(['voip'], {}, { cameSince: true });
    const second = new Climber(came, first.ladder.sent).tell(accepted);
    expect(second.words).toEqual(['push voip high 1', 'end accepted']);
    expect(new Climber(came, second.ladder.sent).words).toEqual(['end accepted']);
  });

  it('a phone that is not to be pushed is not', () => {
    expect(new Climber(facts(['voip'], { push: false })).words).toEqual(['end refused']);
    expect(new Climber(facts([])).words).toEqual(['end refused']);
  });
});

const anyFacts = fc.record({
  pushClass: fc.constantFrom('call', 'cancel', 'message', 'notify', 'refresh'),
  push: fc.record({
    tokens: fc
      .uniqueArray(fc.constantFrom('voip', 'alert', 'fcm', 'webpush'), { maxLength: 3 })
      .map((k) => k.map(token)),
    life: fc.record({ voip: fc.record({ unanswered: fc.nat(12), unansweredAt: fc.constantFrom(0, now) }) }),
  }),
  rules: fc.record({
    flow: fc.constant('if-idle'),
    idleMs: fc.constant(500),
    push: fc.boolean(),
    callVia: fc.constantFrom('voip', 'alert'),
    alertWhenRefused: fc.boolean(),
    repeats: fc.nat(3),
    repeatAfterMs: fc.constant(5000),
    waitMs: fc.option(fc.constant(15_000), { nil: undefined }),
    voipBudget: fc.nat(12),
    voipSpent: fc.constantFrom('alert', 'none', 'alarm'),
    voipRetryMs: fc.constantFrom(0, 3_600_000),
    highPriorityBudget: fc.nat(3),
  }),
  cameSince: fc.boolean(),
  now: fc.constant(now),
}) as fc.Arbitrary<LadderFacts>;

const anyEvent: fc.Arbitrary<LadderEvent> = fc.oneof(
  fc
    .constantFrom('accepted', 'refused-token', 'refused', 'cancelled')
    .map((outcome) => ({ is: 'pushed', outcome }) as LadderEvent),
  fc.constantFrom<LadderEvent>(repeatTimer, waitTimer, stop),
);

describe('whatever happens', () => {
  it('no VoIP push but for a call, no push beyond the rules, none after the end, and always an end', () => {
    fc.assert(
      fc.property(anyFacts, fc.array(fc.array(anyEvent, { maxLength: 12 }), { maxLength: 3 }), (about, climbs) => {
        let sent: Sent = {};
        const pushed = new Map<string, { sends: number; accepted: number }>();
        for (const events of climbs.length === 0 ? [[]] : climbs) {
          const climber = new Climber(about, sent);
          const happened: (LadderEvent | undefined)[] = [undefined, ...events, stop];
          let ends = climber.effects.filter((effect) => effect.do === 'end').length;
          let seen = 0;
          let inThisClimb = 0;
          for (const event of happened) {
            const before = climber.ladder;
            if (event !== undefined) climber.tell(event);
            const fresh = climber.effects.slice(seen);
            seen = climber.effects.length;
            if (before.at === 'over' && event !== undefined) expect(fresh).toEqual([]);
            if (event?.is === 'pushed' && event.outcome === 'accepted' && before.at === 'pushing') {
              const count = pushed.get(before.rung.token.kind);
              if (count !== undefined) count.accepted += 1;
            }
            for (const effect of fresh) {
              if (effect.do !== 'push') continue;
              const { kind } = effect.rung.token;
              if (about.pushClass !== 'call') expect(kind).not.toBe('voip');
              if (!about.rules.push) expect.fail('not to be pushed');
              if (event?.is === 'stop' || event?.is === 'wait-timer') expect.fail('a push after the end');
              const count = pushed.get(kind) ?? { sends: 0, accepted: 0 };
              count.sends += 1;
              inThisClimb += 1;
              pushed.set(kind, count);
            }
          }
          ends = climber.effects.filter((effect) => effect.do === 'end').length;
          expect(ends).toBe(1);
          expect(climber.ladder.at).toBe('over');
          // at most the first and its repeats of one kind, then the alert push with as many
          expect(inThisClimb).toBeLessThanOrEqual(2 * (1 + about.rules.repeats));
          sent = climber.ladder.sent;
        }
        const once = about.cameSince === true ? 1 : 0;
        const most = 1 + (about.pushClass === 'call' ? about.rules.repeats : 0) + once;
        for (const { accepted: taken } of pushed.values()) expect(taken).toBeLessThanOrEqual(most);
      }),
      { numRuns: 2000 },
    );
  });
});
