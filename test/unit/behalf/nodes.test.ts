/** Which processes live, in a fleet of many: nobody is overlooked because the store gives them in pages. */
import { expect, it } from 'vitest';
import { memoryRecords } from '../../../lib/adapters/memory/records.ts';
import { lifeSignEveryMs, Nodes } from '../../../lib/behalf/nodes.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';

it('a thousand and more processes are all known, and each that dies is taken over once', async () => {
  const records = memoryRecords();
  const clock = new MovedClock(1_000_000_000);
  const dead: string[] = [];
  const nodes = new Nodes({
    ...{ records, clock, precise: () => clock.now(), log: new QuietLog(), node: 'ours' },
    onDead: async (node) => void dead.push(node),
  });
  const names = Array.from({ length: 1300 }, (_, n) => `node-${n}`);
  for (const name of names) await records.swap('node', name, 0, 'until some day');
  await nodes.follow();
  expect(names.filter((name) => !nodes.lives(name))).toEqual([]);
  for (let ms = 0; ms < 40_000; ms += lifeSignEveryMs) {
    clock.move(lifeSignEveryMs);
    await nodes.follow();
  }
  expect(dead.toSorted()).toEqual(names.toSorted());
  expect(names.filter((name) => nodes.lives(name))).toEqual([]);
  expect(nodes.lives('ours')).toBe(true);
});
