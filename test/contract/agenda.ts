/** What every agenda does, whatever keeps it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Agenda } from '../../lib/ports/agenda.ts';

export interface AgendaUnderTest {
  readonly agenda: Agenda;
  /** another node's view of the same agenda */
  readonly another: Agenda;
  close(): Promise<void>;
}

const names = (tasks: readonly { readonly task: string }[]): readonly string[] => tasks.map(({ task }) => task).sort();

/** `missing`: why it cannot run here. */
export function agendaContract(name: string, open: () => Promise<AgendaUnderTest>, missing?: string): void {
  describe.skipIf(missing !== undefined)(
    `agenda in ${name}${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    () => {
      let under: AgendaUnderTest;
      beforeEach(async () => {
        under = await open();
      });
      afterEach(() => under.close());

      it('gives out what is due, and nothing before its time', async () => {
        const { agenda } = under;
        await agenda.put('early', 1000);
        await agenda.put('on the minute', 2000);
        await agenda.put('late', 2001);
        expect(names(await agenda.claim(2000, 9000, 10))).toEqual(['early', 'on the minute']);
        expect(await agenda.claim(2000, 9000, 10)).toEqual([]);
      });

      it('gives a task to one node until its lease ends, then to anybody', async () => {
        const { agenda, another } = under;
        await agenda.put('once', 1000);
        const both = await Promise.all([agenda.claim(1500, 5000, 10), another.claim(1500, 5000, 10)]);
        expect(names(both.flat())).toEqual(['once']);
        expect(await another.claim(4999, 9000, 10)).toEqual([]);
        expect(names(await another.claim(5000, 9000, 10))).toEqual(['once']);
      });

      it('gives out a task once that was put several times, for the same time too', async () => {
        const { agenda, another } = under;
        for (const at of [1000, 1200, 1000]) await agenda.put('again', at);
        await another.put('again', 1000);
        const claimed = [...(await agenda.claim(1500, 5000, 10)), ...(await another.claim(1500, 5000, 10))];
        expect(names(claimed)).toEqual(['again']);
        expect(names(await agenda.claim(5000, 9000, 10))).toEqual(['again']);
      });

      it('gives out hundreds of tasks, each once, whatever is out of date among them', async () => {
        const { agenda, another } = under;
        const all = Array.from({ length: 450 }, (_, n) => `task ${String(n).padStart(3, '0')}`);
        for (const time of [3000, 2000, 1000]) await Promise.all(all.map((task) => agenda.put(task, time)));
        const first = await agenda.claim(4000, 9000, 250);
        expect(first).toHaveLength(250);
        const rest = await another.claim(4000, 9000, 1000);
        expect(names([...first, ...rest])).toEqual(all);
        expect(await agenda.claim(4000, 9500, 1000)).toEqual([]);
        await Promise.all(first.map((one) => agenda.settle(one, undefined)));
        expect(names(await agenda.claim(9000, 12_000, 1000))).toEqual(names(rest));
      });

      it('ends a task or sets its next time', async () => {
        const { agenda } = under;
        await agenda.put('ends', 1);
        await agenda.put('goes on', 1);
        for (const one of await agenda.claim(10, 1000, 10))
          await agenda.settle(one, one.task === 'ends' ? undefined : 500);
        expect(names(await agenda.claim(499, 2000, 10))).toEqual([]);
        expect(names(await agenda.claim(5000, 6000, 10))).toEqual(['goes on']);
      });

      it('lets a new time win over the one who had claimed the task, ended it, or slept too long', async () => {
        const { agenda, another } = under;
        await agenda.put('moved', 1);
        const [claimed] = await agenda.claim(10, 1000, 1);
        await another.put('moved', 3000);
        if (claimed !== undefined) await agenda.settle(claimed, undefined);
        expect(await agenda.claim(2999, 9000, 10)).toEqual([]);
        const [again] = await agenda.claim(3000, 4000, 10);
        expect(again).toEqual({ task: 'moved', until: 4000 });
        const [overtaking] = await another.claim(4000, 5000, 10);
        if (again !== undefined) await agenda.settle(again, 10);
        if (overtaking !== undefined) await another.settle(overtaking, 6000);
        expect(await agenda.claim(5999, 9000, 10)).toEqual([]);
        expect(names(await agenda.claim(6000, 9000, 10))).toEqual(['moved']);
      });

      it('keeps one time for each task, at the latest the last one that was set', async () => {
        const { agenda } = under;
        for (const at of [700, 100, 50, 300]) await agenda.put('again and again', at);
        expect(await agenda.claim(49, 9000, 10)).toEqual([]);
        expect(names(await agenda.claim(300, 9000, 10))).toEqual(['again and again']);
        expect(await agenda.claim(8999, 9999, 10)).toEqual([]);
      });

      it('gives no more than asked for, and all of them in the end, odd names too', async () => {
        const { agenda } = under;
        const tasks = Array.from({ length: 100 }, (_, index) => `refresh ${index} {ä%}\n${index}@example.com`);
        await Promise.all(tasks.map((task, index) => agenda.put(task, 1000 + index)));
        const seen: string[] = [];
        for (let round = 0; round < 50 && seen.length < tasks.length; round++) {
          const claimed = await agenda.claim(5000, 100_000, 7);
          expect(claimed.length).toBeLessThanOrEqual(7);
          seen.push(...names(claimed));
        }
        expect(seen.sort()).toEqual([...tasks].sort());
      });
    },
  );
}
