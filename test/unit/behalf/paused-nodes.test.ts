/**
 * Registrations at a PBX by nodes whose clocks are wrong and which stand still between any two steps: between a claim and a read, a
 * write and its answer, an answer and a REGISTER. fast-check prints seed and path of a failure; LEASE_RUNS says how many stories.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryRecords } from '../../../lib/adapters/memory/records.ts';
import { type Account, Accounts } from '../../../lib/behalf/accounts.ts';
import { Registrations } from '../../../lib/behalf/registrations.ts';
import { sealingKey } from '../../../lib/core/sealed-secret.ts';
import type { Agenda } from '../../../lib/ports/agenda.ts';
import type { Client, ClientAnswer } from '../../../lib/ports/client.ts';
import type { Records } from '../../../lib/ports/records.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { response } from '../../../lib/sip/message.ts';
import { settled } from '../../support/gates.ts';
import { LeasedAgenda } from '../../support/leased-agenda.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { PausedNode, whilePassing } from '../../support/paused-node.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const account: Account = {
  aor: 'user@example.com',
  user: 'user',
  registrar: 'example.com',
  authUser: 'user',
  ownPhonePassword: false,
  source: 'config',
  open: () => ({ is: 'open', password: 'open sesame', phonePassword: 'open sesame' }),
};
const expires = 600;

type Word = 'yes' | 'silent' | 'busy';
type Step =
  | { readonly do: 'pause' | 'resume' | 'start' | 'register'; readonly node: number }
  | { readonly do: 'move'; readonly ms: number }
  | { readonly do: 'pbx'; readonly says: Word };

class World {
  readonly clock = new MovedClock(1_000_000_000);
  readonly records = memoryRecords();
  readonly agenda = new LeasedAgenda(() => this.clock.now());
  readonly sent: { readonly at: number; readonly callId: string; readonly cseq: number; readonly node: number }[] = [];
  readonly nodes: { readonly clock: PausedNode; readonly registrations: Registrations }[] = [];
  says: Word = 'yes';
  #serial = 0;

  constructor(skews: readonly number[], latency: number) {
    for (const skew of skews) this.#add(skew, latency);
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      this.clock.move(Math.min(500, left));
      for (let turn = 0; turn < 4; turn++) await settled();
    }
  }

  #add(skew: number, latency: number): void {
    const clock = new PausedNode(this.clock, skew, latency);
    const at = this.nodes.length;
    const { records } = this;
    const agenda = this.agenda.seenBy(() => clock.now());
    const hearing = clock.hearing;
    const ids = {
      hex: (octets: number) => (++this.#serial).toString(16).padStart(2 * octets, '0'),
      uuid: () => `uuid-${++this.#serial}`,
    };
    const own: { readonly records: Records; readonly agenda: Agenda; readonly client: Client } = {
      records: { read: hearing(records.read), swap: hearing(records.swap), scan: hearing(records.scan) },
      agenda: { put: hearing(agenda.put), claim: hearing(agenda.claim), settle: hearing(agenda.settle) },
      // what is sent is sent in the same turn as it was decided
      client: { send: ({ headers }) => clock.heard(this.#pbx(headers, at)) },
    };
    const log = new QuietLog();
    const keys = [sealingKey(Buffer.alloc(32, 1))];
    const configured = new Map([[account.aor, account]]);
    const accounts = new Accounts({ records: own.records, ids, log, configured, keys, secret: 'secret' });
    const registrations = new Registrations({
      ...{ ...own, accounts, clock, ids, log, telemetry: new TelemetryRecorder(), node: `node${at}` },
      precise: () => this.clock.now(),
      chance: () => (++this.#serial % 100) / 100,
      contactKey: Buffer.alloc(32, 7),
      wayOf: () => ({ nextHop: 'sip:192.0.2.9:5060', edgeHost: `node${at}.example.com:5060` }),
      policy: {
        ...{ expires, refreshLeadSeconds: 60, refreshSpread: 0.1, retrySeconds: 20, retrySpread: 0.5, maxRetries: 0 },
        ...{ forbiddenRetrySeconds: 0, fatalRetrySeconds: 0, authRejectionPermanent: true, perSecond: 50 },
        ...{ answerMs: 5000, renewAfterOutage: true, deregisterOnStop: false },
      },
    });
    this.nodes.push({ clock, registrations });
    registrations.start();
  }

  async #pbx(headers: Headers, node: number): Promise<ClientAnswer> {
    const cseq = Number.parseInt(headers.get('CSeq') ?? '', 10);
    this.sent.push({ at: this.clock.now(), callId: headers.get('Call-ID') ?? '', cseq, node });
    const { says } = this;
    if (says === 'silent') {
      await new Promise<void>((resolve) => this.clock.after(5000, resolve));
      return { response: response(408, 'Request Timeout', Headers.empty()), local: true };
    }
    if (says === 'busy') return { response: response(503, 'Busy', Headers.empty()), local: false };
    return { response: response(200, 'OK', Headers.of([['Expires', String(expires)]])), local: false };
  }
}

const node = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pause' as const), node }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('resume' as const), node }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('start' as const, 'register' as const), node }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('move' as const),
      ms: fc.constantFrom(500, 1000, 2500, 4000, 30_000, 60_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pbx' as const), says: fc.constantFrom<Word>('yes', 'silent', 'busy') }),
  },
);

describe('nodes with wrong clocks that stand still', () => {
  const { LEASE_RUNS, LEASE_SEED, LEASE_PATH: path } = process.env;
  const numRuns = Number(LEASE_RUNS ?? 100);
  const seed = Number(LEASE_SEED ?? 20_261_121);
  it(
    'never send a REGISTER with a lower CSeq after a higher one, and the account is registered when they run again',
    async () => {
      let others = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: -600_000, max: 600_000 }), { minLength: 2, maxLength: 3, size: 'max' }),
          fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
          fc.constantFrom(0, 600, 1500),
          async (skews, steps, latency) => {
            const world = new World(skews, latency);
            await world.pass(3000);
            const wishes: Promise<unknown>[] = [];
            for (const one of steps) {
              const at = world.nodes[('node' in one ? one.node : 0) % world.nodes.length];
              if (one.do === 'pause') at?.clock.pause();
              else if (one.do === 'resume') at?.clock.resume();
              else if (one.do === 'move') await world.pass(one.ms);
              else if (one.do === 'pbx') world.says = one.says;
              else if (at !== undefined) wishes.push(at.registrations.wish(account.aor, one.do));
              await settled();
            }
            world.says = 'yes';
            for (const { clock } of world.nodes) clock.resume();
            await world.pass(120_000);
            const healed = world.clock.now();
            await world.pass(expires * 1000);
            expect(world.sent.filter(({ at }) => at > healed).length).toBeGreaterThan(0);
            for (const [n, { callId, cseq }] of world.sent.entries())
              for (const before of world.sent.slice(0, n))
                if (before.callId === callId) expect(cseq).toBeGreaterThan(before.cseq);
            others += new Set(world.sent.map((each) => each.node)).size - 1;
            const passing = (ms: number): Promise<void> => world.pass(ms);
            await whilePassing(Promise.all(wishes), passing);
            await whilePassing(Promise.all(world.nodes.map(({ registrations }) => registrations.stop())), passing);
          },
        ),
        { numRuns, seed, ...(path === undefined ? {} : { path, endOnFailure: true }) },
      );
      // stories in which nobody takes over prove nothing
      if (path === undefined) expect(others).toBeGreaterThan(0);
    },
    60_000 + numRuns * 500,
  );
});
