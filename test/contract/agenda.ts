/** What every agenda does, whatever keeps it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Agenda, ClaimedTask } from '../../lib/ports/agenda.ts';

export interface AgendaUnderTest {
  readonly agenda: Agenda;
  /** another node's view of the same agenda */
  readonly another: Agenda;
  close(): Promise<void>;
}

const patience = { timeout: 8000, interval: 20 };

/** As a node does it, for so many ms. */
function claim(agenda: Agenda, leaseMs = 60_000, limit = 10): Promise<readonly ClaimedTask[]> {
  const now = Date.now();
  return agenda.claim(now, now + leaseMs, limit);
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
        await agenda.put('just now', 1900);
        await agenda.put('late', 12_000);
        expect(names(await agenda.claim(2000, 9000, 10))).toEqual(['early', 'just now']);
        expect(await agenda.claim(2000, 9000, 10)).toEqual([]);
      });

      it('gives a task to one node until its lease ends, then to anybody', async () => {
        const { agenda, another } = under;
        await agenda.put('once', 1000);
        const both = await Promise.all([claim(agenda, 1500), claim(another, 1500)]);
        expect(names(both.flat())).toEqual(['once']);
        expect(await claim(another)).toEqual([]);
        await expect.poll(() => claim(another).then(names), patience).toEqual(['once']);
      });

      it('gives out a task once that was put several times, for the same time too', async () => {
        const { agenda, another } = under;
        for (const at of [1000, 1200, 1000]) await agenda.put('again', at);
        await another.put('again', 1000);
        const claimed = [...(await claim(agenda, 500)), ...(await claim(another, 500))];
        expect(names(claimed)).toEqual(['again']);
        await expect.poll(() => claim(agenda).then(names), patience).toEqual(['again']);
      });

      it('gives out hundreds of tasks, each once, whatever is out of date among them', async () => {
        const { agenda, another } = under;
        const all = Array.from({ length: 450 }, (_, n) => `task ${String(n).padStart(3, '0')}`);
        for (const time of [3000, 2000, 1000]) await Promise.all(all.map((task) => agenda.put(task, time)));
        const first = await claim(agenda, 2500, 250);
        expect(first).toHaveLength(250);
        const rest = await claim(another, 2500, 1000);
        expect(names([...first, ...rest])).toEqual(all);
        expect(await claim(agenda, 2500, 1000)).toEqual([]);
        await Promise.all(first.map((one) => agenda.settle(one, undefined)));
        const again: ClaimedTask[] = [];
        await expect
          .poll(async () => again.push(...(await claim(agenda, 60_000, 1000))), patience)
          .toBeGreaterThanOrEqual(rest.length);
        expect(names(again)).toEqual(names(rest));
      });

      it('ends a task or sets its next time', async () => {
        const { agenda } = under;
        await agenda.put('ends', 1);
        await agenda.put('goes on', 1);
        for (const one of await agenda.claim(10, 1000, 10))
          await agenda.settle(one, one.task === 'ends' ? undefined : 4500);
        expect(names(await agenda.claim(2000, 4000, 10))).toEqual([]);
        expect(names(await agenda.claim(5000, 6000, 10))).toEqual(['goes on']);
      });

      it('lets a new time win over the one who had claimed the task, ended it, or slept too long', async () => {
        const { agenda, another } = under;
        await agenda.put('moved', 1);
        const far = Date.now() + 3_600_000;
        const [claimed] = await claim(agenda, 5000);
        await another.put('moved', 3000);
        if (claimed !== undefined) await agenda.settle(claimed, undefined);
        const [again] = await claim(agenda, 300);
        expect(again?.task).toBe('moved');
        let overtaking: readonly ClaimedTask[] = [];
        await expect.poll(async () => (overtaking = await claim(another, 5000)).length, patience).toBe(1);
        if (again !== undefined) await agenda.settle(again, 10);
        expect(await claim(agenda)).toEqual([]);
        for (const one of overtaking) await another.settle(one, far);
        expect(await agenda.claim(far - 5000, far + 9000, 10)).toEqual([]);
        expect(names(await agenda.claim(far + 5000, far + 9000, 10))).toEqual(['moved']);
      });

      it('keeps one time for each task, at the latest the last one that was set', async () => {
        const { agenda } = under;
        for (const at of [70_000, 10_000, 5000, 30_000]) await agenda.put('again and again', at);
        expect(await agenda.claim(3000, 9000, 10)).toEqual([]);
        expect(names(await agenda.claim(32_000, 90_000, 10))).toEqual(['again and again']);
        expect(await agenda.claim(80_000, 99_999, 10)).toEqual([]);
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
