/** What an APNs stand-in counts. */

export interface LabStats {
  readonly accepted: number;
  /** accepted more than once with one apns-id */
  readonly duplicates: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly faults: number;
  readonly sessionsOpened: number;
  readonly sessionsOpen: number;
  readonly streamsOpen: number;
  readonly streamsPeak: number;
  readonly providerTokens: number;
}

/** apns-ids that are remembered to know duplicates by */
const mostIds = 1_000_000;

export class Counts {
  readonly #refused = new Map<string, number>();
  #ids = new Set<string>();
  #accepted = 0;
  #duplicates = 0;
  #streamsOpen = 0;
  #streamsPeak = 0;
  faults = 0;
  sessionsOpened = 0;

  /** Sessions and open streams stay. */
  clear(): void {
    this.#ids = new Set();
    this.#refused.clear();
    this.#accepted = 0;
    this.#duplicates = 0;
    this.faults = 0;
    this.#streamsPeak = 0;
  }

  accepted(id: string): void {
    this.#accepted += 1;
    if (this.#ids.has(id)) this.#duplicates += 1;
    else if (this.#ids.size < mostIds) this.#ids.add(id);
  }

  refused(reason: string): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  streamOpened(): void {
    this.#streamsOpen += 1;
    if (this.#streamsOpen > this.#streamsPeak) this.#streamsPeak = this.#streamsOpen;
  }

  streamClosed(): void {
    this.#streamsOpen -= 1;
  }

  stats(sessionsOpen: number, providerTokens: number): LabStats {
    return {
      accepted: this.#accepted,
      duplicates: this.#duplicates,
      refused: Object.fromEntries(this.#refused),
      faults: this.faults,
      sessionsOpened: this.sessionsOpened,
      sessionsOpen,
      streamsOpen: this.#streamsOpen,
      streamsPeak: this.#streamsPeak,
      providerTokens,
    };
  }
}
