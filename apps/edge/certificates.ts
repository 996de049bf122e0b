/** Keeps the certificates of the embedded engine up to date, and tells the operator how that went. */
import { endOfCertificate, followCertificates, type Follower, type TlsTexts } from '../../lib/config/certificates.ts';
import { type SipConfig, tlsMaterial } from '../../lib/config/engine-options.ts';
import type { EngineHandle } from '../../lib/engine/spawn.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';

/** A certificate that ends this soon deserves a line in the log. */
const soonSeconds = 14 * 86_400;

export function openCertificates(
  { tls }: SipConfig,
  engine: EngineHandle,
  now: () => number,
  { log, telemetry }: { readonly log: Log; readonly telemetry: Telemetry },
): Follower {
  const noteEnd = ({ cert }: TlsTexts): void => {
    const end = cert === undefined ? 0 : endOfCertificate(cert);
    telemetry.gauge('certificateExpires', end);
    const seconds = end - Math.floor(now() / 1000);
    if (cert !== undefined && seconds < soonSeconds)
      log.warn({ seconds }, 'the certificate of the edge ends soon or has ended');
  };
  noteEnd(tls.texts);
  return followCertificates({
    paths: tls.paths,
    texts: tls.texts,
    apply: (texts) => engine.useTls(tlsMaterial(texts, tls.minVersion)),
    told: (result, texts, reason) => {
      telemetry.count('certificateReloads', { result });
      if (result === 'accepted') {
        log.info({}, 'certificates read again');
        noteEnd(texts);
      } else log.error({ reason }, 'the new certificates are wrong; the old ones stay in use');
    },
  });
}
