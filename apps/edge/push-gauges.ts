/** What each push service is doing at the moment, as gauges (push-providers 8.7); asked before every scrape. */
import type { ServiceLoad } from '../../lib/delivery/renewal.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel } from '../../lib/telemetry/metrics.ts';

export interface MeasuredGroup {
  readonly provider: string;
  readonly service: { load?(): ServiceLoad };
}

/** `now`: ms since the epoch */
export function measureServices(groups: readonly MeasuredGroup[], telemetry: Telemetry, now: number): void {
  for (const { provider, service } of groups) {
    const load = service.load?.();
    if (load === undefined) continue;
    const label = providerLabel(provider);
    if (load.sessions !== undefined) telemetry.gauge('pushSessions', load.sessions, { provider: label });
    telemetry.gauge('pushStreams', load.streams, { provider: label });
    telemetry.gauge('pushQueue', load.waiting, { provider: label });
    for (const { app, madeAt, endsAt } of load.tokens) {
      telemetry.gauge('pushTokenAge', Math.max(0, now - madeAt) / 1000, { provider: label, app });
      if (endsAt !== undefined) telemetry.gauge('pushTokenLeft', (endsAt - now) / 1000, { provider: label, app });
    }
  }
}
