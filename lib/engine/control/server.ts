/**
 * The control ports: drachtio-srf connects here (drachtio-protocol A, D), over TCP, TLS or a Unix socket. Lets connections in,
 * few at a time before they have shown the secret, and watches over those that are in. Apps of this thread need no port.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Counters } from '../counters.ts';
import type { ControlAt, Limits } from '../options.ts';
import { Commands, type CommandParts } from './commands.ts';
import { Door } from './door.ts';
import type { AppSocket } from './app-socket.ts';
import { MemorySocket } from './memory-socket.ts';
import { digest, Session, type SessionParts } from './session.ts';

/** In place of the address of an app, where it has none. */
const inMemory = 'memory';
/** Connections that have not shown the secret. */
const atDoor = { perAddress: 16, inAll: 128 };

/** TLS 1.2, because Node gives a pre-shared key to no other version. */
const pskOnly = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:PSK-AES256-GCM-SHA384',
} as const;

export interface ControlOptions extends CommandParts {
  readonly at: ControlAt;
  readonly limits: Limits;
  readonly counters: Counters;
}

export class ControlServer {
  readonly #options: ControlOptions;
  readonly #servers: Server[] = [];
  readonly #sessions = new Set<Session>();
  readonly #door = new Door(atDoor);
  readonly #parts: SessionParts;
  readonly #ports: number[] = [];
  #remotePort: number | undefined;
  readonly #watch: NodeJS.Timeout;
  #secure: TlsServer | undefined;
  #closed = false;

  private constructor(options: ControlOptions) {
    this.#options = options;
    const { limits, counters, at } = options;
    this.#parts = {
      secret: digest(at.secret),
      limits,
      counters,
      door: this.#door,
      commands: new Commands(options),
      hasRoom: () => counters.apps < limits.apps,
    };
    const everyMs = Math.max(20, Math.min(1000, limits.halfMessageMs / 2, limits.appStallMs / 2));
    this.#watch = setInterval(() => {
      const now = performance.now();
      for (const session of this.#sessions) session.check(now);
    }, everyMs).unref();
  }

  static async open(options: ControlOptions): Promise<ControlServer> {
    const control = new ControlServer(options);
    const { at } = options;
    // a Nagle delay would be felt by every call; an app whose host vanished is noticed
    const common = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 45_000 };
    const host = at.host ?? '127.0.0.1';
    try {
      if (at.remote !== undefined) await control.#listenRemote(at.remote, common);
      if (at.port === undefined) return control;
      const plain = createServer(common, (socket) => control.#accept(socket, socket.remoteAddress ?? ''));
      await control.#listen(plain, at.path === undefined ? { host, port: at.port } : { path: at.path });
      if (at.tls !== undefined) {
        const { cert, key, port } = at.tls;
        const secure = createTlsServer({ ...common, cert, key, minVersion: 'TLSv1.2', handshakeTimeout: 5000 });
        control.#acceptSecure(secure);
        control.#secure = secure;
        await control.#listen(secure, { host, port });
      }
    } catch (error) {
      await control.close();
      throw error;
    }
    return control;
  }

  /** A connection of an app in this thread; what it says and hears is what others do over a port. */
  connect(): MemorySocket {
    if (this.#closed) return MemorySocket.refused();
    const [app, engine] = MemorySocket.pair();
    this.#accept(engine, inMemory);
    return app;
  }

  /** 0 for a Unix socket, and where nobody listens */
  get port(): number {
    return this.#ports[0] ?? 0;
  }

  /** undefined when there is none */
  get tlsPort(): number | undefined {
    return this.#ports[1];
  }

  /** undefined when there is none */
  get remotePort(): number | undefined {
    return this.#remotePort;
  }

  /** A new certificate for connections made from now on; throws, and the old one stays, when it cannot be used. */
  useTls(cert: string, key: string): void {
    this.#secure?.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
  }

  /** Octets that apps have not read yet. */
  get backlog(): number {
    let octets = 0;
    for (const { app } of this.#sessions) octets += app.backlog;
    return octets;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    for (const session of this.#sessions) session.destroy();
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => void server.close(() => resolve()))),
    );
  }

  /** Who has the key may begin, and then needs the secret as everybody else; without the key nothing is read at all. */
  async #listenRemote(
    { host, port, psk }: NonNullable<ControlAt['remote']>,
    common: { readonly noDelay: boolean; readonly keepAlive: boolean; readonly keepAliveInitialDelay: number },
  ): Promise<void> {
    const key = Buffer.from(psk, 'hex');
    const secure = createTlsServer({
      ...common,
      ...pskOnly,
      handshakeTimeout: 5000,
      pskCallback: () => key,
    });
    this.#acceptSecure(secure, true);
    await this.#listen(secure, { host, port });
    this.#remotePort = this.#ports.pop();
  }

  #listen(
    server: Server,
    where: { readonly host: string; readonly port: number } | { readonly path: string },
  ): Promise<void> {
    const { limits, counters } = this.#options;
    server.maxConnections = limits.apps + atDoor.inAll;
    server.on('drop', () => counters.controlRefused++);
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const name = 'path' in where ? 'a Unix socket' : `${where.host}:${where.port}`;
        const why =
          cause.code === 'EADDRINUSE' ? 'the port is taken by another process' : `the system refused (${cause.code})`;
        reject(new Error(`cannot listen on control ${name}: ${why}`, { cause }));
      });
      server.listen({ ...where, exclusive: true }, () => {
        server.removeAllListeners('error');
        server.on('error', () => {});
        this.#servers.push(server);
        const bound = server.address();
        this.#ports.push(typeof bound === 'object' && bound !== null ? bound.port : 0);
        resolve();
      });
    });
  }

  #accept(socket: AppSocket, address: string, isGuest = false): void {
    if (!this.#door.enter(address)) {
      this.#options.counters.controlRefused++;
      socket.destroy();
      return;
    }
    const session = new Session(socket, address, this.#parts, isGuest);
    this.#sessions.add(session);
    socket.once('close', () => this.#sessions.delete(session));
  }

  /** Few handshakes of one address at a time: whoever says nothing is not to keep sockets for free. */
  #acceptSecure(server: Server, isGuest = false): void {
    const { counters } = this.#options;
    /** address by address and port */
    const shaking = new Map<string, string>();
    server.on('connection', (socket: Socket) => {
      const address = socket.remoteAddress ?? '';
      const peer = `${address} ${socket.remotePort}`;
      let count = 0;
      for (const other of shaking.values()) if (other === address) count++;
      if (count >= atDoor.perAddress) {
        counters.controlRefused++;
        socket.destroy();
        return;
      }
      shaking.set(peer, address);
      socket.once('close', () => shaking.delete(peer));
    });
    server.on('tlsClientError', () => counters.controlRefused++);
    server.on('secureConnection', (socket: Socket) => {
      const address = socket.remoteAddress ?? '';
      shaking.delete(`${address} ${socket.remotePort}`);
      this.#accept(socket, address, isGuest);
    });
  }
}
