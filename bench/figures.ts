/** Numbers of a run: latencies with their percentiles, medians over runs. Knows nothing of SIP. */

/** Collects values and tells percentiles; exact, not bucketed. */
export class Samples {
  #values = new Float64Array(4096);
  #count = 0;
  #sorted = false;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
    this.#sorted = false;
  }

  get count(): number {
    return this.#count;
  }

  /** The value that this share (0 to 1) of all values does not exceed; NaN when there is none. */
  percentile(share: number): number {
    if (this.#count === 0) return Number.NaN;
    if (!this.#sorted) {
      this.#values.subarray(0, this.#count).sort();
      this.#sorted = true;
    }
    return this.#values[Math.min(this.#count - 1, Math.max(0, Math.ceil(share * this.#count) - 1))] ?? Number.NaN;
  }

  /** In the unit of the values; null where there were none, so that it survives JSON. */
  spread(): Spread | null {
    if (this.#count === 0) return null;
    return {
      count: this.#count,
      p50: round(this.percentile(0.5)),
      p90: round(this.percentile(0.9)),
      p99: round(this.percentile(0.99)),
      max: round(this.percentile(1)),
    };
  }
}

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Three digits after the point are more than any of these measurements can tell. */
export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** A random source that repeats itself for the same seed (mulberry32), so that a run can be repeated. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
