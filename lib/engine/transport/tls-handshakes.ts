/** TLS on sockets that were let in: who does not bring a handshake to its end is closed and counted, and harms nobody. */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Counters } from '../counters.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** The listener watches the time; this only keeps Node from a clock of its own for each socket that would be shorter. */
const never = 2 ** 31 - 1;

export class TlsHandshakes {
  /** listens nowhere: it is handed its sockets */
  readonly #server: Server;

  constructor(contexts: TlsContexts, counters: Counters, secured: (socket: TLSSocket) => void) {
    const ours = contexts.forListener((renewed) => this.#server.setSecureContext(renewed));
    this.#server = createServer({ ...ours, handshakeTimeout: never }, secured);
    this.#server.on('tlsClientError', (_error, socket) => {
      counters.handshakesFailed++;
      socket.destroy();
    });
  }

  take(socket: Socket): void {
    this.#server.emit('connection', socket);
  }
}
