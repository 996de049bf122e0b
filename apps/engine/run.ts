/** Wires the engine with /metrics and takes it down again: first no new calls, then none. */
import { setTimeout as pause } from 'node:timers/promises';
import { startAdmin } from '../../lib/adapters/http/admin.ts';
import { followEngine } from '../../lib/adapters/prometheus/follow-engine.ts';
import { createPrometheus } from '../../lib/adapters/prometheus/registry.ts';
import { followCertificates, type Follower, type TlsTexts } from '../../lib/config/certificates.ts';
import type { EngineProcessConfig } from '../../lib/config/engine-config.ts';
import { engineOptions, type TlsFiles, tlsMaterial } from '../../lib/config/engine-options.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { ControlAt } from '../../lib/engine/options.ts';
import { EdgeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/ports/log.ts';

/** How often a draining engine looks whether it is idle. */
const lookMs = 50;
/** Room for the BYEs of the last calls to be answered. */
const farewellMs = 1000;

export interface RunningEngine {
  readonly controlPort: number;
  readonly httpPort: number;
  /** Reads the certificates again. Never rejects. */
  reload(): Promise<void>;
  /** New calls get 503; what is open goes on for at most shutdown.call_seconds, then it is ended; then everything is closed. */
  stop(): Promise<void>;
}

/** Rejects with EDGE_ENGINE_UNAVAILABLE naming the port that could not be opened. */
export async function runEngine(config: EngineProcessConfig, log: Log): Promise<RunningEngine> {
  const { sip, control, appLimits } = config;
  const shared = engineOptions(sip, config.engine);
  const engine = await startEngine({
    ...shared,
    limits: { ...shared.limits, ...appLimits },
    control: controlAt(control),
    // edges name the flow with every request, and the cache would beat it for two phones of one address (drachtio-protocol C.3)
    registrationCache: false,
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
  const certificates = followBoth(config, engine, log);
  const local = engine.listeners.map(({ transport, address, port }) => `${transport}/${address}:${port}`).join(' ');
  log.info({ local, remote: `${control.host}:${engine.controlPort}` }, 'SIP engine is up: edges connect to remote');
  if (engine.controlTlsPort !== undefined)
    log.info({ remote: `${control.host}:${engine.controlTlsPort}` }, 'edges connect over TLS to remote');
  return {
    controlPort: engine.controlPort,
    httpPort: admin.port,
    reload: async () => {
      await Promise.all(certificates.map((one) => one.reload()));
    },
    stop: async () => {
      for (const one of certificates) one.stop();
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

function controlAt({ host, port, secret, tls }: EngineProcessConfig['control']): ControlAt {
  const { cert, key } = tls?.files.texts ?? {};
  return {
    host,
    port,
    secret: secret.reveal(),
    ...(tls === undefined || cert === undefined || key === undefined
      ? {}
      : { tls: { port: tls.port, cert, key: key.reveal() } }),
  };
}

/** The certificates of SIP and those of the control port, which may be the same files. */
function followBoth({ sip, control }: EngineProcessConfig, engine: Engine, log: Log): readonly Follower[] {
  const follow = (kind: string, { paths, texts }: TlsFiles, apply: (texts: TlsTexts) => void): Follower =>
    followCertificates({
      paths,
      texts,
      apply,
      told: (outcome, _texts, reason) => {
        if (outcome === 'accepted') log.info({ kind }, 'certificates read again');
        else log.error({ kind, reason }, 'the new certificates are wrong; the old ones stay in use');
      },
    });
  return [
    follow('sip', sip.tls, (texts) => engine.useTls(tlsMaterial(texts, sip.tls.minVersion))),
    ...(control.tls === undefined
      ? []
      : [
          follow('control', control.tls.files, ({ cert, key }) => {
            if (cert !== undefined && key !== undefined) engine.useControlTls(cert, key.reveal());
          }),
        ]),
  ];
}

async function untilIdle(isIdle: () => boolean, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  while (!isIdle() && performance.now() < deadline) await pause(lookMs);
}
