/** The wheel of timers by a clock that can be late: what is ours to wait for, and what a busy machine takes away. */
import { expect, it } from 'vitest';
import { Deadlines } from '../../../lib/delivery/deadlines.ts';
import type { Clock } from '../../../lib/ports/clock.ts';

const start = 1_000_000;

/** Time goes on when told; timers go off when `run` says so, however late. */
class LateClock implements Clock {
  #now = start;
  #tasks: { readonly at: number; readonly task: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const entry = { at: this.#now + ms, task };
    this.#tasks.push(entry);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== entry);
    };
  }

  /** Our process does not run for so long; then what is due goes off, and what the sockets brought is read. */
  async sleep(ms: number): Promise<void> {
    this.#now += ms;
    const due = this.#tasks.filter(({ at }) => at <= this.#now);
    this.#tasks = this.#tasks.filter(({ at }) => at > this.#now);
    for (const { task } of due) task();
    await new Promise(setImmediate);
  }

  /** Time goes on, and every timer is in time. */
  async live(ms: number): Promise<void> {
    for (let past = 0; past < ms; past += 10) await this.sleep(10);
  }
}

it('waits for a peer only while we run ourselves', async () => {
  const clock = new LateClock();
  const deadlines = new Deadlines(clock);
  let isOver = false;
  deadlines.patiently(500, () => {
    isOver = true;
  });
  await clock.live(200);
  // one long stop, and many short ones
  await clock.sleep(2000);
  for (let count = 0; count < 3; count++) await clock.sleep(220);
  await clock.live(50);
  expect(isOver).toBe(false);
  await clock.live(300);
  expect(isOver).toBe(true);
});

it('is not more patient than asked on a machine that has time, and lets nobody wait who gave up', async () => {
  const clock = new LateClock();
  const deadlines = new Deadlines(clock);
  const over: string[] = [];
  deadlines.patiently(500, () => over.push(`patient ${clock.now() - start}`));
  deadlines.patiently(500, () => over.push('given up'))();
  deadlines.after(500, () => over.push(`plain ${clock.now() - start}`));
  await clock.live(510);
  expect(over).toEqual(['patient 500', 'plain 500']);
});

it('takes a deadline as it is, however late we are', async () => {
  const clock = new LateClock();
  const deadlines = new Deadlines(clock);
  let isOver = false;
  deadlines.after(500, () => {
    isOver = true;
  });
  deadlines.patiently(5000, () => undefined);
  await clock.sleep(600);
  expect(isOver).toBe(true);
});

it('lets what has arrived be read before anything falls due', async () => {
  const clock = new LateClock();
  const deadlines = new Deadlines(clock);
  const order: string[] = [];
  deadlines.after(100, () => order.push('due'));
  const later = clock.sleep(200);
  order.push('read');
  await later;
  expect(order).toEqual(['read', 'due']);
});

it('counts a time of day set forward as no more than one long stop', async () => {
  const clock = new LateClock();
  const deadlines = new Deadlines(clock);
  let isOver = false;
  deadlines.patiently(3_700_000, () => {
    isOver = true;
  });
  await clock.live(100);
  await clock.sleep(3_600_000);
  await clock.live(106_000);
  expect(isOver).toBe(true);
});
