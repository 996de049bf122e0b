/**
 * All listeners together: opens them, picks the one for a target, finds or makes the flow to it (RFC 3261 18.1.1).
 * An open connection to exactly the target's address and port is always taken before a new one is made.
 */
import { networkInterfaces } from 'node:os';
import type { Counters } from '../counters.ts';
import type { EngineOptions, Limits, ListenAt, TlsMaterial, TransportName } from '../options.ts';
import { Admission } from './admission.ts';
import type { Connection, Surroundings } from './connection.ts';
import { type Flow, inBrackets, type Listener, type Receiver } from './flow.ts';
import { lostFlow } from './lost-flow.ts';
import { TcpListener } from './tcp.ts';
import { TlsListener } from './tls.ts';
import { TlsContexts } from './tls-contexts.ts';
import { toldHost, UdpListener } from './udp.ts';
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

  private constructor(contexts: TlsContexts) {
    this.#contexts = contexts;
  }

  /** Opens every listener; when one fails the others are closed again and the error names the one that failed. */
  static async open(
    options: EngineOptions,
    limits: Limits,
    receiver: Receiver,
    counters: Counters,
  ): Promise<Transports> {
    const transports = new Transports(new TlsContexts(options.tls));
    const admission = new Admission(limits, counters);
    const webSocket = { ...options.webSocket, pingMs: options.webSocket?.pingMs ?? defaultPingMs };
    const around: Surroundings = { receiver, limits, counters, webSocket };
    for (const at of options.listen) {
      const host = toldHost(at, options.externalAddress, ownAddress);
      try {
        await transports.#open(at, host, around, admission);
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

  /** The flow to a target, a lost one when it is a connection only the peer can make; undefined: no listener fits. */
  flowTo(target: Target): Flow | undefined {
    const { transport, address, port, name } = target;
    const ipv6 = address.includes(':');
    if (transport !== 'udp') {
      const listeners = this.#connectionListeners(transport);
      for (const listener of listeners) {
        const connection = listener.connectionTo(address, port);
        if (connection !== undefined && (name === undefined || isFor(connection, name))) return connection;
      }
      const listener = closest<ConnectionListeners[number]>(listeners, address, ipv6);
      if (listener === undefined) return undefined;
      const gone = listeners.some((each) => each.wasHere(address, port));
      if (gone || listener instanceof WebSocketListener) return lostFlow(listener, address, port);
      return listener.connect(address, port, name);
    }
    const heardOn = this.#udp.length > 1 ? this.#heardOn.get(`${address} ${port}`) : undefined;
    return (heardOn ?? closest(this.#udp, address, ipv6))?.flowTo(address, port);
  }

  /** The listener a target would be sent from, without making a connection. */
  listenerFor(transport: TransportName, address: string): Listener | undefined {
    const listeners: readonly Listener[] = transport === 'udp' ? this.#udp : this.#connectionListeners(transport);
    return closest<Listener>(listeners, address, address.includes(':'));
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

  async #open(at: ListenAt, host: string, around: Surroundings, admission: Admission): Promise<void> {
    const keep = <L extends Listener>(listeners: L[], listener: L): void => {
      listeners.push(listener);
      this.#order.push(listener);
    };
    switch (at.transport) {
      case 'udp':
        keep(this.#udp, await UdpListener.open(at, host, around.receiver, around.counters));
        return;
      case 'tcp':
        keep(this.#tcp, await TcpListener.open(at, host, around, admission));
        return;
      case 'tls':
        keep(this.#tls, await TlsListener.open(at, host, around, admission, this.#contexts));
        return;
      case 'ws':
      case 'wss':
        keep(this.#webSocket, await WebSocketListener.open(at, host, around, admission, this.#contexts));
        return;
      default:
        at.transport satisfies never;
    }
  }
}

/** A connection of ours is good for the name it was checked for; one the peer made was never checked. */
function isFor(connection: Connection, name: string): boolean {
  return connection.listener.transport !== 'tls' || connection.verifiedFor === name;
}

/** The listener whose address shares the most leading octets with the target; loopback last unless the target is loopback. */
function closest<L extends Listener>(listeners: readonly L[], target: string, ipv6: boolean): L | undefined {
  let best: L | undefined;
  let bestScore = -1;
  for (const listener of listeners) {
    if (listener.address.includes(':') !== ipv6 && listener.address !== '::') continue;
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

function ownAddress(ipv6: boolean): string {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const fits = all.filter(
    (each) => !each.internal && (each.family === 'IPv6') === ipv6 && !each.address.startsWith('fe80'),
  );
  return fits[0]?.address ?? (ipv6 ? '::1' : '127.0.0.1');
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
