/**
 * Two and three whole edges on one store and on a bus whose connections go and come back, which drops, delays, doubles and reorders
 * news: a phone whose REGISTER was accepted while its call is held gets the INVITE, once. fast-check prints seed and path of a failure;
 * BUS_RUNS says how many stories are played, BUS_SEED and BUS_PATH play one again.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { settled } from '../../support/gates.ts';
import { type Circumstances, type Phone, type PhonePlan, RacingEdges } from '../../support/racing-edges.ts';
import type { LegWord } from '../../support/racing-sip.ts';

type Step =
  | {
      readonly do: 'register';
      readonly phone: number;
      readonly node: number;
      readonly moves: boolean;
      readonly leaves: boolean;
    }
  | { readonly do: 'invite'; readonly phone: number; readonly node: number }
  | { readonly do: 'cancel'; readonly nth: number }
  | { readonly do: 'leg'; readonly nth: number; readonly says: LegWord }
  | { readonly do: 'cut'; readonly node: number }
  | { readonly do: 'heal'; readonly node: number }
  | { readonly do: 'move'; readonly ms: number }
  | { readonly do: 'let'; readonly nth: readonly number[] };

const index = fc.nat(3);
const node = fc.nat(2);
const seldom = fc.integer({ min: 0, max: 9 }).map((drawn) => drawn === 9);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('register' as const),
      phone: index,
      node,
      moves: fc.boolean(),
      leaves: seldom,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('invite' as const), phone: index, node }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), nth: index }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('leg' as const),
      nth: index,
      says: fc.constantFrom<LegWord>('ring', 'answer', 'busy', 'gone', 'unreachable', 'cancelled'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), node }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('heal' as const), node }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('move' as const), ms: fc.constantFrom(0, 10, 500, 1500, 5000) }),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('let' as const),
      nth: fc.array(fc.nat(6), { minLength: 1, maxLength: 8, size: 'max' }),
    }),
  },
);

interface Story {
  readonly phones: readonly PhonePlan[];
  readonly circumstances: Circumstances;
  readonly steps: readonly Step[];
}

const story: fc.Arbitrary<Story> = fc.record({
  phones: fc.array(
    fc.record<PhonePlan>({
      user: fc.nat(1),
      mode: fc.constantFrom('M', 'R'),
      kind: fc.constantFrom<PhonePlan['kind'][]>('fcm', 'voip'),
      transport: fc.constantFrom('udp', 'tcp'),
    }),
    { minLength: 1, maxLength: 3, size: 'max' },
  ),
  circumstances: fc.record<Circumstances>({
    nodes: fc.constantFrom(2, 3),
    slow: fc.integer({ min: 0, max: 3 }).map((drawn) => drawn > 0),
    fates: fc.array(fc.constantFrom<Circumstances['fates'][number][]>('once', 'twice', 'late', 'lost'), {
      maxLength: 5,
    }),
    refreshPushes: fc.constant(false),
    mostPerPhone: fc.constant(100),
    impatient: fc.boolean(),
  }),
  steps: fc.array(step, { minLength: 8, maxLength: 45, size: 'max' }),
});

function theOne<T>(list: readonly T[], nth: number): T | undefined {
  return list[nth % Math.max(1, list.length)];
}

async function perform(one: Step, edges: RacingEdges): Promise<void> {
  switch (one.do) {
    case 'register':
      return edges.register(theOne(edges.phones, one.phone) as Phone, one.node, { ...one, pbx: 200 });
    case 'invite':
      edges.invite(theOne(edges.phones, one.phone) as Phone, one.node, undefined);
      return;
    case 'cancel': {
      const waiting = edges.calls.filter(({ invite }) => invite.finals.length === 0);
      // most callers wait
      void waiting[one.nth]?.invite.cancel();
      return;
    }
    case 'leg':
      return theOne(edges.openLegs, one.nth)?.says(one.says);
    case 'cut':
      return edges.cut(one.node);
    case 'heal':
      return edges.heal(one.node);
    case 'move':
      return edges.move(one.ms);
    case 'let':
      for (const nth of one.nth) {
        edges.gates.let(nth);
        await settled();
      }
      return;
    default:
      one satisfies never;
  }
}

interface Seen {
  calls: number;
  legs: number;
  cuts: number;
  answered: number;
  /** phones that registered at another node than the one that held their call */
  elsewhere: number;
}

/** What was done wrong in a story. */
async function play({ phones, circumstances, steps }: Story, seen: Seen): Promise<readonly string[]> {
  const edges = new RacingEdges(circumstances, phones);
  for (const [at, phone] of edges.phones.entries())
    edges.register(phone, at, { moves: false, leaves: false, pbx: 200 });
  await settled();
  await edges.move(20_000);
  if (circumstances.slow) edges.gates.close();
  for (const one of steps) {
    if (one.do === 'cut') seen.cuts++;
    await perform(one, edges);
    await settled();
    edges.judgeWakes();
    if (edges.wrong.length > 0) break;
  }
  await edges.end();
  seen.calls += edges.calls.length;
  for (const { invite, legs, node: holder } of edges.calls) {
    seen.legs += legs.length;
    if (invite.finals[0] === 200) seen.answered++;
    const home = `engine${holder % edges.nodes.length}`;
    seen.elsewhere += legs.filter(({ leg }) => (leg.request.engine ?? home) !== home).length;
  }
  return edges.wrong;
}

describe('nodes on a bus that breaks', () => {
  const { BUS_RUNS, BUS_SEED, BUS_PATH: path } = process.env;
  const numRuns = Number(BUS_RUNS ?? 300);
  /** The suite plays the same stories each time, so that it is red for a change and not by chance; a long run draws new ones. */
  const seed = BUS_SEED === undefined ? (BUS_RUNS === undefined ? 20_261_121 : randomInt(2 ** 31)) : Number(BUS_SEED);

  it(
    'a phone that registers on any of them while its call is held gets the INVITE once, and nothing is left',
    async () => {
      if (BUS_RUNS !== undefined) process.stderr.write(`broken bus: ${numRuns} stories, BUS_SEED=${seed}\n`);
      const seen: Seen = { calls: 0, legs: 0, cuts: 0, answered: 0, elsewhere: 0 };
      await fc.assert(
        fc.asyncProperty(story, async (one) => {
          expect(await play(one, seen)).toEqual([]);
        }),
        { numRuns, seed, ...(path === undefined ? {} : { path, endOnFailure: true }) },
      );
      if (BUS_RUNS !== undefined) process.stderr.write(`${JSON.stringify(seen)}\n`);
      // stories in which nothing happens prove nothing
      if (path === undefined) for (const [what, often] of Object.entries(seen)) expect(often, what).toBeGreaterThan(0);
    },
    60_000 + numRuns * 200,
  );

  it('loses calls where nobody is told to look again after a connection was away', async () => {
    const seen: Seen = { calls: 0, legs: 0, cuts: 0, answered: 0, elsewhere: 0 };
    const wrong: string[] = [];
    const details = await fc.check(
      fc.asyncProperty(story, async (one) => {
        const deaf = { ...one, circumstances: { ...one.circumstances, deaf: true } };
        wrong.push(...(await play(deaf, seen)));
        return wrong.length === 0;
      }),
      { numRuns: 2000, seed: 20_261_121, endOnFailure: true },
    );
    expect(details.failed).toBe(true);
    expect(wrong.join()).toMatch(/has registered and does not get/);
  }, 120_000);
});
