/** Does what the agenda says, and tells what was done and when. */
import { pause } from '../load/pace.ts';
import type { Fault, FaultKind, PlannedFault } from './fault.ts';
import type { World } from './world.ts';

export interface Injector {
  /** as they happen; `to` is infinity while one lasts */
  readonly faults: readonly Fault[];
  /** resolves when all have been taken back */
  readonly done: Promise<void>;
}

const stopping: ReadonlySet<FaultKind> = new Set(['node-kill', 'node-drain', 'node-told-to-drain']);

type Mutable = { -readonly [Key in keyof Fault]: Fault[Key] };

/** `now`: ms since the run began. */
export function inject(
  agenda: readonly PlannedFault[],
  world: World,
  now: () => number,
  onFault: (fault: Fault, is: 'begins' | 'ends') => void,
): Injector {
  const faults: Mutable[] = [];
  const busy = new Map<string, Promise<void>>();
  const one = async ({ at, forMs, afterPrevious, ...what }: PlannedFault): Promise<void> => {
    if (afterPrevious === true) await pause(at);
    else await pause(Math.max(0, at - now()));
    // whoever has not got up yet from the fault before is not hit again
    const whom =
      what.node === undefined ? (what.push === undefined ? 'redis' : `push ${what.push}`) : `node ${what.node}`;
    // and one node is stopped at a time, however slowly this machine starts the one before
    const locks = stopping.has(what.kind) ? [whom, 'a node that stops'] : [whom];
    const standing = locks.map((lock) => busy.get(lock) ?? Promise.resolve());
    let free: () => void = () => undefined;
    const over = new Promise<void>((done) => (free = done));
    for (const lock of locks) busy.set(lock, over);
    await Promise.all(standing);
    const fault: Mutable = { ...what, since: now(), to: Number.POSITIVE_INFINITY };
    faults.push(fault);
    onFault(fault, 'begins');
    await strike(what, forMs, world);
    fault.to = now();
    onFault(fault, 'ends');
    free();
  };
  let before: Promise<void> = Promise.resolve();
  const all = agenda.map((planned) => {
    before = planned.afterPrevious === true ? before.then(() => one(planned)) : one(planned);
    return before;
  });
  return { faults, done: Promise.all(all).then(() => undefined) };
}

/** From the blow until whoever was hit can work again. */
async function strike(
  what: Omit<PlannedFault, 'at' | 'forMs' | 'afterPrevious'>,
  forMs: number,
  world: World,
): Promise<void> {
  const node = world.nodes[what.node ?? 0];
  const push = world.push[what.push ?? 0];
  const { redis } = world;
  if (node === undefined || push === undefined) throw new Error(`there is nobody to hit: ${JSON.stringify(what)}`);
  switch (what.kind) {
    case 'node-kill':
      await node.kill();
      await pause(forMs);
      return node.start();
    case 'node-drain':
      await node.drain();
      await pause(forMs);
      return node.start();
    case 'node-told-to-drain':
      await node.toldToDrain();
      await node.drain();
      await pause(forMs);
      return node.start();
    case 'node-freeze':
      return frozen(node, forMs);
    case 'redis-kill':
      await redis.kill();
      await pause(forMs);
      return redis.start();
    case 'redis-restart':
      await redis.stop();
      await pause(forMs);
      return redis.start();
    case 'redis-freeze':
      return frozen(redis, forMs);
    case 'push-kill':
      await push.kill();
      await pause(forMs);
      return push.start();
    case 'push-freeze':
      return frozen(push, forMs);
    case 'push-503':
      push.refuse(true);
      await pause(forMs);
      return push.refuse(false);
    case 'push-goaway':
      return push.goaway();
    case 'partition':
      if (world.cut === undefined || what.from === undefined) throw new Error('nothing can be cut off here');
      await world.cut(node.index, what.from, 'begins');
      await pause(forMs);
      return world.cut(node.index, what.from, 'ends');
  }
}

async function frozen(who: { freeze(): void; thaw(): void }, forMs: number): Promise<void> {
  who.freeze();
  await pause(forMs);
  who.thaw();
}
