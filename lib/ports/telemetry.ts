/** Counting and timing as the use-cases see it. Names and labels come from telemetry/metrics.ts; a wrong one does not compile. */
import type { CounterKey, GaugeKey, HistogramKey, LabelArguments } from '../telemetry/metrics.ts';

/** One series, bound once and kept: adding to it allocates nothing. */
export interface BoundCounter {
  add(by?: number): void;
}
export interface BoundGauge {
  set(value: number): void;
  add(by: number): void;
}
export interface BoundHistogram {
  /** in seconds */
  observe(seconds: number): void;
}

/** None of these throws, whatever number it is given. */
export interface Telemetry {
  /** Adds one. On the path of every message keep a bound series instead. */
  count<K extends CounterKey>(metric: K, ...labels: LabelArguments<K>): void;
  /** Records a time in seconds. */
  observe<K extends HistogramKey>(metric: K, seconds: number, ...labels: LabelArguments<K>): void;
  /** Sets a gauge. */
  gauge<K extends GaugeKey>(metric: K, value: number, ...labels: LabelArguments<K>): void;

  counter<K extends CounterKey>(metric: K, ...labels: LabelArguments<K>): BoundCounter;
  histogram<K extends HistogramKey>(metric: K, ...labels: LabelArguments<K>): BoundHistogram;
  gaugeOf<K extends GaugeKey>(metric: K, ...labels: LabelArguments<K>): BoundGauge;
}
