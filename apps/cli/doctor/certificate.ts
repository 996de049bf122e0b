/** Certificates as they are shown on a connection or stand in a file. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, connect } from 'node:tls';
import type { SeenCertificate } from '../../../lib/doctor/judge-local.ts';
import { within } from './agent.ts';

/** `ca`: PEM certificates to trust instead of those Node knows. Rejects when there is no TLS connection. */
export async function shownCertificate(
  at: { readonly address: string; readonly port: number; readonly name: string },
  ca: string | undefined,
  withinMs: number,
): Promise<SeenCertificate> {
  const socket = connect({
    host: at.address,
    port: at.port,
    rejectUnauthorized: false,
    ...(isIP(at.name) === 0 ? { servername: at.name } : {}),
    ...(ca === undefined ? {} : { ca }),
  });
  try {
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).once('error', reject);
      }),
      withinMs,
      'no TLS handshake in time',
    );
    const shown = socket.getPeerCertificate();
    const wrongName = checkServerIdentity(at.name, shown);
    // the name is told by us, so that every reason is told once
    const { authorizationError: why } = socket as { readonly authorizationError: Error | string | null };
    const code = typeof why === 'string' ? why : (why as NodeJS.ErrnoException | null)?.code;
    return {
      names: shown.subjectaltname ?? String(shown.subject?.CN ?? 'nobody'),
      from: Date.parse(shown.valid_from),
      until: Date.parse(shown.valid_to),
      otherName: wrongName === undefined ? undefined : `a certificate for ${at.name}`,
      untrusted: code === undefined || code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? undefined : `not trusted: ${code}`,
    };
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

/** The first certificate of a PEM text, which should be for `name` when there is one. */
export function certificateIn(pem: string, name: string | undefined): SeenCertificate {
  const found = new X509Certificate(pem);
  const fits = name === undefined || (isIP(name) === 0 ? found.checkHost(name) : found.checkIP(name)) !== undefined;
  return {
    names: found.subjectAltName ?? found.subject,
    from: Date.parse(found.validFrom),
    until: Date.parse(found.validTo),
    otherName: fits ? undefined : `a certificate for ${name}`,
    untrusted: undefined,
  };
}
