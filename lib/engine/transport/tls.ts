/** TLS listener and connections (RFC 3261 26.2, RFC 5922): as TCP, with a handshake before the first octet of SIP. */
import { isIP, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { ListenAt } from '../options.ts';
import type { Admission } from './admission.ts';
import type { Surroundings } from './connection.ts';
import { ConnectionListener } from './connection-listener.ts';
import { type Flow, plainAddress } from './flow.ts';
import { StreamConnection } from './stream-connection.ts';
import { type TlsContexts, wrongName } from './tls-contexts.ts';
import { TlsHandshakes } from './tls-handshakes.ts';
import type { Told } from './told.ts';

export class TlsListener extends ConnectionListener {
  readonly #contexts: TlsContexts;
  readonly #handshakes: TlsHandshakes;

  private constructor(at: ListenAt, told: Told, around: Surroundings, admission: Admission, contexts: TlsContexts) {
    super(at, told, around, admission);
    this.#contexts = contexts;
    this.#handshakes = new TlsHandshakes(contexts, around.counters, (socket) => this.#secured(socket));
  }

  static async open(
    at: ListenAt,
    told: Told,
    around: Surroundings,
    admission: Admission,
    contexts: TlsContexts,
  ): Promise<TlsListener> {
    const listener = new TlsListener(at, told, around, admission, contexts);
    await listener.listen(at);
    return listener;
  }

  /** Connects; messages wait until the peer has proved to be `name` (its address when absent). A peer that cannot is a lost flow. */
  connect(address: string, port: number, name = address): Flow {
    const { counters, limits } = this.around;
    const { localAddress } = this;
    const socket = connect({
      host: address,
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(isIP(name) === 0 ? { servername: name } : {}),
      secureContext: this.#contexts.client,
      checkServerIdentity: (_host, certificate) => wrongName(name, certificate),
    });
    socket.setNoDelay(true);
    this.admission.note(socket);
    const connection = new StreamConnection(this, socket, { address, port, name }, this.around, true);
    this.keep(connection, socket);
    const late = setTimeout(() => connection.destroy(), limits.connectMs);
    socket.once('secureConnect', () => {
      clearTimeout(late);
      socket.setKeepAlive(true, 60_000);
      connection.ready();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (isAboutTrust(error.code ?? '')) counters.certificatesRefused++;
    });
    socket.once('close', () => clearTimeout(late));
    return connection;
  }

  protected override accept(socket: Socket): void {
    this.awaitHandshake(socket);
    this.#handshakes.take(socket);
  }

  #secured(socket: TLSSocket): void {
    const { remoteAddress, remotePort: port } = socket;
    if (remoteAddress === undefined || port === undefined) {
      socket.destroy();
      return;
    }
    this.arrived(socket);
    const connection = new StreamConnection(this, socket, { address: plainAddress(remoteAddress), port }, this.around);
    this.keep(connection, socket);
  }
}

/** Codes of Node and OpenSSL for a certificate that does not convince: a wrong name, an unknown issuer, a wrong time. */
function isAboutTrust(code: string): boolean {
  return /CERT|UNABLE_TO|SELF_SIGNED|ISSUER|ERR_TLS_CERT|CRL|HOSTNAME/.test(code);
}
