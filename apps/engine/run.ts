/** Wires the engine with /metrics and takes it down again: first no new calls, then none. */
import { setTimeout as pause } from 'node:timers/promises';
import { startAdmin } from '../../lib/adapters/http/admin.ts';
import { followEngine } from '../../lib/adapters/prometheus/follow-engine.ts';
import { createPrometheus } from '../../lib/adapters/prometheus/registry.ts';
import type { EngineProcessConfig } from '../../lib/config/engine-config.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import { EdgeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/ports/log.ts';

/** How often a draining engine looks whether it is idle. */
const lookMs = 50;
/** Room for the BYEs of the last calls to be answered. */
const farewellMs = 1000;

export interface RunningEngine {
  readonly controlPort: number;
  readonly httpPort: number;
  /** New calls get 503; what is open goes on for at most shutdown.call_seconds, then it is ended; then everything is closed. */
  stop(): Promise<void>;
}

/** Rejects with EDGE_ENGINE_UNAVAILABLE naming the port that could not be opened. */
export async function runEngine(config: EngineProcessConfig, log: Log): Promise<RunningEngine> {
  const { sip, control, limits, timers } = config;
  const { externalAddress, listen } = sip;
  const engine = await startEngine({
    listen,
    control,
    limits,
    timers,
    // edges name the flow with every request, and the cache would beat it for two phones of one address (drachtio-protocol C.3)
    registrationCache: false,
    ...(externalAddress === undefined ? {} : { externalAddress }),
  }).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new EdgeError('EDGE_ENGINE_UNAVAILABLE', `the SIP engine did not start: ${why}`, error);
  });
  let draining = false;
  const prometheus = createPrometheus({ processMetrics: true, only: ['engineEvents', 'engineObjects'] });
  const followed = followEngine(prometheus.telemetry);
  prometheus.onScrape(() => followed(engine.counters()));
  const admin = await startAdmin({
    listen: config.http.listen,
    registry: prometheus,
    ready: () => Promise.resolve(draining ? { ok: false, why: 'stopping' } : { ok: true }),
  }).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });
  const local = engine.listeners.map(({ transport, address, port }) => `${transport}/${address}:${port}`).join(' ');
  log.info({ local, remote: `${control.host}:${engine.controlPort}` }, 'SIP engine is up: edges connect to remote');
  if (engine.controlTlsPort !== undefined)
    log.info({ remote: `${control.host}:${engine.controlTlsPort}` }, 'edges connect over TLS to remote');
  return {
    controlPort: engine.controlPort,
    httpPort: admin.port,
    stop: async () => {
      draining = true;
      engine.drain();
      log.info({ count: engine.busy, seconds: config.shutdown.callSeconds }, 'stopping: no new calls');
      await untilIdle(() => engine.busy === 0, config.shutdown.callSeconds * 1000);
      if (engine.busy > 0) {
        log.info({ count: engine.busy }, 'ending what is left');
        engine.hangUp();
        await untilIdle(() => engine.counters().clientTransactions === 0, farewellMs);
      }
      await Promise.all([engine.close(), admin.close()]);
      log.info({}, 'stopped');
    },
  };
}

async function untilIdle(isIdle: () => boolean, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  while (!isIdle() && performance.now() < deadline) await pause(lookMs);
}
