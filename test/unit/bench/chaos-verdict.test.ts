/** The verdict of chaos runs: what a fault may explain, and what none may. */
import { describe, expect, it } from 'vitest';
import type { Fault, FaultKind } from '../../../bench/chaos/fault.ts';
import { type Attempt, type Call, Ledger, type Leg } from '../../../bench/chaos/ledger.ts';
import { judge } from '../../../bench/chaos/verdict.ts';

const at = 10_000;

/** A call through node 0 to a phone that registers with node 1, answered and hung up by the PBX; then changed. */
function aCall(change: (call: Call, attempt: Attempt, leg: Leg) => void = () => undefined): Call {
  const ledger = new Ledger();
  const call = ledger.begin({ n: 0, phone: 7, transport: 'udp', push: 0, at });
  const attempt = ledger.attempt(call, 0, at);
  Object.assign(attempt, { provisionalAt: at + 5, status: 200, finalAt: at + 700, bye: 'confirmed', byeAt: at + 2000 });
  ledger.pushed(7, at + 20);
  ledger.registered(7, { node: 1, at: at + 30, status: 200 });
  const leg = ledger.invited({ attempt: attempt.id, branch: 'b1', node: 1, at: at + 50 });
  if (leg === undefined) throw new Error('the ledger does not know its own attempt');
  Object.assign(leg, { answeredAt: at + 600, ackedAt: at + 710, end: 'bye-received', endedAt: at + 1990 });
  call.overAt = at + 2000;
  change(call, attempt, leg);
  return call;
}

let faults = 0;
function fault(kind: FaultKind, more: Partial<Fault> = {}): Fault {
  faults += 1;
  return { id: faults, kind, since: at - 500, to: at + 500, ...more };
}

const ended =
  (status: number) =>
  (call: Call, attempt: Attempt): void => {
    Object.assign(attempt, { status, bye: '', byeAt: Number.NaN, finalAt: at + 1000 });
    call.overAt = at + 1000;
  };
const without = (call: Call, ...what: readonly ('legs' | 'registers' | 'pushes')[]): void => {
  for (const list of what) call[list].length = 0;
};

describe('a verdict', () => {
  it('asks nothing about a call that was answered and hung up, whatever went on', () => {
    expect(judge(aCall(), [])).toEqual({ end: 'answered', because: [], wrong: [] });
    expect(judge(aCall(), [fault('redis-kill')])).toEqual({ end: 'answered', because: [], wrong: [] });
  });

  it('lets no call stay without an end, and no end without a fault', () => {
    expect(
      judge(
        aCall((call) => (call.overAt = Number.NaN)),
        [fault('redis-kill')],
      ).wrong,
    ).toEqual(['no end']);
    for (const status of [480, 503, 408, 404, 500])
      expect(judge(aCall(ended(status)), []).wrong).toContain(`unexplained ${status}`);
  });

  it('lets a fault explain only while it lasts and heals', () => {
    const call = aCall((one, attempt) => {
      ended(503)(one, attempt);
      without(one, 'legs');
    });
    const by = (since: number, to: number): readonly string[] =>
      judge(call, [fault('redis-freeze', { since, to })]).wrong;
    expect(by(at + 500, at + 900)).toEqual([]);
    expect(by(at - 3000, at - 2900)).toEqual([]);
    expect(by(at - 5000, at - 4000)).toEqual(['unexplained 503']);
    expect(by(at + 1001, at + 2000)).toEqual(['unexplained 503']);
  });

  it('lets a push service explain the calls of its own phones that were not pushed, and no others', () => {
    const notPushed = aCall((call, attempt) => {
      ended(480)(call, attempt);
      without(call, 'legs', 'registers', 'pushes');
    });
    expect(judge(notPushed, [fault('push-kill', { push: 0 })]).wrong).toEqual([]);
    expect(judge(notPushed, [fault('push-kill', { push: 1 })]).wrong).toEqual(['unexplained 480']);
    expect(judge(notPushed, [fault('push-goaway', { push: 0 })]).wrong).toEqual(['unexplained 480']);
    const registered = aCall((call, attempt) => {
      ended(480)(call, attempt);
      without(call, 'legs');
    });
    expect(judge(registered, [fault('push-kill', { push: 0 })]).wrong).toEqual(['unexplained 480']);
  });

  it('lets a node explain only what went through it', () => {
    const cut = aCall((_, attempt, leg) => {
      attempt.bye = 'lost';
      leg.end = 'bye-lost';
    });
    expect(judge(cut, [fault('node-kill', { node: 1 })])).toMatchObject({ end: 'cut', wrong: [] });
    expect(judge(cut, [fault('node-kill', { node: 2 })]).wrong).toContain('unexplained cut');
    expect(judge(cut, [fault('node-freeze', { node: 1 })]).wrong).toContain('unexplained cut');
    expect(judge(cut, [fault('node-drain', { node: 1 })]).wrong).toContain('unexplained cut');
  });

  it('asks for a reason for every node that was tried', () => {
    const call = aCall((one, attempt) => {
      Object.assign(attempt, {
        status: 0,
        finalAt: Number.NaN,
        bye: '',
        abandoned: 'no-answer',
        abandonedAt: at + 2000,
      });
      without(one, 'legs');
      one.attempts.push({ ...attempt, id: '0.2', node: 1, at: at + 2000, abandonedAt: at + 4000 });
    });
    const first = fault('node-kill', { node: 0, to: at + 3000 });
    expect(judge(call, [first]).wrong).toEqual(['unexplained no-answer']);
    const second = fault('node-freeze', { node: 1, since: at + 1900, to: at + 4000 });
    expect(judge(call, [first, second])).toEqual({ end: 'no-answer', because: [first.id, second.id], wrong: [] });
  });

  it('lets no phone be rung twice by one INVITE, unless the node of the first ring was killed', () => {
    const twice = aCall((call, _, leg) => call.legs.push({ ...leg, branch: 'b2', node: 2, at: at + 300 }));
    expect(judge(twice, []).wrong).toEqual(['two INVITEs at one phone']);
    expect(judge(twice, [fault('node-kill', { node: 1 })]).wrong).toEqual([]);
    expect(judge(twice, [fault('node-freeze', { node: 1 })]).wrong).toEqual(['two INVITEs at one phone']);
    const retried = aCall((call, attempt, leg) => {
      call.attempts.unshift({ ...attempt, id: 'other', status: 503, bye: '' });
      call.legs.unshift({ ...leg, attempt: 'other', end: 'cancelled' });
    });
    expect(judge(retried, []).wrong).toEqual([]);
  });

  it('lets no phone ring or talk on alone', () => {
    const alone = aCall((_, __, leg) => (leg.end = 'never-acked'));
    expect(judge(alone, []).wrong).toContain('phone not told of the end');
    const hungUpItself = aCall((_, __, leg) => (leg.end = 'bye-confirmed'));
    expect(judge(hungUpItself, []).wrong).toEqual(['phone not told of the end']);
    expect(judge(alone, [fault('node-kill', { node: 1 })]).wrong).toEqual([]);
  });

  it('takes nothing but an answer in a rolling restart', () => {
    const call = aCall(ended(480));
    expect(judge(call, [fault('redis-kill')], false).wrong).toContain('480 in a rolling restart');
  });
});
