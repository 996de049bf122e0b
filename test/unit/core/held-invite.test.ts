/** Every order of everything: the held INVITE against a model of the world around it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hold, step } from '../../../lib/core/held-invite.ts';
import type { HeldInvite, Step } from '../../../lib/core/held-state.ts';
import type { EndsCall, HoldEffect, HoldEvent, Target } from '../../../lib/core/hold-words.ts';

interface WorldLeg {
  readonly device: string;
  flow: string;
  cancelled: boolean;
  ended: boolean;
}

/** Does what the effects say and complains when they make no sense. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken promise: ${what}`);
}

function isOpen(leg: WorldLeg | undefined): boolean {
  return leg !== undefined && !leg.cancelled && !leg.ended;
}

interface Words {
  readonly busy?: EndsCall;
  readonly decline?: EndsCall;
}

class World {
  held!: HeldInvite;
  readonly legs = new Map<string, WorldLeg>();
  readonly pushing = new Set<string>();
  readonly pushes = new Map<string, number>();
  /** devices that have the INVITE: a 1xx or a real answer came from them */
  readonly reached = new Set<string>();
  readonly answers: HoldEffect[] = [];
  bucket = false;
  ringTimers = 0;
  overs = 0;
  cancelledByCaller = false;
  /** pushed, and no sign of life from it since: what it must learn later when the call ends now */
  readonly owed = new Set<string>();
  late: readonly string[] | undefined;
  draining = false;

  readonly standalone: boolean;
  readonly #words: Words;

  constructor(targets: readonly Target[], admitNewDevices: boolean, standalone = false, words: Words = {}) {
    this.standalone = standalone;
    this.#words = words;
    this.#apply(hold(targets, { admitNewDevices, standalone, ...words }), undefined);
  }

  /** A refresh counts unless nobody new is rung any more; of a leg anything counts but what the engine or a proxy made up. */
  #heardOf(event: HoldEvent): void {
    if (this.held.at !== 'open') return;
    if (event.is === 'drain') this.draining = true;
    if (event.is === 'refresh-accepted' && !this.draining) this.owed.delete(event.device);
    if (event.is === 'refresh-rejected' || event.is === 'binding-removed') this.owed.delete(event.device);
    if (event.is === 'push-ended' && !event.accepted && this.pushing.has(event.device)) this.owed.delete(event.device);
    if (event.is === 'progress' || event.is === 'answered') this.owed.delete(this.legs.get(event.leg)?.device ?? '');
    if (event.is === 'failed' && !event.local && event.status !== 408 && event.status !== 430)
      this.owed.delete(this.legs.get(event.leg)?.device ?? '');
  }

  /** What the user of one phone says ends the call for all, or does not. */
  #wordsAreKept(event: HoldEvent | undefined, wasOpen: boolean, wasCancelled: boolean): void {
    if (event?.is !== 'failed' || event.local || !wasOpen) return;
    const { busy = 'device', decline = 'all' } = this.#words;
    if (event.status === 603 && decline === 'all') must(this.held.at !== 'open', 'a 603 ends the call for all');
    if (event.status === 486 && busy === 'all' && !wasCancelled)
      must(this.held.at !== 'open', 'a 486 ends the call for all');
    const others = this.live().some(([, leg]) => !leg.cancelled) || this.bucket;
    const forOne = event.status === 603 ? decline === 'device' : event.status === 486 && busy === 'device';
    if (forOne && this.#restBefore) must(this.held.at === 'open' && others, 'the others ring on');
  }
  /** somebody else rang before this event */
  #restBefore = false;

  send(event: HoldEvent): readonly HoldEffect[] {
    const wasOpen = this.held.at === 'open';
    const mine = 'leg' in event ? this.legs.get(event.leg) : undefined;
    const wasCancelled = mine?.cancelled === true;
    this.#restBefore = this.live().some(([, leg]) => leg !== mine && !leg.cancelled);
    this.#heardOf(event);
    const effects = this.#send(event);
    this.#wordsAreKept(event, wasOpen, wasCancelled);
    return effects;
  }

  #send(event: HoldEvent): readonly HoldEffect[] {
    if (event.is === 'push-ended') this.pushing.delete(event.device);
    if (event.is === 'bucket-timer') this.bucket = false;
    if (event.is === 'cancelled' && this.answers.length === 0) this.cancelledByCaller = true;
    if (event.is === 'answered' || event.is === 'failed') {
      const leg = this.legs.get(event.leg) as WorldLeg;
      leg.ended = true;
      if (leg.cancelled) return this.#apply(step(this.held, event), event);
      // the device has an older copy, which is waited for again
      const older = [...this.legs.values()].find((one) => one.device === leg.device && one.cancelled && !one.ended);
      const isMerged = event.is === 'failed' && event.status === 482 && !event.local;
      if (this.standalone && isMerged && older !== undefined && this.held.at === 'open') older.cancelled = false;
      if (event.is === 'answered' || (!event.local && event.status !== 408 && event.status !== 430))
        this.reached.add(leg.device);
      // the engine says so: there is nobody any more at the other end of what it rang over
      if (event.is === 'failed' && event.local && !this.standalone) this.reached.delete(leg.device);
    }
    if (event.is === 'progress') {
      const leg = this.legs.get(event.leg) as WorldLeg;
      if (!leg.cancelled) this.reached.add(leg.device);
    }
    return this.#apply(step(this.held, event), event);
  }

  live(): [string, WorldLeg][] {
    return [...this.legs].filter(([, leg]) => !leg.ended);
  }

  get decided(): boolean {
    return this.answers.length > 0 || this.cancelledByCaller;
  }

  #apply([held, effects]: Step, event: HoldEvent | undefined): readonly HoldEffect[] {
    this.held = held;
    const wasOver = this.overs > 0;
    const wasDecided = this.answers.length > 0 || (this.cancelledByCaller && event?.is !== 'cancelled');
    for (const effect of effects) {
      if (wasOver) must(effect.do === 'hang-up', 'only hang-ups follow the end');
      this.#perform(effect, wasDecided);
    }
    if (event?.is === 'answered') {
      const mine = effects.filter(
        (effect) => (effect.do === 'relay-answer' || effect.do === 'hang-up') && effect.leg === event.leg,
      );
      must(mine.length === 1, 'an answer is relayed or hung up');
    }
    must(this.answers.length <= 1, 'one final answer');
    const ringing = this.live()
      .filter(([, leg]) => !leg.cancelled)
      .map(([, leg]) => leg.device);
    must(new Set(ringing).size === ringing.length, 'one leg for each device');
    if (held.at === 'open') {
      must(!this.decided, 'open only while undecided');
      // somebody rings or somebody is waited for with a limit: an open call always ends
      must(ringing.length > 0 || this.bucket, 'an open call rings or has a limit');
      if (event?.is === 'bucket-timer') must(ringing.length > 0, 'the bucket timer leaves nobody waiting for nobody');
    } else {
      must(this.decided, 'closed only with an answer');
      must(this.pushing.size === 0, 'every push is stopped or ended');
      must(!this.bucket, 'the bucket timer is stopped at the end');
      must(ringing.length === 0, 'nobody rings after the end');
      if (this.standalone) must(held.at === 'over', 'over with the answer: nothing can be taken back');
      else must((held.at === 'over') === (this.live().length === 0), 'over when the last leg has ended');
    }
    const owes = held.at !== 'open' && !this.standalone ? [...this.owed].sort() : [];
    must(
      [...(this.late ?? [])].sort().join() === owes.join(),
      'who was pushed and has not come learns the end, and nobody else',
    );
    must(this.overs === (held.at === 'over' ? 1 : 0), 'over once');
    return effects;
  }

  #perform(effect: HoldEffect, wasDecided: boolean): void {
    switch (effect.do) {
      case 'push':
        must(!wasDecided, 'no push after the answer');
        must(!this.pushing.has(effect.device), 'one push at a time');
        this.pushing.add(effect.device);
        this.owed.add(effect.device);
        this.pushes.set(effect.device, (this.pushes.get(effect.device) ?? 0) + 1);
        must((this.pushes.get(effect.device) ?? 0) <= 2, 'two pushes at most');
        return;
      case 'stop-push':
        must(this.pushing.delete(effect.device), 'stops a push that runs');
        return;
      case 'start-leg':
        must(!wasDecided, 'no leg after the answer');
        must(!this.legs.has(effect.leg), 'a new name for a new leg');
        must(!this.reached.has(effect.device), 'one INVITE for a device that has it');
        this.legs.set(effect.leg, { device: effect.device, flow: effect.flow, cancelled: false, ended: false });
        must(this.ringTimers === 1, 'the ring timer runs with the first leg');
        return;
      case 'start-silence-timer':
        must(this.legs.has(effect.leg), 'listens to a leg that is there');
        return;
      case 'start-bucket-timer':
        must(!this.bucket, 'one bucket timer');
        this.bucket = true;
        return;
      case 'stop-bucket-timer':
        must(this.bucket, 'stops a bucket timer that runs');
        this.bucket = false;
        return;
      case 'start-ring-timer':
        this.ringTimers++;
        must(this.ringTimers === 1, 'one ring timer');
        return;
      case 'move-leg': {
        const leg = this.legs.get(effect.leg) as WorldLeg;
        must(!leg.ended, 'moves what is still out');
        must(leg.flow !== effect.flow, 'to another flow');
        leg.flow = effect.flow;
        return;
      }
      case 'cancel-leg': {
        const leg = this.legs.get(effect.leg) as WorldLeg;
        must(isOpen(leg), 'cancels an open leg');
        leg.cancelled = true;
        return;
      }
      case 'relay-progress':
        must(!wasDecided, 'no progress after the answer');
        must(isOpen(this.legs.get(effect.leg)), 'progress of an open leg');
        return;
      case 'relay-answer':
      case 'relay-failure':
        must(this.legs.get(effect.leg)?.ended === true, 'relays what has come');
        this.answers.push(effect);
        return;
      case 'refuse':
        this.answers.push(effect);
        return;
      case 'hang-up':
        return;
      case 'remember-late':
        must(this.late === undefined, 'once');
        must(this.overs === 0, 'before the end');
        this.late = effect.devices;
        return;
      case 'over':
        this.overs++;
    }
  }
}

const devices = ['a', 'b', 'c'] as const;
const flows = ['f1', 'f2', 'f3'] as const;
const target = fc.record({ flow: fc.option(fc.constantFrom(...flows), { nil: undefined }), canPush: fc.boolean() });
const word = fc.constantFrom<EndsCall>('device', 'all');
const words = fc.record({ busy: word, decline: word }, { requiredKeys: [] });
const targets = fc
  .array(target, { maxLength: 3 })
  .map((list) => list.map((one, at): Target => ({ device: devices[at] as string, ...one })));

/** A wish for an event; it becomes one that the world allows now, or nothing. */
const wish = fc.record({
  what: fc.constantFrom(
    'refresh',
    'refresh',
    'refresh',
    'moved',
    'moved',
    'rejected',
    'removed',
    'push-accepted',
    'push-refused',
    'progress',
    'progress',
    'trying',
    'answered',
    'declined',
    'busy',
    'merged',
    'gone',
    'unavailable',
    'silence',
    'silence',
    'bucket-timer',
    'ring-timer',
    'expires',
    'cancelled',
    'drain',
  ),
  pick: fc.nat(5),
  flow: fc.constantFrom(...flows),
});

function eventOf(
  world: World,
  { what, pick, flow }: { what: string; pick: number; flow: string },
): HoldEvent | undefined {
  const device = ['a', 'b', 'c', 'stranger', 'a', 'b'][pick] as string;
  const live = world.live();
  const leg = live[pick % Math.max(1, live.length)]?.[0];
  const pushing = [...world.pushing][pick % Math.max(1, world.pushing.size)];
  switch (what) {
    case 'refresh':
      return { is: 'refresh-accepted', device, flow };
    case 'moved': {
      const was = live.map(([, out]) => out).find((out) => out.device === device)?.flow;
      return { is: 'refresh-accepted', device, flow, was };
    }
    case 'rejected':
      return { is: 'refresh-rejected', device, status: 403 };
    case 'removed':
      return { is: 'binding-removed', device };
    case 'push-accepted':
    case 'push-refused':
      return pushing === undefined
        ? undefined
        : { is: 'push-ended', device: pushing, accepted: what === 'push-accepted' };
    // timers that were taken back may still fire
    case 'bucket-timer':
    case 'ring-timer':
    case 'expires':
    case 'cancelled':
    case 'drain':
      return { is: what };
    default:
  }
  if (leg === undefined) return undefined;
  switch (what) {
    case 'progress':
      return { is: 'progress', leg, status: 180 };
    case 'trying':
      return { is: 'progress', leg, status: 100 };
    case 'answered':
      return { is: 'answered', leg };
    case 'declined':
      return { is: 'failed', leg, status: 603, local: false };
    case 'busy':
      return { is: 'failed', leg, status: 486, local: false };
    case 'merged':
      return { is: 'failed', leg, status: 482, local: false };
    case 'unavailable':
      return { is: 'failed', leg, status: 503, local: false };
    case 'gone':
      return { is: 'failed', leg, status: pick % 2 === 0 ? 408 : 430, local: pick !== 1 };
    default:
      return { is: 'silence', leg };
  }
}

/** Lets the world go on by itself until nothing is left to happen: no new REGISTER, no caller. */
function runOut(world: World): void {
  for (let rounds = 0; world.held.at !== 'over'; rounds++) {
    expect(rounds).toBeLessThan(20);
    for (const device of world.pushing) world.send({ is: 'push-ended', device, accepted: true });
    for (const [leg] of world.live()) {
      world.send({ is: 'failed', leg, status: 487, local: false });
      if (world.overs > 0) return;
    }
    if (world.bucket) world.send({ is: 'bucket-timer' });
  }
}

describe('a held INVITE', () => {
  test('[PN-PROXY-20] keeps its promises under any sequence of events', () => {
    let late = 0;
    fc.assert(
      fc.property(targets, fc.boolean(), words, fc.array(wish, { maxLength: 40 }), (some, admit, said, wishes) => {
        const world = new World(some, admit, false, said);
        for (const one of wishes) {
          const event = eventOf(world, one);
          if (event !== undefined) world.send(event);
        }
        runOut(world);
        expect(world.answers.length).toBe(world.cancelledByCaller ? 0 : 1);
        expect(world.live()).toEqual([]);
        expect(world.overs).toBe(1);
        if (world.late !== undefined) late++;
      }),
      { numRuns: 10_000 },
    );
    expect(late).toBeGreaterThan(0);
    // two seconds of work, more on a machine that is busy
  }, 60_000);

  test('[PN-PROXY-03] any other request too: one answer, none to a device that has it, and an answer never comes too late', () => {
    fc.assert(
      fc.property(targets, fc.boolean(), fc.array(wish, { maxLength: 40 }), (some, admit, wishes) => {
        const world = new World(some, admit, true);
        for (const one of wishes) {
          const event = eventOf(world, one);
          if (event === undefined) continue;
          const open = world.held.at === 'open';
          const effects = world.send(event);
          if (event.is === 'answered' && open) expect(effects).toContainEqual({ do: 'relay-answer', leg: event.leg });
        }
        runOut(world);
        expect(world.answers.length).toBe(world.cancelledByCaller ? 0 : 1);
        expect(world.overs).toBe(1);
      }),
      { numRuns: 5_000 },
    );
    // the one that such an answer comes from may have been given up
    const moved = new World([{ device: 'a', flow: 'f1', canPush: true }], false, true);
    moved.send({ is: 'silence', leg: 'a/1' });
    moved.send({ is: 'refresh-accepted', device: 'a', flow: 'f2' });
    expect(moved.legs.get('a/1')?.cancelled).toBe(true);
    expect(moved.send({ is: 'answered', leg: 'a/1' })).toContainEqual({ do: 'relay-answer', leg: 'a/1' });
  });

  test('a phone that moves while it rings gets the rest there, and another INVITE only when the old one is dead', () => {
    const world = new World([{ device: 'a', flow: 'f1', canPush: true }], false);
    world.send({ is: 'progress', leg: 'a/1', status: 180 });
    // another flow of the same phone is not where this one has moved to
    expect(world.send({ is: 'refresh-accepted', device: 'a', flow: 'f3', was: 'f9' })).toEqual([]);
    expect(world.send({ is: 'refresh-accepted', device: 'a', flow: 'f2', was: 'f1' })).toEqual([
      { do: 'move-leg', leg: 'a/1', flow: 'f2' },
    ]);
    expect(world.send({ is: 'cancelled' })).toContainEqual({
      do: 'cancel-leg',
      leg: 'a/1',
      because: 'caller-cancelled',
    });
    // what was cancelled follows as well
    expect(world.send({ is: 'refresh-accepted', device: 'a', flow: 'f3', was: 'f2' })).toEqual([
      { do: 'move-leg', leg: 'a/1', flow: 'f3' },
    ]);

    const dead = new World([{ device: 'a', flow: 'f1', canPush: false }], false);
    dead.send({ is: 'progress', leg: 'a/1', status: 180 });
    dead.send({ is: 'refresh-accepted', device: 'a', flow: 'f2' });
    expect(dead.send({ is: 'failed', leg: 'a/1', status: 503, local: true })).toContainEqual({
      do: 'start-leg',
      leg: 'a/2',
      device: 'a',
      flow: 'f2',
    });

    const asleep = new World([{ device: 'a', flow: 'f1', canPush: true }], false);
    asleep.send({ is: 'progress', leg: 'a/1', status: 180 });
    expect(asleep.send({ is: 'failed', leg: 'a/1', status: 503, local: true })).toContainEqual({
      do: 'push',
      device: 'a',
    });
    expect(asleep.send({ is: 'refresh-accepted', device: 'a', flow: 'f2' })).toContainEqual({
      do: 'start-leg',
      leg: 'a/2',
      device: 'a',
      flow: 'f2',
    });
  });

  test('tells the same story when it is told twice', () => {
    fc.assert(
      fc.property(targets, fc.array(wish, { maxLength: 20 }), (some, wishes) => {
        const world = new World(some, true);
        for (const one of wishes) {
          const event = eventOf(world, one);
          if (event === undefined) continue;
          const before = world.held;
          const frozen = JSON.stringify(before, asData);
          const first = step(before, event);
          expect(JSON.stringify(before, asData)).toBe(frozen);
          expect(step(before, event)).toEqual(first);
          world.send(event);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('ends with exactly one answer in all 5,040 orders of seven events', () => {
    const events = ['refresh-a', 'push-a', 'progress', 'answered', 'bucket-timer', 'cancelled', 'removed-b'] as const;
    let answered = 0;
    for (const order of permutations(events)) {
      const world = new World(
        [
          { device: 'a', flow: undefined, canPush: true },
          { device: 'b', flow: 'f1', canPush: true },
        ],
        false,
      );
      for (const name of order) {
        const leg = world.live()[0]?.[0];
        if (name === 'refresh-a') world.send({ is: 'refresh-accepted', device: 'a', flow: 'f2' });
        else if (name === 'push-a') {
          if (world.pushing.has('a')) world.send({ is: 'push-ended', device: 'a', accepted: true });
        } else if (name === 'removed-b') world.send({ is: 'binding-removed', device: 'b' });
        else if (name === 'bucket-timer' || name === 'cancelled') world.send({ is: name });
        else if (leg !== undefined)
          world.send(name === 'answered' ? { is: 'answered', leg } : { is: 'progress', leg, status: 180 });
      }
      runOut(world);
      expect(world.answers.length).toBe(world.cancelledByCaller ? 0 : 1);
      if (world.answers[0]?.do === 'relay-answer') answered++;
    }
    // in half of the orders the answer comes before the caller gives up
    expect(answered).toBe(2520);
  });
});

function asData(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value instanceof Set ? [...value] : value;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, at) =>
    permutations([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
  );
}
