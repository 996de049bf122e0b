/** The metric catalogue on prom-client: binds every series once, exposes them as text. Owns its registry; nothing is global. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { BoundCounter, BoundGauge, BoundHistogram, Telemetry } from '../../ports/telemetry.ts';
import { metrics, type MetricKey } from '../../telemetry/metrics.ts';

export interface Prometheus {
  readonly telemetry: Telemetry;
  /** Runs before each scrape, for what is cheaper to ask than to follow (oldest hold, bindings by state). A failure only leaves old values. */
  onScrape(read: (telemetry: Telemetry) => void | Promise<void>): void;
  /** Everything in the text format of Prometheus. */
  expose(): Promise<{ readonly contentType: string; readonly body: string }>;
}

export interface PrometheusOptions {
  /** also CPU, memory, event loop and garbage collection of this process */
  readonly processMetrics: boolean;
  /** the metrics of the catalogue this process has; all when left out. The others must not be used. */
  readonly only?: readonly MetricKey[];
}

type Values = Readonly<Record<string, string>>;
type AnyMetric = Counter | Gauge | Histogram;

export function createPrometheus({ processMetrics, only }: PrometheusOptions = { processMetrics: true }): Prometheus {
  const own = Object.entries(metrics).filter(([key]) => only === undefined || only.includes(key as MetricKey));
  const registry = new Registry();
  if (processMetrics) collectDefaultMetrics({ register: registry });

  const made = new Map<MetricKey, AnyMetric>();
  for (const [key, spec] of own) {
    const common = { name: spec.name, help: spec.help, labelNames: Object.keys(spec.labels), registers: [registry] };
    const metric =
      spec.type === 'counter'
        ? new Counter(common)
        : spec.type === 'gauge'
          ? new Gauge(common)
          : new Histogram({ ...common, buckets: [...spec.buckets] });
    made.set(key as MetricKey, metric);
  }

  const telemetry = bind(made);
  // a series that exists from the start can be alerted on before its first event
  for (const [key, spec] of own)
    if (spec.type === 'counter') for (const values of combinations(spec.labels)) start(made, key, values);

  const readers: ((telemetry: Telemetry) => void | Promise<void>)[] = [];
  return {
    telemetry,
    onScrape: (read) => void readers.push(read),
    expose: async () => {
      await Promise.allSettled(readers.map(async (read) => read(telemetry)));
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

function bind(made: ReadonlyMap<MetricKey, AnyMetric>): Telemetry {
  // the catalogue's types guarantee kind and labels, so the casts below cannot be reached with a wrong metric
  const counter = (key: MetricKey, labels: Values = {}): BoundCounter => {
    const child = (made.get(key) as Counter).labels(labels);
    return { add: (by = 1) => (by > 0 && Number.isFinite(by) ? child.inc(by) : undefined) };
  };
  const histogram = (key: MetricKey, labels: Values = {}): BoundHistogram => {
    const metric = made.get(key) as Histogram;
    const child = Object.keys(labels).length === 0 ? metric : metric.labels(labels);
    return { observe: (seconds) => (Number.isFinite(seconds) ? child.observe(Math.max(0, seconds)) : undefined) };
  };
  const gauge = (key: MetricKey, labels: Values = {}): BoundGauge => {
    const child = (made.get(key) as Gauge).labels(labels);
    return {
      set: (value) => (Number.isFinite(value) ? child.set(value) : undefined),
      add: (by) => (Number.isFinite(by) ? child.inc(by) : undefined),
    };
  };
  const kept = new Map<string, unknown>();
  const keep = <T>(key: MetricKey, labels: Values | undefined, make: (key: MetricKey, labels?: Values) => T): T => {
    let name: string = key;
    if (labels !== undefined) for (const label in metrics[key].labels) name += ` ${labels[label]}`;
    let series = kept.get(name) as T | undefined;
    if (series === undefined) kept.set(name, (series = make(key, labels)));
    return series;
  };
  return {
    count: (key, ...labels) => keep(key, labels[0], counter).add(),
    observe: (key, seconds, ...labels) => keep(key, labels[0], histogram).observe(seconds),
    gauge: (key, value, ...labels) => keep(key, labels[0], gauge).set(value),
    counter: (key, ...labels) => counter(key, labels[0]),
    histogram: (key, ...labels) => histogram(key, labels[0]),
    gaugeOf: (key, ...labels) => gauge(key, labels[0]),
  };
}

function start(made: ReadonlyMap<MetricKey, AnyMetric>, key: string, values: Values): void {
  (made.get(key as MetricKey) as Counter).labels(values).inc(0);
}

function combinations(labels: Readonly<Record<string, readonly string[]>>): Values[] {
  return Object.entries(labels).reduce<Values[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}
