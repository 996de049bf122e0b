/**
 * How many refresh pushes go to one app: a rate, and a bound on those without an answer. So a push service that hangs holds up its own
 * apps only, and nobody sends at once what a day has gathered. Pure but for its own counts; times in ms since the epoch.
 */
interface Lane {
  /** pushes that may be sent now */
  allowance: number;
  countedAt: number;
  underWay: number;
  /** sent away in this second: each later one is asked to come back later */
  postponed: number;
}

/** A service that answers none of so many seconds of pushes is not sent more. */
const mostSeconds = 2;
/** When to ask again for an app whose service does not answer. */
const hungMs = 10_000;

export class AppLanes {
  readonly #perSecond: number;
  readonly #lanes = new Map<string, Lane>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** undefined: go, and `leave` when it was answered. Otherwise the time to come back. */
  enter(app: string, now: number): number | undefined {
    const lane = this.#lane(app, now);
    if (lane.underWay >= mostSeconds * this.#perSecond) return now + hungMs + this.#later(lane);
    if (lane.allowance < 1) return now + 1000 + this.#later(lane);
    lane.allowance -= 1;
    lane.underWay += 1;
    return undefined;
  }

  leave(app: string): void {
    const lane = this.#lanes.get(app);
    if (lane !== undefined) lane.underWay -= 1;
  }

  #later(lane: Lane): number {
    lane.postponed += 1;
    return Math.floor((1000 * lane.postponed) / this.#perSecond);
  }

  #lane(app: string, now: number): Lane {
    let lane = this.#lanes.get(app);
    if (lane === undefined) {
      lane = { allowance: this.#perSecond, countedAt: now, underWay: 0, postponed: 0 };
      this.#lanes.set(app, lane);
    }
    const past = now - lane.countedAt;
    if (past <= 0) {
      // a clock set back
      if (past < 0) lane.countedAt = now;
      return lane;
    }
    lane.allowance = Math.min(this.#perSecond, lane.allowance + (past * this.#perSecond) / 1000);
    lane.countedAt = now;
    if (past >= 500) lane.postponed = 0;
    return lane;
  }
}
