/**
 * Counts the bindings in the store by what a call would do with them, now and then and in small steps, so that no call waits for it.
 * Of several edges on one store one counts at a time, and the others take over its figures: a thousand edges that each read ten
 * million bindings would leave the store no time for calls.
 */
import type { Binding } from '../../lib/core/binding.ts';
import { wakeableBindings } from '../../lib/core/binding-set.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Records } from '../../lib/ports/records.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';

type State = 'awake' | 'asleep' | 'plain' | 'unpushable' | 'lapsed';
type Counts = Readonly<Record<State, number>>;

const pageSize = 100;
/** for each ms of a page so many ms of rest: a fifth of the time at most */
const restShare = 4;
const restMs = 30_000;
/** from the end of a count to the next one: so many times what it took */
const longShare = 2;
/** how often the figures of others are looked at, and how often one who counts says that it lives */
const lookMs = 5000;
/** one who counts and says nothing for so long has died */
const silentMs = 20_000;
const recordName = 'bindings';

export interface Census {
  /** as of the last count; undefined before the first one has ended */
  readonly counted: Counts | undefined;
  stop(): void;
}

export interface CensusDeps {
  readonly store: Pick<LocationStore, 'scan' | 'read'>;
  readonly telemetry: Telemetry;
  /** whether a call would try the binding's flow before pushing */
  readonly isAwake: (binding: Binding) => boolean;
  readonly clock: Clock;
  /** kept in the same store by every edge that uses it; undefined: there is one edge only */
  readonly shared: Records | undefined;
}

/** What the edges tell each other. */
interface Told {
  readonly counts: Counts | undefined;
  /** somebody counts now */
  readonly counting: boolean;
  /** ms from here to the next count */
  readonly rest: number;
}

export function startCensus(deps: CensusDeps): Census {
  return new RunningCensus(deps);
}

class RunningCensus implements Census {
  counted: Counts | undefined;
  readonly #deps: CensusDeps;
  #stopped = false;
  #cancel = (): void => undefined;
  /** what we last saw of the record, and when by our clock: those of edges are not compared */
  #seen = { version: 0, at: 0 };

  constructor(deps: CensusDeps) {
    this.#deps = deps;
    this.#after(1000);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #after(ms: number): void {
    if (!this.#stopped) this.#cancel = this.#deps.clock.after(ms, () => void this.#turn());
  }

  async #turn(): Promise<void> {
    let next = restMs;
    try {
      next = this.#deps.shared === undefined ? await this.#alone() : await this.#together(this.#deps.shared);
    } catch {
      // counted where the store is; the next census may see more
    }
    this.#after(next);
  }

  async #alone(): Promise<number> {
    const { clock } = this.#deps;
    const from = clock.now();
    const counts = await this.#count();
    if (counts !== undefined) this.#tell(counts);
    return Math.max(restMs, (clock.now() - from) * longShare);
  }

  /** ms to the next look */
  async #together(records: Records): Promise<number> {
    const record = await records.read('census', recordName);
    const version = record?.version ?? 0;
    const told = record === undefined ? undefined : toldIn(record.value);
    if (told?.counts !== undefined) this.#tell(told.counts);
    const at = this.#deps.clock.now();
    if (version !== this.#seen.version) this.#seen = { version, at };
    const patience = told === undefined ? 0 : told.counting ? silentMs : told.rest;
    if (at - this.#seen.at < patience) return lookMs;
    await this.#countForAll(records, version, told?.counts);
    return lookMs;
  }

  async #countForAll(records: Records, seen: number, before: Counts | undefined): Promise<void> {
    let version = seen;
    const write = async (told: Told): Promise<boolean> => {
      const written = await records.swap('census', recordName, version, JSON.stringify(told));
      if (written !== undefined) version = written;
      return written !== undefined;
    };
    if (!(await write({ counts: before, counting: true, rest: restMs }))) return;
    const { clock } = this.#deps;
    const from = clock.now();
    let saidAt = from;
    const counts = await this.#count(async () => {
      if (clock.now() - saidAt < lookMs) return true;
      saidAt = clock.now();
      // somebody took us for dead: then he counts
      return write({ counts: before, counting: true, rest: restMs });
    });
    if (counts === undefined) return;
    const rest = Math.max(restMs, Math.round((clock.now() - from) * longShare));
    if (await write({ counts, counting: false, rest })) this.#seen = { version, at: clock.now() };
    this.#tell(counts);
  }

  /** undefined: it was not finished. */
  async #count(goesOn: () => Promise<boolean> = async () => true): Promise<Counts | undefined> {
    const { store, isAwake, clock } = this.#deps;
    const found: Record<State, number> = { awake: 0, asleep: 0, plain: 0, unpushable: 0, lapsed: 0 };
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const from = performance.now();
      const page: Awaited<ReturnType<LocationStore['scan']>> = await store.scan(cursor, pageSize);
      const sets = await Promise.all(page.aors.map((aor) => store.read(aor)));
      const at = clock.now();
      for (const { bindings } of sets)
        for (const binding of wakeableBindings(bindings, at))
          found[binding.expiresAt <= at ? 'lapsed' : stateOf(binding, isAwake)]++;
      cursor = page.next;
      if (!(await goesOn())) return undefined;
      const rest = (performance.now() - from) * restShare;
      await new Promise<void>((resolve) => clock.after(rest, resolve));
      if (this.#stopped) return undefined;
    }
    return found;
  }

  #tell(counts: Counts): void {
    this.counted = counts;
    for (const [state, value] of Object.entries(counts))
      this.#deps.telemetry.gauge('bindings', value, { state: state as State });
  }
}

function stateOf(binding: Binding, isAwake: (binding: Binding) => boolean): State {
  if (binding.push === undefined) return 'plain';
  if (binding.push.deadSince !== undefined) return 'unpushable';
  return isAwake(binding) ? 'awake' : 'asleep';
}

/** Undefined for what none of us wrote. */
function toldIn(text: string): Told | undefined {
  try {
    const { counts, counting, rest } = JSON.parse(text) as Partial<Told>;
    if (typeof counting !== 'boolean' || typeof rest !== 'number') return undefined;
    return { counts: isCounts(counts) ? counts : undefined, counting, rest };
  } catch {
    return undefined;
  }
}

function isCounts(counts: Partial<Counts> | undefined): counts is Counts {
  const states: readonly State[] = ['awake', 'asleep', 'plain', 'unpushable', 'lapsed'];
  return typeof counts === 'object' && states.every((state) => typeof counts[state] === 'number');
}
