/**
 * Which source text has run, from V8 itself (node:inspector, precise coverage by blocks). An input that makes something new
 * run is worth keeping. Code must not be optimised meanwhile, or its counters stand still: whoever uses this says `--no-opt`.
 */
import { Session } from 'node:inspector';

interface CoveredRange {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface CoveredScript {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly CoveredRange[] }[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #counts: (url: string) => boolean;
  /** one octet for each character of a function: 1 once it has run; by url and place */
  readonly #ran = new Map<string, Uint8Array>();
  /** what the last `take` found, as far as `explains` has not found out who it was */
  readonly #news = new Map<string, Set<number>>();

  /** `counts` says which scripts are of interest. Begins at once. */
  constructor(counts: (url: string) => boolean) {
    this.#counts = counts;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    this.take();
  }

  /** Characters that have run for the first time since the last call. */
  take(): number {
    this.#news.clear();
    let fresh = 0;
    this.#each((key, now) => {
      const ran = this.#ran.get(key) ?? new Uint8Array(now.length);
      this.#ran.set(key, ran);
      const news = new Set<number>();
      for (let at = 0; at < now.length; at++) {
        if (now[at] === 0 || ran[at] === 1) continue;
        ran[at] = 1;
        news.add(at);
      }
      if (news.size > 0) this.#news.set(key, news);
      fresh += news.size;
    });
    return fresh;
  }

  /** After a `take`: true when what has run since explains some of what it found; that is then explained. */
  explains(): boolean {
    let some = false;
    this.#each((key, now) => {
      const news = this.#news.get(key);
      if (news === undefined) return;
      for (const at of news) if (now[at] === 1 && news.delete(at)) some = true;
      if (news.size === 0) this.#news.delete(key);
    });
    return some;
  }

  /** True when all that the last `take` found is explained. */
  get explained(): boolean {
    return this.#news.size === 0;
  }

  /** Of the functions V8 has told of, the share that has run; by file. */
  shares(): ReadonlyMap<string, { readonly ran: number; readonly all: number }> {
    const painted = new Map<string, Map<number, number>>();
    const functions = [...this.#ran].map(([key, ran]) => {
      const [url = '', start = '0'] = key.split(' ');
      return { url, start: Number(start), ran };
    });
    // inner functions are painted over outer ones
    for (const { url, start, ran } of functions.toSorted((a, b) => b.ran.length - a.ran.length)) {
      let places = painted.get(url);
      if (places === undefined) painted.set(url, (places = new Map()));
      for (const [at, once] of ran.entries()) places.set(start + at, once);
    }
    return new Map(
      [...painted].map(([url, places]) => {
        let ran = 0;
        for (const once of places.values()) ran += once;
        return [url, { ran, all: places.size }] as const;
      }),
    );
  }

  close(): void {
    this.#session.disconnect();
  }

  #each(take: (key: string, now: Uint8Array) => void): void {
    for (const { url, functions } of this.#scripts()) {
      if (!this.#counts(url)) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole !== undefined) take(`${url} ${whole.startOffset} ${whole.endOffset}`, painted(whole, ranges));
      }
    }
  }

  #scripts(): readonly CoveredScript[] {
    let scripts: readonly CoveredScript[] = [];
    // the answer comes before `post` returns
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error;
      scripts = taken.result;
    });
    return scripts;
  }
}

/** The first range is the function; each later one lies within an earlier one and tells what is different there. */
function painted(whole: CoveredRange, ranges: readonly CoveredRange[]): Uint8Array {
  const now = new Uint8Array(whole.endOffset - whole.startOffset);
  for (const { startOffset, endOffset, count } of ranges)
    now.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
  return now;
}
