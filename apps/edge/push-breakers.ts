/** What operators hear when a push service is given up for a while: a gauge that stays up, a counter, and a line that is an error. */
import type { PoolEvents } from '../../lib/delivery/session-pool.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel } from '../../lib/telemetry/metrics.ts';

const sentences = {
  transport: 'push service given up for a while: pushes to it fail at once',
  credentials: 'push service does not accept our credentials: pushes to it fail at once, one in 30 s tries again',
} as const;

/** `provider`: for the label. The returned hook is called by every pool of the provider. */
export function watchBreakers(provider: string, log: Log, telemetry: Telemetry): NonNullable<PoolEvents['breaker']> {
  const open = { transport: new Set<string>(), credentials: new Set<string>() };
  const label = providerLabel(provider);
  return (endpoint, kind, isOpen, reason) => {
    if (isOpen) {
      open[kind].add(endpoint);
      telemetry.count('pushBreakersOpened', { provider: label, kind });
      log.error({ provider, kind, remote: endpoint, reason }, sentences[kind]);
    } else {
      open[kind].delete(endpoint);
      log.info({ provider, kind, remote: endpoint }, 'push service is asked again');
    }
    telemetry.gauge('pushBreakers', open[kind].size, { provider: label, kind });
  };
}
