/** How an edge ends beside others: whom it waits for, and from when on it sends phones away. */
import { describe, expect, it } from 'vitest';
import { Farewell } from '../../../apps/edge/farewell.ts';
import { Calls } from '../../../lib/call/ledger.ts';
import { Subscriptions } from '../../../lib/call/subscriptions.ts';

function anEdge(others: number, seconds: { readonly held: number; readonly call: number }) {
  const calls = new Calls({ maxHeld: 10, maxHeldPerDevice: 10 }, Date.now);
  const state = { guests: 0, over: false, hungUp: 0 };
  const farewell = new Farewell({
    ...{ calls, subscriptions: new Subscriptions(10), others: () => others },
    ...{ heldSeconds: seconds.held, callSeconds: seconds.call, guestCalls: async () => state.guests },
  });
  const wait = (): Promise<void> => farewell.wait().then(() => void (state.over = true));
  return { calls, farewell, state, wait };
}

describe('the farewell of an edge', () => {
  it('waits for calls that others have over its engine', async () => {
    const { farewell, state, wait } = anEdge(1, { held: 5, call: 20 });
    state.guests = 2;
    const over = wait();
    await expect.poll(() => farewell.sendsPhonesAway).toBe(true);
    await new Promise((done) => setTimeout(done, 900));
    expect(state.over).toBe(false);
    state.guests = 0;
    await over;
  });

  it('does not wait for them longer than for its own calls', async () => {
    const { calls, state, wait } = anEdge(1, { held: 0, call: 0.2 });
    state.guests = 1;
    const leave = calls.talk(() => {
      state.hungUp += 1;
      leave();
    });
    await wait();
    expect(state.hungUp).toBe(1);
  });

  it('welcomes phones while it holds a call, and all the time when it is alone', async () => {
    const busy = anEdge(1, { held: 5, call: 5 });
    const release = busy.calls.hold(['phone'], () => undefined);
    expect(busy.farewell.sendsPhonesAway).toBe(false);
    const over = busy.wait();
    await new Promise((done) => setTimeout(done, 200));
    expect([busy.calls.closed, busy.farewell.sendsPhonesAway]).toEqual([true, false]);
    release?.();
    await expect.poll(() => busy.farewell.sendsPhonesAway).toBe(true);
    await over;
    const alone = anEdge(0, { held: 1, call: 1 });
    await alone.wait();
    expect(alone.farewell.sendsPhonesAway).toBe(false);
  });
});
