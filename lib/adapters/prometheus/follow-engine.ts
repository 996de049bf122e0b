/** Turns the running totals the embedded engine reports from its thread into metrics. */
import type { BoundCounter, BoundGauge, Telemetry } from '../../ports/telemetry.ts';
import { metrics, type LabelValue } from '../../telemetry/metrics.ts';

type EngineEvent = LabelValue<'engineEvents', 'event'>;
type EngineObject = LabelValue<'engineObjects', 'kind'>;

/** Totals since the engine started, and how many there are now; other numbers are ignored. */
export type EngineReport = Readonly<Record<EngineEvent | EngineObject, number>>;

/** Call the result with each report. Totals that went back belong to a new engine and count from zero. */
export function followEngine(telemetry: Telemetry): (report: EngineReport) => void {
  const events = metrics.engineEvents.labels.event.map((event) => {
    return { event, seen: 0, counter: telemetry.counter('engineEvents', { event }) as BoundCounter };
  });
  const objects = metrics.engineObjects.labels.kind.map((kind) => {
    return { kind, gauge: telemetry.gaugeOf('engineObjects', { kind }) as BoundGauge };
  });
  return (report) => {
    for (const one of events) {
      const total = report[one.event];
      one.counter.add(total >= one.seen ? total - one.seen : total);
      one.seen = total;
    }
    for (const { kind, gauge } of objects) gauge.set(report[kind]);
  };
}
