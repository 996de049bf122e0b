/**
 * All listeners together: opens them, picks the one for a target, finds or makes the flow to it (RFC 3261 18.1.1).
 * An open connection to exactly the target's address and port is always taken before a new one is made.
 */
import type { Transport } from '../../sip/flow.ts';
import type { Counters } from '../counters.ts';
import type { EngineOptions, Limits, ListenAt, TlsMaterial, TransportName } from '../options.ts';
import { Admission } from './admission.ts';
import type { Surroundings } from './connection.ts';
import { type Flow, inBrackets, type Listener, type Receiver } from './flow.ts';
import { lostFlow } from './lost-flow.ts';
import { Recent } from './recent.ts';
import { RouteTable } from './route.ts';
import { TcpListener } from './tcp.ts';
import { TlsListener } from './tls.ts';
import { TlsContexts } from './tls-contexts.ts';
import { type Told, toldBy } from './told.ts';
import { UdpListener } from './udp.ts';
import { WebSocketListener } from './websocket.ts';

export interface Target {
  readonly transport: TransportName;
  /** IP address without brackets */
  readonly address: string;
  readonly port: number;
  /** the name this address was found under: what the certificate of a TLS peer must be for */
  readonly name?: string;
}

type ConnectionListeners = readonly (TcpListener | TlsListener | WebSocketListener)[];

const rememberedPeers = 100_000;
/** A server that gets its TCP listener is found again after so long. */
const noTcpMs = 10 * 60_000;
const registeredMs = 86_400_000;
const defaultPingMs = 30_000;

export class Transports {
  readonly #udp: UdpListener[] = [];
  readonly #tcp: TcpListener[] = [];
  readonly #tls: TlsListener[] = [];
  readonly #webSocket: WebSocketListener[] = [];
  readonly #contexts: TlsContexts;
  readonly #order: Listener[] = [];
  /** with several UDP listeners: on which one a peer spoke last (its NAT only lets that one in) */
  readonly #heardOn = new Map<string, UdpListener>();

  /** UDP peers that registered: phones, which are reached the way they came */
  readonly #phones = new Recent(rememberedPeers, registeredMs);
  /** UDP peers that took no connection */
  readonly #noTcp = new Recent(rememberedPeers, noTcpMs);
  readonly #routes = new RouteTable();
  readonly #connectForSizeMs: number;

  private constructor(contexts: TlsContexts, connectForSizeMs: number) {
    this.#contexts = contexts;
    this.#connectForSizeMs = connectForSizeMs;
  }

  /** Opens every listener; when one fails the others are closed again and the error names the one that failed. */
  static async open(
    options: EngineOptions,
    limits: Limits,
    receiver: Receiver,
    counters: Counters,
  ): Promise<Transports> {
    const transports = new Transports(new TlsContexts(options.tls), limits.connectForSizeMs);
    const admission = new Admission(limits, counters);
    const webSocket = { ...options.webSocket, pingMs: options.webSocket?.pingMs ?? defaultPingMs };
    const around: Surroundings = { receiver, limits, counters, webSocket };
    for (const at of options.listen) {
      const told = toldBy(at, options.externalAddress, transports.#routes);
      try {
        await transports.#open(at, told, around, admission);
      } catch (cause) {
        await transports.close();
        throw listenError(at, cause);
      }
    }
    return transports;
  }

  /** New certificates for connections made from now on; throws, and keeps the old, when they cannot be used. */
  useTls(material: TlsMaterial): void {
    this.#contexts.use(material);
  }

  get listeners(): readonly Listener[] {
    return this.#order;
  }

  /** `proto/host:port` of each listener, for the answer to `authenticate`. */
  hostports(which: 'told' | 'bound'): string {
    return this.#order
      .map(
        (each) =>
          `${each.transport}/${which === 'told' ? `${each.host}:${each.toldPort}` : `${inBrackets(each.address)}:${each.port}`}`,
      )
      .join(',');
  }

  /** True when host and port (5060 when absent) are one of ours, whatever the transport. */
  isOwn(host: string, port: number | undefined): boolean {
    const bare = host.startsWith('[') ? host.slice(1, -1) : host;
    return this.#order.some(
      (each) =>
        (each.port === (port ?? 5060) && each.address === bare) ||
        (each.toldPort === (port ?? 5060) && (each.host === host || each.host === inBrackets(bare))),
    );
  }

  noteSource(flow: Flow): void {
    if (this.#udp.length < 2 || flow.listener.transport !== 'udp') return;
    const key = `${flow.remoteAddress} ${flow.remotePort}`;
    this.#heardOn.delete(key);
    this.#heardOn.set(key, flow.listener as UdpListener);
    if (this.#heardOn.size > rememberedPeers) {
      for (const oldest of this.#heardOn.keys()) {
        this.#heardOn.delete(oldest);
        break;
      }
    }
  }

  /** A phone registered over this flow: it stays on it. */
  noteRegistered(flow: Flow): void {
    if (!flow.listener.reliable) this.#phones.add(peerKey(flow));
  }

  /** The peer of a UDP flow took no connection: it is not asked again for a while. */
  noteNoTcp(flow: Flow): void {
    this.#noTcp.add(peerKey(flow));
  }

  /** An open connection to the server at the other end of a UDP flow. One from the address of a phone may be another phone's. */
  connectionBeside(flow: Flow): Flow | undefined {
    if (this.#phones.has(peerKey(flow))) return undefined;
    for (const listener of this.#tcp) {
      const connection = listener.connectionTo(flow.remoteAddress, flow.remotePort);
      if (connection !== undefined) return connection;
    }
    return undefined;
  }

  /** TCP to the peer of a UDP flow; undefined for a phone, for one that took no connection lately, and without a TCP listener. */
  tcpInstead(flow: Flow): Flow | undefined {
    const { remoteAddress, remotePort } = flow;
    const key = peerKey(flow);
    if (this.#phones.has(key) || this.#noTcp.has(key)) return undefined;
    const open = this.connectionBeside(flow);
    if (open !== undefined) return open;
    const listener = this.#choose(this.#tcp, remoteAddress);
    return listener?.connect(remoteAddress, remotePort, remoteAddress, this.#connectForSizeMs);
  }

  /** The flow to a target, a lost one when it is a connection only the peer can make; undefined: no listener fits. */
  flowTo(target: Target): Flow | undefined {
    const { transport, address, port, name } = target;
    if (transport !== 'udp') {
      const listeners = this.#connectionListeners(transport);
      for (const listener of listeners) {
        // only TLS checks who somebody is
        const connection = listener.connectionTo(address, port, transport === 'tls' ? name : undefined);
        if (connection !== undefined) return connection;
      }
      const listener = this.#choose<ConnectionListeners[number]>(listeners, address);
      if (listener === undefined) return undefined;
      const gone = listeners.some((each) => each.wasHere(address, port));
      if (gone || listener instanceof WebSocketListener) return lostFlow(listener, address, port);
      return listener.connect(address, port, name);
    }
    const heardOn = this.#udp.length > 1 ? this.#heardOn.get(`${address} ${port}`) : undefined;
    return (heardOn ?? this.#choose(this.#udp, address))?.flowTo(address, port);
  }

  /** The listener a target would be sent from, without making a connection. */
  listenerFor(transport: TransportName, address: string): Listener | undefined {
    const listeners: readonly Listener[] = transport === 'udp' ? this.#udp : this.#connectionListeners(transport);
    return this.#choose<Listener>(listeners, address);
  }

  /** True when there is a listener of this transport. */
  speaks(transport: TransportName): boolean {
    return transport === 'udp' ? this.#udp.length > 0 : this.#connectionListeners(transport).length > 0;
  }

  /** Those we can connect by, in the order of preference for a name that leaves it open (RFC 3263 4.1). */
  get outgoing(): readonly TransportName[] {
    return (['udp', 'tcp', 'tls'] as const).filter((each) => this.speaks(each));
  }

  /** The address a message to this one leaves from; undefined when there is no way to it. */
  sourceOf(transport: Transport, address: string): string | undefined {
    return this.listenerFor(transport, address) === undefined ? undefined : this.#routes.sourceOf(address);
  }

  /** The listener on the address the kernel would send from, else one on every address, else the one that looks nearest. */
  #choose<L extends Listener>(listeners: readonly L[], target: string): L | undefined {
    const ipv6 = target.includes(':');
    const fits = listeners.filter(({ address }) => address.includes(':') === ipv6 || address === '::');
    if (fits.length < 2) return fits[0];
    const source = this.#routes.sourceOf(target);
    const anyAddress = ipv6 ? '::' : '0.0.0.0';
    return (
      fits.find(({ address }) => address === source) ??
      fits.find(({ address }) => address === anyAddress) ??
      closest(fits, target)
    );
  }

  /** A URI says `ws` for both kinds of WebSocket (RFC 7118 5.2). */
  #connectionListeners(transport: Exclude<TransportName, 'udp'>): ConnectionListeners {
    if (transport === 'tcp') return this.#tcp;
    if (transport === 'tls') return this.#tls;
    return transport === 'ws' ? this.#webSocket : this.#webSocket.filter((each) => each.transport === 'wss');
  }

  /** The transport for a URI that names none. */
  get defaultTransport(): TransportName {
    return this.#udp.length > 0 || this.#tcp.length === 0 ? 'udp' : 'tcp';
  }

  async close(): Promise<void> {
    const all = [...this.#udp, ...this.#tcp, ...this.#tls, ...this.#webSocket];
    await Promise.all(all.map((listener) => listener.close()));
  }

  async #open(at: ListenAt, told: Told, around: Surroundings, admission: Admission): Promise<void> {
    const keep = <L extends Listener>(listeners: L[], listener: L): void => {
      listeners.push(listener);
      this.#order.push(listener);
    };
    switch (at.transport) {
      case 'udp':
        keep(this.#udp, await UdpListener.open(at, told, around.receiver, around.counters));
        return;
      case 'tcp':
        keep(this.#tcp, await TcpListener.open(at, told, around, admission));
        return;
      case 'tls':
        keep(this.#tls, await TlsListener.open(at, told, around, admission, this.#contexts));
        return;
      case 'ws':
      case 'wss':
        keep(this.#webSocket, await WebSocketListener.open(at, told, around, admission, this.#contexts));
        return;
      default:
        at.transport satisfies never;
    }
  }
}

function peerKey({ remoteAddress, remotePort }: Flow): string {
  return `${remoteAddress} ${remotePort}`;
}

/** The listener whose address shares the most leading octets with the target; loopback last unless the target is loopback. */
function closest<L extends Listener>(listeners: readonly L[], target: string): L | undefined {
  let best: L | undefined;
  let bestScore = -1;
  for (const listener of listeners) {
    const loopback = listener.address.startsWith('127.') || listener.address === '::1';
    const targetLoopback = target.startsWith('127.') || target === '::1';
    const score = (loopback === targetLoopback ? 100 : 0) + sharedPrefix(listener.address, target);
    if (score > bestScore) {
      best = listener;
      bestScore = score;
    }
  }
  return best;
}

function sharedPrefix(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

function listenError(at: ListenAt, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code;
  const why =
    code === 'EADDRINUSE'
      ? 'the port is taken by another process'
      : code === 'EADDRNOTAVAIL'
        ? 'this host has no such address'
        : code === 'EACCES'
          ? 'the system does not allow this port'
          : code === undefined && cause instanceof Error
            ? cause.message
            : 'the system refused';
  return new Error(`cannot listen on ${at.transport} ${inBrackets(at.address)}:${at.port}: ${why}`, { cause });
}
