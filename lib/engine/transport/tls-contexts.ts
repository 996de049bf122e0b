/** The certificates in use now: what listeners show, and what peers we connect to are checked against (RFC 5922 7). */
import {
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import type { TlsMaterial } from '../options.ts';

export class TlsContexts {
  #ours: SecureContextOptions | undefined;
  #client: SecureContext | undefined;
  #material: TlsMaterial;
  readonly #users: ((ours: SecureContextOptions) => void)[] = [];

  /** Throws when the certificates cannot be used; the message says which part, and never what is in it. */
  constructor(material: TlsMaterial = {}) {
    this.#material = material;
    this.use(material);
  }

  /** New certificates for connections made from now on; those that stand go on. Throws, and keeps the old, when they are no good. */
  use(material: TlsMaterial): void {
    const { cert, key, ca } = material;
    const minVersion = material.minVersion ?? 'TLSv1.2';
    const ours = cert === undefined || key === undefined ? undefined : { cert, key, minVersion };
    if (ours !== undefined) checked('certificate and key', () => createSecureContext(ours));
    else if (this.#users.length > 0) throw new Error('a certificate and its key are needed for TLS and WSS');
    if (ca !== undefined) checked('CA certificates', () => createSecureContext({ ca }));
    this.#material = material;
    this.#ours = ours;
    this.#client = undefined;
    if (ours !== undefined) for (const user of this.#users) user(ours);
  }

  /** Ours, for a listener; `renewed` is called whenever they change. Throws when there are none. */
  forListener(renewed: (ours: SecureContextOptions) => void): SecureContextOptions {
    if (this.#ours === undefined) throw new Error('a certificate and its key are needed for TLS and WSS');
    this.#users.push(renewed);
    return this.#ours;
  }

  /** For connections of ours; we show our certificate to peers that ask for one. Made once, because reading the roots is slow. */
  get client(): SecureContext {
    const { ca } = this.#material;
    const minVersion = this.#material.minVersion ?? 'TLSv1.2';
    this.#client ??= createSecureContext({ minVersion, ...this.#ours, ...(ca === undefined ? {} : { ca }) });
    return this.#client;
  }
}

function checked(what: string, make: () => unknown): void {
  try {
    make();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    // no cause: what OpenSSL says of a key is not for a log
    throw new Error(`the ${what} cannot be used (${code})`);
  }
}

/** A peer is the host we meant, by name or address, or has the SIP domain as a URI in its certificate (RFC 5922 7.1). */
export function wrongName(name: string, certificate: PeerCertificate): Error | undefined {
  const wrong = checkServerIdentity(name, certificate);
  if (wrong === undefined) return undefined;
  const wanted = `uri:sip:${name.toLowerCase()}`;
  const names = (certificate.subjectaltname ?? '').toLowerCase().split(/,\s*/);
  return names.includes(wanted) ? undefined : wrong;
}
