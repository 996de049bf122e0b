import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TimerWheel, type WheelClock } from '../../../lib/engine/timer-wheel.ts';

class HandClock implements WheelClock {
  time = 0;
  #due: { at: number; fire: () => void } | undefined;

  now(): number {
    return this.time;
  }

  after(ms: number, fire: () => void): () => void {
    const due = { at: this.time + ms, fire };
    this.#due = due;
    return () => {
      if (this.#due === due) this.#due = undefined;
    };
  }

  get ticking(): boolean {
    return this.#due !== undefined;
  }

  /** Moves in steps, as the system's timer would fire. */
  advance(ms: number): void {
    const end = this.time + ms;
    while (this.#due !== undefined && this.#due.at <= end) {
      const due = this.#due;
      this.#due = undefined;
      this.time = due.at;
      due.fire();
    }
    this.time = end;
  }

  /** Jumps, as when the process was stopped for a while. */
  jump(ms: number): void {
    this.time += ms;
    const due = this.#due;
    this.#due = undefined;
    due?.fire();
  }
}

describe('TimerWheel', () => {
  test('fires each timer once, never early and at most two ticks late', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 60 }), (delays) => {
        const clock = new HandClock();
        const wheel = new TimerWheel({ clock });
        const fired = new Map<number, number[]>();
        const owner = { onTimer: (name: number) => fired.set(name, [...(fired.get(name) ?? []), clock.time]) };
        for (const [name, delay] of delays.entries()) wheel.schedule(delay, owner, name);
        clock.advance(41_000);
        for (const [name, delay] of delays.entries()) {
          const [at, ...more] = fired.get(name) as number[];
          expect(more).toEqual([]);
          expect(at).toBeGreaterThanOrEqual(delay);
          expect(at).toBeLessThanOrEqual(delay + 20);
        }
      }),
    );
  });

  test('a cancelled timer never fires, also when it is cancelled by its neighbour', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 30 }),
        fc.integer({ min: 0, max: 29 }),
        fc.array(fc.integer({ min: 0, max: 29 })),
        (size, by, victims) => {
          const clock = new HandClock();
          const wheel = new TimerWheel({ clock });
          const fired: number[] = [];
          const timers = Array.from({ length: size }, (_, at) =>
            wheel.schedule(
              50,
              {
                onTimer: () => {
                  fired.push(at);
                  if (at === by) for (const victim of victims) wheel.cancel(timers[victim]);
                },
              },
              'x',
            ),
          );
          clock.advance(200);
          for (let at = 0; at < size; at++) {
            const expected = by < size && at > by && victims.includes(at) ? 0 : 1;
            expect(fired.filter((each) => each === at).length).toBe(expected);
          }
        },
      ),
    );
  });

  test('ticks only while something is scheduled', () => {
    const clock = new HandClock();
    const wheel = new TimerWheel({ clock });
    expect(clock.ticking).toBe(false);
    const timer = wheel.schedule(500, { onTimer: () => {} }, 'x');
    expect(clock.ticking).toBe(true);
    wheel.cancel(timer);
    expect(clock.ticking).toBe(false);
    wheel.schedule(20, { onTimer: () => {} }, 'x');
    clock.advance(100);
    expect(clock.ticking).toBe(false);
    expect(wheel.size).toBe(0);
  });

  test('an owner may schedule again from its own timer', () => {
    const clock = new HandClock();
    const wheel = new TimerWheel({ clock });
    let times = 0;
    const owner = {
      onTimer: () => {
        if (++times < 5) wheel.schedule(100, owner, 'x');
      },
    };
    wheel.schedule(100, owner, 'x');
    clock.advance(1000);
    expect(times).toBe(5);
  });

  test('nothing fires and nothing ticks after close', () => {
    const clock = new HandClock();
    const wheel = new TimerWheel({ clock });
    let fired = 0;
    const owner = { onTimer: () => fired++ };
    wheel.schedule(10, owner, 'x');
    wheel.close();
    wheel.cancel(wheel.schedule(10, owner, 'x'));
    wheel.schedule(10, owner, 'x');
    clock.advance(100);
    expect([fired, clock.ticking, wheel.size]).toEqual([0, false, 0]);
  });

  test('a long pause loses nothing', () => {
    const clock = new HandClock();
    const wheel = new TimerWheel({ clock });
    const fired: number[] = [];
    for (const delay of [10, 3000, 30_000]) wheel.schedule(delay, { onTimer: () => fired.push(delay) }, 'x');
    clock.jump(60_000);
    clock.advance(30);
    expect(fired.toSorted((a, b) => a - b)).toEqual([10, 3000, 30_000]);
  });

  test('a fault of one owner is reported and stops nobody else', () => {
    const clock = new HandClock();
    const faults: unknown[] = [];
    const wheel = new TimerWheel({ clock, onFault: (fault) => faults.push(fault) });
    let fired = false;
    wheel.schedule(
      10,
      {
        onTimer: () => {
          throw new Error('owner');
        },
      },
      'x',
    );
    wheel.schedule(
      10,
      {
        onTimer: () => {
          fired = true;
        },
      },
      'x',
    );
    clock.advance(50);
    expect(fired).toBe(true);
    expect(faults.length).toBe(1);
  });
});
