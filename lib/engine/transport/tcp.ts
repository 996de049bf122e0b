/** TCP listener and connections (RFC 3261 18.1, 18.2.2, 18.3): framing, keep-alives, limits. A connection is a flow. */
import { createServer, type Server, Socket } from 'node:net';
import type { Counters } from '../counters.ts';
import type { Limits, ListenAt } from '../options.ts';
import { type Flow, type FlowWatcher, type Listener, plainAddress, type Receiver } from './flow.ts';
import { StreamFraming } from './stream-framing.ts';
import type { Told } from './told.ts';

export class TcpListener implements Listener {
  readonly transport = 'tcp' as const;
  readonly reliable = true;
  readonly address: string;
  readonly #told: Told;
  readonly #server: Server;
  readonly #receiver: Receiver;
  readonly #limits: Limits;
  readonly #counters: Counters;
  /** by `address port` of the peer */
  readonly #connections = new Map<string, TcpConnection>();
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;
  #port = 0;

  private constructor(at: ListenAt, told: Told, receiver: Receiver, limits: Limits, counters: Counters) {
    this.address = at.address;
    this.#told = told;
    this.#receiver = receiver;
    this.#limits = limits;
    this.#counters = counters;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
  }

  static open(at: ListenAt, told: Told, receiver: Receiver, limits: Limits, counters: Counters): Promise<TcpListener> {
    const listener = new TcpListener(at, told, receiver, limits, counters);
    const server = listener.#server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: at.address, port: at.port, exclusive: true, backlog: 4096 }, () => {
        server.off('error', reject);
        // out of file descriptors and the like: the listener stays, the one connection is lost
        server.on('error', () => {});
        const bound = server.address();
        listener.#port = typeof bound === 'object' && bound !== null ? bound.port : at.port;
        resolve(listener);
      });
    });
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

  get family(): 4 | 6 {
    return this.address.includes(':') ? 6 : 4;
  }

  /** The open connection to this peer, if there is one. */
  connectionTo(address: string, port: number): Flow | undefined {
    return this.#connections.get(`${address} ${port}`);
  }

  /** Connects; the flow takes messages at once and reports a refused or late connection as lost. */
  connect(address: string, port: number, withinMs = this.#limits.connectMs): Flow {
    const socket = new Socket();
    socket.setNoDelay(true);
    const connection = this.#adopt(socket, address, port);
    const late = setTimeout(() => connection.destroy(), withinMs);
    socket.once('connect', () => {
      clearTimeout(late);
      socket.setKeepAlive(true, 60_000);
    });
    socket.once('close', () => clearTimeout(late));
    const anyAddress = this.address === '0.0.0.0' || this.address === '::';
    try {
      socket.connect({ host: address, port, ...(anyAddress ? {} : { localAddress: this.address }) });
    } catch {
      setImmediate(() => connection.destroy());
    }
    return connection;
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const connection of this.#connections.values()) connection.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (
      remoteAddress === undefined ||
      remotePort === undefined ||
      this.#counters.connections >= this.#limits.connections
    ) {
      this.#counters.connectionsRefused++;
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#adopt(socket, plainAddress(remoteAddress), remotePort);
  }

  #adopt(socket: Socket, address: string, port: number): TcpConnection {
    const key = `${address} ${port}`;
    const connection = new TcpConnection(this, socket, address, port, this.#receiver, this.#limits, this.#counters);
    this.#connections.get(key)?.destroy();
    this.#connections.set(key, connection);
    this.#counters.connections++;
    socket.once('close', () => {
      if (this.#connections.get(key) === connection) this.#connections.delete(key);
      this.#counters.connections--;
      if (this.#connections.size === 0) {
        clearInterval(this.#sweep);
        this.#sweep = undefined;
      }
    });
    this.#sweep ??= setInterval(
      () => {
        const now = performance.now();
        for (const each of this.#connections.values()) each.closeWhenLate(now);
      },
      Math.max(20, Math.min(this.#limits.halfMessageMs, this.#limits.idleMs) / 4),
    );
    return connection;
  }
}

class TcpConnection implements Flow {
  readonly listener: TcpListener;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: Socket;
  readonly #framing: StreamFraming;
  readonly #receiver: Receiver;
  readonly #limits: Limits;
  readonly #counters: Counters;
  #watchers: Set<FlowWatcher> | undefined;
  #open = true;
  #corked = false;
  #lastHeard = performance.now();
  #halfSince: number | undefined;
  #spoke = false;

  constructor(
    listener: TcpListener,
    socket: Socket,
    remoteAddress: string,
    remotePort: number,
    receiver: Receiver,
    limits: Limits,
    counters: Counters,
  ) {
    this.listener = listener;
    this.#socket = socket;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.#receiver = receiver;
    this.#limits = limits;
    this.#counters = counters;
    this.#framing = new StreamFraming(limits.messageBytes);
    // an error is always followed by close, and close is all that matters here
    socket.on('error', () => {});
    socket.on('data', (octets: Buffer) => this.#onData(octets));
    socket.on('end', () => {
      this.#open = false;
    });
    socket.once('close', () => this.#onClose());
  }

  get open(): boolean {
    return this.#open;
  }

  send(text: string): boolean {
    if (!this.#open) return false;
    if (this.#socket.writableLength > this.#limits.peerBacklogBytes) {
      this.destroy();
      return false;
    }
    this.#counters.sent++;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(text, 'latin1');
    return true;
  }

  watch(watcher: FlowWatcher): void {
    this.#watchers ??= new Set();
    this.#watchers.add(watcher);
  }

  unwatch(watcher: FlowWatcher): void {
    this.#watchers?.delete(watcher);
  }

  destroy(): void {
    this.#open = false;
    this.#socket.destroy();
  }

  end(): void {
    this.#open = false;
    this.#socket.end();
    this.#socket.destroySoon();
  }

  closeWhenLate(now: number): void {
    const half = this.#halfSince !== undefined && now - this.#halfSince > this.#limits.halfMessageMs;
    const silent = now - this.#lastHeard > (this.#spoke ? this.#limits.idleMs : Math.min(this.#limits.idleMs, 30_000));
    if (half || (silent && (this.#watchers === undefined || this.#watchers.size === 0))) this.destroy();
  }

  #onData(octets: Buffer): void {
    if (!this.#open) return;
    this.#lastHeard = performance.now();
    try {
      for (const event of this.#framing.push(octets.toString('latin1'))) {
        if (event.is === 'message') {
          this.#spoke = true;
          this.#receiver.onMessage(event.text, this);
        } else if (event.is === 'ping') {
          this.#spoke = true;
          this.#socket.write('\r\n');
        } else {
          this.#receiver.onBadFrame(event.head, this);
          this.end();
          return;
        }
        if (!this.#open) return;
      }
    } catch {
      this.#counters.faults++;
    }
    if (!this.#framing.pending) this.#halfSince = undefined;
    else this.#halfSince ??= this.#lastHeard;
  }

  #onClose(): void {
    this.#open = false;
    const watchers = this.#watchers;
    this.#watchers = undefined;
    if (watchers === undefined) return;
    for (const watcher of watchers) {
      try {
        watcher.onFlowLost();
      } catch {
        this.#counters.faults++;
      }
    }
  }
}
