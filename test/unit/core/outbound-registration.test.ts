import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Challenge } from '../../../lib/core/digest-client.ts';
import {
  newRegistration,
  type OutboundEffect,
  type OutboundEvent,
  type OutboundPolicy,
  type OutboundRegistration,
  type RegisterAnswer,
  step,
} from '../../../lib/core/outbound-registration.ts';

const policy: OutboundPolicy = {
  expires: 3600,
  refreshLeadSeconds: 300,
  refreshSpread: 0.1,
  retrySeconds: 60,
  retrySpread: 0.5,
  maxRetries: 0,
  forbiddenRetrySeconds: 0,
  fatalRetrySeconds: 0,
  authRejectionPermanent: true,
};

const mine = 'sip:v1@192.0.2.1:5060';

const aChallenge = (nonce: string, more: Partial<Challenge> = {}): Challenge => ({
  proxy: false,
  realm: 'pbx',
  nonce,
  algorithm: 'MD5',
  session: false,
  qop: 'auth',
  opaque: undefined,
  stale: false,
  ...more,
});

const anAnswer = (status: number, more: Partial<RegisterAnswer> = {}): RegisterAnswer => ({
  status,
  reason: `reason ${status}`,
  challenges: [],
  granted: undefined,
  minExpires: undefined,
  retryAfter: undefined,
  serviceRoute: [],
  path: [],
  ...more,
});

/** One registration, its clock, and what it has sent. */
class Story {
  now = 1_000_000;
  chance = 0;
  one: OutboundRegistration = newRegistration('call-1', 'tag-1', 1_000_000);
  effects: OutboundEffect[] = [];
  readonly policy: OutboundPolicy;

  constructor(changed: Partial<OutboundPolicy> = {}) {
    this.policy = { ...policy, ...changed };
  }

  tell(event: OutboundEvent): this {
    const [next, effects] = step(this.one, event, this.policy);
    this.one = next;
    this.effects.push(...effects);
    return this;
  }

  due(contact = mine): this {
    return this.tell({ is: 'due', now: this.now, contact, callId: 'call-2' });
  }

  answer(status: number, more: Partial<RegisterAnswer> = {}): this {
    const cseq = this.one.attempt?.cseq ?? -1;
    return this.tell({ is: 'answered', now: this.now, chance: this.chance, cseq, answer: anAnswer(status, more) });
  }

  silent(): this {
    return this.tell({ is: 'silent', now: this.now, chance: this.chance, cseq: this.one.attempt?.cseq ?? -1 });
  }

  get sent(): Extract<OutboundEffect, { do: 'send' }>[] {
    return this.effects.filter((effect) => effect.do === 'send');
  }

  /** seconds until the next REGISTER */
  get wait(): number | undefined {
    return this.one.nextAt === undefined ? undefined : (this.one.nextAt - this.now) / 1000;
  }
}

describe('what an answer leads to', () => {
  it('registers, and refreshes well before the end', () => {
    const story = new Story().due();
    expect(story.one.state).toBe('registering');
    story.answer(200, { granted: 600 });
    expect(story.one).toMatchObject({ state: 'registered', contact: mine, expiresAt: story.now + 600_000 });
    expect(story.wait).toBe(300);
    const early = new Story();
    early.chance = 1;
    expect(early.due().answer(200).wait).toBe(3600 - 300 - 360);
  });

  it.each([408, 480, 500, 502, 503, 504, 600, 603])(
    '%i is temporary: again after retry_interval, with a spread',
    (status) => {
      const story = new Story().due().answer(status);
      expect(story.one).toMatchObject({ state: 'rejected', failures: 1, failure: { status } });
      expect(story.wait).toBe(60);
      const spread = new Story();
      spread.chance = 1;
      expect(spread.due().answer(status).wait).toBe(90);
    },
  );

  it('no answer is temporary too, and what the PBX has stays known until it ends', () => {
    const story = new Story().due().answer(200);
    story.now += 3_000_000;
    story.due();
    expect(story.one.state).toBe('registered');
    story.silent();
    expect(story.one).toMatchObject({ state: 'rejected', contact: mine, failure: { status: 0 } });
    expect(story.wait).toBe(60);
  });

  it('gives up after max_retries, and a success in between begins the count anew', () => {
    const story = new Story({ maxRetries: 2 }).due().answer(503).due().answer(503);
    expect(story.wait).toBe(60);
    story.due().answer(200).due().answer(503).due().answer(503);
    expect(story.wait).toBe(60);
    story.due().answer(503);
    expect(story.wait).toBeUndefined();
    expect(story.one.state).toBe('rejected');
  });

  it('403 is final unless forbidden_retry_interval says otherwise', () => {
    expect(new Story().due().answer(403).wait).toBeUndefined();
    expect(new Story({ forbiddenRetrySeconds: 10 }).due().answer(403).wait).toBe(10);
  });

  it.each([400, 404, 405, 420, 501, 305])('%i is final unless fatal_retry_interval says otherwise', (status) => {
    expect(new Story().due().answer(status).wait).toBeUndefined();
    expect(new Story({ fatalRetrySeconds: 300 }).due().answer(status).wait).toBe(300);
  });

  it('Retry-After is honoured, up to an hour', () => {
    expect(new Story().due().answer(503, { retryAfter: 200 }).wait).toBe(200);
    expect(new Story().due().answer(503, { retryAfter: 5 }).wait).toBe(60);
    expect(new Story().due().answer(503, { retryAfter: 1e9 }).wait).toBe(3600);
  });

  it('423 is asked again at once with Min-Expires, once, and later ones begin with it', () => {
    const story = new Story({ expires: 60 }).due().answer(423, { minExpires: 300 });
    expect(story.sent.map(({ expires }) => expires)).toEqual([60, 300]);
    story.answer(200, { granted: 300 }).due();
    expect(story.sent.at(-1)?.expires).toBe(300);
    expect(
      new Story({ expires: 60 }).due().answer(423, { minExpires: 300 }).answer(423, { minExpires: 400 }).wait,
    ).toBe(undefined);
    expect(new Story({ expires: 60 }).due().answer(423).sent).toHaveLength(1);
  });

  it('a 2xx for no time is not registered, and is tried again', () => {
    const story = new Story().due().answer(200, { granted: 0 });
    expect(story.one).toMatchObject({ state: 'unregistered' });
    expect(story.wait).toBe(60);
  });

  it('keeps Service-Route and Path of the last 2xx', () => {
    const story = new Story().due().answer(200, { serviceRoute: ['<sip:a;lr>'], path: ['<sip:p;lr>'] });
    expect(story.one).toMatchObject({ serviceRoute: ['<sip:a;lr>'], path: ['<sip:p;lr>'] });
    expect(story.due().answer(200).one.serviceRoute).toEqual([]);
  });
});

describe('credentials', () => {
  it('answers a challenge, uses its nonce on, and takes a changed nonce for no failure', () => {
    const story = new Story().due().answer(401, { challenges: [aChallenge('n1')] });
    expect(story.sent.map(({ credentials }) => credentials.map(({ count }) => count))).toEqual([[], [1]]);
    story.answer(200).due();
    expect(story.sent.at(-1)?.credentials).toMatchObject([{ challenge: { nonce: 'n1' }, count: 2 }]);
    story.answer(401, { challenges: [aChallenge('n2')] });
    expect(story.one.failures).toBe(0);
    expect(story.sent.at(-1)?.credentials).toMatchObject([{ challenge: { nonce: 'n2' }, count: 1 }]);
    expect(story.answer(200).one.state).toBe('registered');
  });

  it('401 after credentials is a refusal for good: with the same nonce at once, with new ones after one more try', () => {
    const same = new Story()
      .due()
      .answer(401, { challenges: [aChallenge('n')] })
      .answer(401, { challenges: [aChallenge('n')] });
    expect(same.one).toMatchObject({ state: 'rejected', failure: { reason: 'the credentials were refused' } });
    expect([same.sent.length, same.wait]).toEqual([2, undefined]);
    const changing = new Story().due();
    for (const nonce of ['a', 'b', 'c', 'd']) changing.answer(401, { challenges: [aChallenge(nonce)] });
    expect([changing.sent.length, changing.one.state]).toEqual([3, 'rejected']);
  });

  it('stale=true says that the password was right: tried more often, but not for ever', () => {
    const story = new Story().due();
    for (const nonce of ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
      story.answer(401, { challenges: [aChallenge(nonce, { stale: true })] });
    expect([story.sent.length, story.one.state]).toEqual([5, 'rejected']);
  });

  it('a proxy and the registrar behind it may both ask', () => {
    const story = new Story().due().answer(407, { challenges: [aChallenge('p', { proxy: true, realm: 'edge' })] });
    story.answer(401, { challenges: [aChallenge('r')] });
    expect(story.sent.at(-1)?.credentials).toMatchObject([
      { challenge: { nonce: 'p' }, count: 2 },
      { challenge: { nonce: 'r' }, count: 1 },
    ]);
  });

  it('auth_rejection_permanent no: tried again like a temporary failure', () => {
    const story = new Story({ authRejectionPermanent: false }).due().answer(401);
    expect([story.one.state, story.wait]).toEqual(['rejected', 60]);
  });
});

describe('the end, and other nodes', () => {
  it('a stop takes the Contact back, with credentials when it is asked for them, and is final until a start', () => {
    const story = new Story().due().answer(200).tell({ is: 'stop', now: 1_000_000, deregister: true });
    expect(story.one.state).toBe('stopped');
    expect(story.sent.at(-1)).toMatchObject({ expires: 0, contacts: [{ uri: mine, expires: 0 }] });
    story.answer(401, { challenges: [aChallenge('n')] });
    expect(story.sent.at(-1)).toMatchObject({ expires: 0, credentials: [{ count: 1 }] });
    story.answer(200);
    expect(story.one).not.toHaveProperty('contact');
    expect(story.due().sent).toHaveLength(3);
    expect(story.tell({ is: 'start', now: story.now }).wait).toBe(0);
  });

  it.each([0, 408, 503, 600])('a removal that fails with %s is sent again, five times at most', (status) => {
    const story = new Story().due().answer(200).tell({ is: 'stop', now: 1_000_000, deregister: true });
    for (let sent = 2; sent <= 6; sent++) {
      expect(story.sent).toHaveLength(sent);
      expect(story.sent.at(-1)).toMatchObject({ expires: 0, contacts: [{ uri: mine, expires: 0 }] });
      if (status === 0) story.silent();
      else story.answer(status);
      expect(story.one).toMatchObject({ state: 'stopped', failures: sent - 1, failure: { status } });
      if (sent === 6) break;
      expect(story.one).toMatchObject({ contact: mine });
      expect(story.wait).toBe(60);
      story.now = story.one.nextAt ?? Number.NaN;
      story.due();
    }
    expect(story.wait).toBeUndefined();
    expect(story.one).not.toHaveProperty('contact');
  });

  it('a removal that is refused, or is due after the PBX has forgotten, is not sent again', () => {
    const stopped = () => new Story().due().answer(200, { granted: 90 });
    const refused = stopped().tell({ is: 'stop', now: 1_000_000, deregister: true }).answer(403);
    expect(refused.one).not.toHaveProperty('nextAt');
    const late = stopped();
    late.now += 60_000;
    late.tell({ is: 'stop', now: late.now, deregister: true }).silent();
    expect(late.one).not.toHaveProperty('nextAt');
    expect(late.due().sent).toHaveLength(2);
  });

  it('a removal that was on its way when its node died is sent again by the next, with every Contact there may be', () => {
    const other = 'sip:v1@192.0.2.2:5060';
    const story = new Story().due().answer(200).due(other).tell({ is: 'stop', now: 1_000_000, deregister: true });
    const both = [
      { uri: other, expires: 0 },
      { uri: mine, expires: 0 },
    ];
    expect(story.sent.at(-1)?.contacts).toEqual(both);
    expect(story.due().sent.at(-1)?.contacts).toEqual(both);
    story.silent();
    story.now = story.one.nextAt ?? Number.NaN;
    expect(story.due().sent.at(-1)?.contacts).toEqual(both);
    expect(story.answer(200).one).toMatchObject({ strays: [] });
  });

  it('a stop by policy leaves the PBX alone', () => {
    const story = new Story().due().answer(200).tell({ is: 'stop', now: 1_000_000, deregister: false });
    expect(story.sent).toHaveLength(1);
    expect(story.one).toMatchObject({ state: 'stopped', contact: mine });
  });

  it('the Contact of another node is taken back in the same REGISTER', () => {
    const story = new Story().due().answer(200).due('sip:v1@192.0.2.2:5060');
    expect(story.sent.at(-1)?.contacts).toEqual([
      { uri: 'sip:v1@192.0.2.2:5060', expires: 3600 },
      { uri: mine, expires: 0 },
    ]);
  });

  it('so is the one of a node that died before it heard its answer, until a 2xx has come', () => {
    const story = new Story().due().due('sip:v1@192.0.2.2:5060').answer(503).due('sip:v1@192.0.2.2:5060');
    expect(story.sent.slice(1).map(({ contacts }) => contacts[1])).toEqual([
      { uri: mine, expires: 0 },
      { uri: mine, expires: 0 },
    ]);
    expect(story.answer(200).due('sip:v1@192.0.2.2:5060').sent.at(-1)?.contacts).toHaveLength(1);
  });

  it('an answer to a REGISTER that somebody else has overtaken changes nothing', () => {
    const story = new Story().due();
    const overtaken = story.one.attempt?.cseq ?? 0;
    story.tell({ is: 'lost' }).due();
    const before = story.one;
    story.tell({ is: 'answered', now: story.now, chance: 0, cseq: overtaken, answer: anAnswer(200) });
    expect(story.one).toBe(before);
  });

  it('a CSeq that is used up begins a new Call-ID', () => {
    const story = new Story();
    story.one = { ...story.one, cseq: 2 ** 31 - 1 };
    expect(story.due().one).toMatchObject({ callId: 'call-2', cseq: 1 });
  });
});

const chances = fc.double({ min: 0, max: 1, noNaN: true });
const seconds = fc.integer({ min: 0, max: 100_000 });
const challenges = fc.uniqueArray(
  fc
    .record({
      nonce: fc.constantFrom('a', 'b', 'c', 'd'),
      proxy: fc.boolean(),
      realm: fc.constantFrom('x', 'y'),
      stale: fc.boolean(),
    })
    .map(({ nonce, ...more }) => aChallenge(nonce, more)),
  // as readChallenges gives them
  { maxLength: 2, selector: ({ proxy, realm }) => `${proxy} ${realm}` },
);
const answers = fc.record({
  status: fc.constantFrom(
    200,
    200,
    200,
    202,
    302,
    400,
    401,
    401,
    401,
    403,
    404,
    407,
    407,
    408,
    423,
    423,
    480,
    500,
    503,
    600,
    604,
  ),
  granted: fc.option(seconds, { nil: undefined }),
  minExpires: fc.option(seconds, { nil: undefined }),
  retryAfter: fc.option(seconds, { nil: undefined }),
  challenges,
});

type Move =
  | { readonly is: 'due' | 'start' | 'renew' | 'lost' | 'silent' | 'late' | 'unusable'; readonly other: boolean }
  | { readonly is: 'stop'; readonly deregister: boolean }
  | { readonly is: 'answer'; readonly answer: Partial<RegisterAnswer> & { readonly status: number } };

const moves = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ is: fc.constantFrom('due' as const), other: fc.boolean() }) },
      {
        weight: 1,
        arbitrary: fc.record({
          is: fc.constantFrom('start', 'renew', 'lost', 'silent', 'late', 'unusable' as const),
          other: fc.boolean(),
        }),
      },
      { weight: 1, arbitrary: fc.record({ is: fc.constant('stop' as const), deregister: fc.boolean() }) },
      { weight: 6, arbitrary: fc.record({ is: fc.constant('answer' as const), answer: answers }) },
    ),
    seconds,
    chances,
  ),
  { maxLength: 60 },
);

const policies = fc.record({
  expires: fc.integer({ min: 60, max: 86_400 }),
  refreshLeadSeconds: fc.integer({ min: 1, max: 3600 }),
  refreshSpread: fc.double({ min: 0, max: 0.3, noNaN: true }),
  retrySeconds: fc.integer({ min: 1, max: 600 }),
  retrySpread: chances,
  maxRetries: fc.integer({ min: 0, max: 4 }),
  forbiddenRetrySeconds: fc.integer({ min: 0, max: 60 }),
  fatalRetrySeconds: fc.integer({ min: 0, max: 60 }),
  authRejectionPermanent: fc.boolean(),
});

function eventOf(move: Move, story: Story): OutboundEvent {
  const { now, chance } = story;
  const cseq = story.one.attempt?.cseq ?? -1;
  switch (move.is) {
    case 'due':
      return { is: 'due', now, contact: move.other ? 'sip:v1@192.0.2.2' : mine, callId: 'call-2' };
    case 'answer':
      return { is: 'answered', now, chance, cseq, answer: anAnswer(move.answer.status, move.answer) };
    case 'late':
      return { is: 'answered', now, chance, cseq: story.one.cseq - 1, answer: anAnswer(200) };
    case 'silent':
      return { is: 'silent', now, chance, cseq };
    case 'unusable':
      return { is: 'unusable', now, cseq, reason: 'no key' };
    case 'stop':
      return { is: 'stop', now, deregister: move.deregister };
    case 'lost':
      return { is: 'lost' };
    case 'start':
    case 'renew':
      return { is: move.is, now };
    default:
      return move satisfies never;
  }
}

test('an account that is started while its removal is under way registers again, however the removal ends', () => {
  const endings: readonly Move[] = [
    ...[200, 401, 403, 503].map((status) => ({ is: 'answer' as const, answer: { status } })),
    { is: 'silent', other: false },
    { is: 'unusable', other: false },
  ];
  for (const ending of endings) {
    const story = new Story(policy);
    const due: Move = { is: 'due', other: false };
    for (const move of [
      due,
      { is: 'stop', deregister: true },
      { is: 'start', other: false },
      ending,
    ] as readonly Move[])
      story.tell(eventOf(move, story));
    expect(story.one.nextAt, JSON.stringify(ending)).toBeDefined();
    story.now = story.one.nextAt ?? 0;
    const before = story.sent.length;
    story.tell(eventOf(due, story));
    expect(story.sent.slice(before)).toMatchObject([{ expires: policy.expires }]);
  }
});

test('every order of events: one REGISTER at a time, rising CSeq, no loop, and never forgotten', () => {
  fc.assert(
    fc.property(moves, policies, (played, drawn) => {
      const story = new Story(drawn);
      let inARow = 0;
      for (const [move, pause, chance] of played) {
        story.now += pause * 1000;
        story.chance = chance;
        const before = story.one;
        const event = eventOf(move, story);
        const [one, effects] = step(before, event, drawn);
        story.one = one;
        const sent = effects.filter((effect) => effect.do === 'send');
        const planned = effects.filter((effect) => effect.do === 'plan');
        expect(effects.length).toBeLessThanOrEqual(1);
        expect(JSON.parse(JSON.stringify(one))).toEqual(one);
        expect(one.callId).toBe('call-1');
        for (const { cseq, expires, contacts, credentials } of sent) {
          expect(cseq).toBe(before.cseq + 1);
          expect(one.attempt?.cseq).toBe(cseq);
          // a stopped one only takes back
          if (one.state === 'stopped')
            expect([expires, contacts.every((each) => each.expires === 0)]).toEqual([0, true]);
          expect(credentials.every(({ count }) => count > 0)).toBe(true);
          const places = credentials.map(({ challenge }) => `${challenge.proxy} ${challenge.realm}`);
          expect(new Set(places).size).toBe(places.length);
        }
        if (sent.length === 0) expect(one.cseq).toBe(before.cseq);
        // no answer leads to REGISTERs for ever: two proxies, two registrars, and a 423
        inARow = event.is === 'answered' && sent.length > 0 ? inARow + 1 : 0;
        expect(inARow).toBeLessThanOrEqual(20);
        for (const { at } of planned) {
          expect(one.nextAt).toBe(at);
          // what is under way when somebody wants it anew may still leave
          if (event.is !== 'start') expect(one).not.toHaveProperty('attempt');
          // an answer or a silence is never followed by a REGISTER at once
          if (at !== undefined && (event.is === 'answered' || event.is === 'silent'))
            expect(at).toBeGreaterThanOrEqual(story.now + 1000);
          if (at !== undefined && one.state === 'registered' && event.is === 'answered')
            expect(at).toBeLessThanOrEqual(Math.max(one.expiresAt ?? 0, story.now + 1000));
          // nothing planned: somebody has stopped it, or it was given up, and that says why
          if (at === undefined) expect(['stopped', 'rejected', 'unregistered']).toContain(one.state);
          if (at === undefined && one.state !== 'stopped') expect(one.failure).toBeDefined();
        }
        if (one.state === 'registered') {
          expect(one.contact).toBeDefined();
          expect(one.failure).toBeUndefined();
        }
        if (effects.length === 0 && event.is !== 'lost') expect(one).toBe(before);
        if (event.is === 'stop') expect(one.state).toBe('stopped');
      }
    }),
    { numRuns: 200 },
  );
});

test('nothing a PBX answers to a temporary failure keeps an account from coming back', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(0, 408, 480, 500, 502, 503, 504, 600, 606), { maxLength: 40 }),
      chances,
      (failures, chance) => {
        const story = new Story();
        story.chance = chance;
        for (const status of failures) {
          story.due();
          if (status === 0) story.silent();
          else story.answer(status);
          expect(story.wait).toBeGreaterThanOrEqual(60);
          story.now = story.one.nextAt ?? Number.NaN;
        }
        expect(story.due().answer(200).one).toMatchObject({ state: 'registered', failures: 0 });
      },
    ),
  );
});
