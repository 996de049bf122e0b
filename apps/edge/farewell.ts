/** How an edge ends: what it waits for, in which order, and how long. */
import type { Calls } from '../../lib/call/ledger.ts';
import type { Subscriptions } from '../../lib/call/subscriptions.ts';

export interface FarewellDeps {
  readonly calls: Calls;
  readonly subscriptions: Subscriptions;
  readonly heldSeconds: number;
  readonly callSeconds: number;
  /** how many other edges live; 0 where the engine outlives us, and with it every flow */
  readonly others: () => number;
  /** calls that other edges have over flows of our engine; 0 where the engine outlives us */
  readonly guestCalls: () => Promise<number>;
}

const lookEveryMs = 50;
/** A phone that has registered here at the last moment is rung by the edge that holds its call within this time. */
const lastComersMs = 700;

export class Farewell {
  readonly #deps: FarewellDeps;
  #isGoing = false;

  constructor(deps: FarewellDeps) {
    this.#deps = deps;
  }

  /**
   * A phone that registered now would be lost in a moment, with the call that another edge holds for it: it is sent to one of the
   * others. Alone, and while calls are held here, every phone is welcome.
   */
  get sendsPhonesAway(): boolean {
    return this.#isGoing && this.#deps.others() > 0;
  }

  /** No new calls; held ones get their answer, then calls go on, ours and those of others over our engine; the rest is hung up. */
  async wait(): Promise<void> {
    const { calls, subscriptions, heldSeconds, callSeconds } = this.#deps;
    calls.close();
    await until(() => calls.held === 0, heldSeconds * 1000);
    this.#isGoing = true;
    calls.drain();
    const lastComersUntil =
      performance.now() + (this.#deps.others() > 0 ? Math.min(lastComersMs, callSeconds * 1000) : 0);
    const isQuiet = async (): Promise<boolean> =>
      calls.talking === 0 &&
      calls.held === 0 &&
      (await this.#deps.guestCalls()) === 0 &&
      performance.now() >= lastComersUntil;
    await until(isQuiet, callSeconds * 1000);
    calls.hangUpAll();
    // they may last for hours: waited for only once they have been told to end
    subscriptions.endAll();
    await until(() => calls.talking === 0 && calls.held === 0 && subscriptions.size === 0, 1000);
  }
}

async function until(done: () => boolean | Promise<boolean>, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await done()) && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
}
