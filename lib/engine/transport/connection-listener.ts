/**
 * What the listeners for connections share: the table of connections by peer, the deadline of handshakes, and who was here and
 * has gone. Subclasses make connections out of sockets.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { ListenAt, TransportName } from '../options.ts';
import type { Admission } from './admission.ts';
import type { Connection, Surroundings } from './connection.ts';
import { type Listener, plainAddress } from './flow.ts';
import type { Told } from './told.ts';

/** Peers whose connection has closed, kept by each listener so that nobody knocks at a door that was never there. */
const rememberedPeers = 50_000;

export abstract class ConnectionListener implements Listener {
  readonly transport: TransportName;
  readonly reliable = true;
  readonly address: string;
  protected readonly around: Surroundings;
  protected readonly admission: Admission;
  readonly #told: Told;
  #port = 0;
  #server: Server | undefined;
  /** by `address port` of the peer, and the name its certificate was checked for */
  readonly #connections = new Map<string, Connection>();
  /** in the handshake, with the time it was accepted */
  readonly #arriving = new Map<string, { readonly socket: Socket; readonly since: number }>();
  readonly #gone = new Set<string>();
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(at: ListenAt, told: Told, around: Surroundings, admission: Admission) {
    this.transport = at.transport;
    this.address = at.address;
    this.#told = told;
    this.around = around;
    this.admission = admission;
  }

  get port(): number {
    return this.#port;
  }

  get host(): string {
    return this.#told.host;
  }

  hostTowards(remoteAddress: string): string {
    return this.#told.towards(remoteAddress);
  }

  get toldPort(): number {
    return this.#told.port ?? this.#port;
  }

  /** The open connection to this peer, if there is one; with a name, only one whose certificate was checked for that. */
  connectionTo(address: string, port: number, name?: string): Connection | undefined {
    const connection =
      this.#connections.get(`${address} ${port} ${name ?? ''}`) ??
      (name === undefined ? this.#connections.get(`${address} ${port} ${address}`) : undefined);
    return connection?.open === true ? connection : undefined;
  }

  /** True when this peer had connected to us from there and has gone: a client's own port, where nobody listens. */
  wasHere(address: string, port: number): boolean {
    return port !== 5060 && port !== 5061 && this.#gone.has(`${address} ${port}`);
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const { socket } of this.#arriving.values()) socket.destroy();
    for (const connection of this.#connections.values()) connection.destroy();
    const server = this.#server;
    return server === undefined ? Promise.resolve() : new Promise((resolve) => server.close(() => resolve()));
  }

  /** A socket that was let in. */
  protected abstract accept(socket: Socket): void;

  protected listen(at: ListenAt): Promise<void> {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      if (this.admission.admit(socket)) this.accept(socket);
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: at.address, port: at.port, exclusive: true, backlog: 4096 }, () => {
        server.off('error', reject);
        // out of file descriptors and the like: the listener stays, the one connection is lost
        server.on('error', () => {});
        const bound = server.address();
        this.#port = typeof bound === 'object' && bound !== null ? bound.port : at.port;
        this.#server = server;
        resolve();
      });
    });
  }

  /** A socket whose handshake has begun; `arrived` must follow in time. */
  protected awaitHandshake(socket: Socket): void {
    const key = keyOf(socket);
    const entry = { socket, since: performance.now() };
    this.#arriving.set(key, entry);
    socket.once('close', () => {
      if (this.#arriving.get(key) === entry) this.#arriving.delete(key);
    });
    this.#watchTime();
  }

  /** The handshake of this socket, or of the one under it, is over. */
  protected arrived(socket: Socket): void {
    this.#arriving.delete(keyOf(socket));
  }

  /** Puts a connection into the table until `socket` closes. */
  protected keep(connection: Connection, socket: Socket): void {
    const { remoteAddress, remotePort, verifiedFor } = connection;
    const place = `${remoteAddress} ${remotePort}`;
    const key = `${place} ${verifiedFor ?? ''}`;
    this.#connections.get(key)?.destroy();
    this.#connections.set(key, connection);
    this.#gone.delete(place);
    socket.once('close', () => {
      if (this.#connections.get(key) !== connection) return;
      this.#connections.delete(key);
      if (connection.spoke && verifiedFor === undefined) this.#remember(place);
    });
    this.#watchTime();
  }

  /** Where a client of ours may be bound; undefined: anywhere. */
  protected get localAddress(): string | undefined {
    return this.address === '0.0.0.0' || this.address === '::' ? undefined : this.address;
  }

  #remember(key: string): void {
    this.#gone.add(key);
    if (this.#gone.size <= rememberedPeers) return;
    for (const oldest of this.#gone) {
      this.#gone.delete(oldest);
      break;
    }
  }

  /** One timer for all; it runs while there is anything to look at. */
  #watchTime(): void {
    const { limits, webSocket } = this.around;
    const { halfMessageMs, idleMs, firstMessageMs, handshakeMs } = limits;
    const shortest = Math.min(halfMessageMs, idleMs, firstMessageMs, handshakeMs, webSocket.pingMs || idleMs);
    this.#sweep ??= setInterval(
      () => {
        const now = performance.now();
        for (const { socket, since } of this.#arriving.values()) {
          if (now - since <= handshakeMs) continue;
          this.around.counters.handshakesLate++;
          socket.destroy();
        }
        for (const connection of this.#connections.values()) connection.look(now);
        if (this.#arriving.size > 0 || this.#connections.size > 0) return;
        clearInterval(this.#sweep);
        this.#sweep = undefined;
      },
      Math.max(20, shortest / 4),
    );
  }
}

/** The two ends of a TLS socket have the same addresses, so this finds one by the other. */
function keyOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${plainAddress(remoteAddress)} ${remotePort}`;
}
