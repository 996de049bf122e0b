/** A Telemetry that remembers, for tests: `recorder.counted('pushes', {provider: 'apns', outcome: 'accepted'})`. */
import type { BoundCounter, BoundGauge, BoundHistogram, Telemetry } from '../../lib/ports/telemetry.ts';
import {
  metrics,
  type CounterKey,
  type GaugeKey,
  type HistogramKey,
  type LabelArguments,
  type MetricKey,
} from '../../lib/telemetry/metrics.ts';

type Values = Readonly<Record<string, string>> | undefined;

export class TelemetryRecorder implements Telemetry {
  readonly #counts = new Map<string, number>();
  readonly #levels = new Map<string, number>();
  readonly #times = new Map<string, number[]>();

  count<K extends CounterKey>(metric: K, ...labels: LabelArguments<K>): void {
    this.counter(metric, ...labels).add();
  }

  observe<K extends HistogramKey>(metric: K, seconds: number, ...labels: LabelArguments<K>): void {
    this.histogram(metric, ...labels).observe(seconds);
  }

  gauge<K extends GaugeKey>(metric: K, value: number, ...labels: LabelArguments<K>): void {
    this.gaugeOf(metric, ...labels).set(value);
  }

  counter<K extends CounterKey>(metric: K, ...labels: LabelArguments<K>): BoundCounter {
    const series = name(metric, labels[0]);
    return { add: (by = 1) => void this.#counts.set(series, (this.#counts.get(series) ?? 0) + by) };
  }

  histogram<K extends HistogramKey>(metric: K, ...labels: LabelArguments<K>): BoundHistogram {
    const series = name(metric, labels[0]);
    return { observe: (seconds) => void this.#times.set(series, [...(this.#times.get(series) ?? []), seconds]) };
  }

  gaugeOf<K extends GaugeKey>(metric: K, ...labels: LabelArguments<K>): BoundGauge {
    const series = name(metric, labels[0]);
    return {
      set: (value) => void this.#levels.set(series, value),
      add: (by) => void this.#levels.set(series, (this.#levels.get(series) ?? 0) + by),
    };
  }

  /** How often it was counted. */
  counted<K extends CounterKey>(metric: K, ...labels: LabelArguments<K>): number {
    return this.#counts.get(name(metric, labels[0])) ?? 0;
  }

  /** The last level; undefined when it was never set. */
  level<K extends GaugeKey>(metric: K, ...labels: LabelArguments<K>): number | undefined {
    return this.#levels.get(name(metric, labels[0]));
  }

  /** The times in seconds, in order. */
  observed<K extends HistogramKey>(metric: K, ...labels: LabelArguments<K>): readonly number[] {
    return this.#times.get(name(metric, labels[0])) ?? [];
  }
}

/** Also refuses, at run time, labels that came through a cast. */
function name(metric: MetricKey, labels: Values): string {
  const known: Readonly<Record<string, readonly string[]>> = metrics[metric].labels;
  const given = labels ?? {};
  const parts = Object.keys(known).map((label) => {
    const value = given[label];
    // an empty list: names in the config
    if (value === undefined || (known[label]?.length !== 0 && known[label]?.includes(value) !== true))
      throw new Error(`${metric}: ${label} cannot be ${value}`);
    return `${label}=${value}`;
  });
  return `${metric}{${parts.join()}}`;
}
