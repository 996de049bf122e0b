/**
 * All listeners together: opens them, picks the one for a target, finds or makes the flow to it (RFC 3261 18.1.1).
 * An open connection to exactly the target's address and port is always taken before a new one is made.
 */
import type { Counters } from '../counters.ts';
import type { EngineOptions, Limits, ListenAt, TransportName } from '../options.ts';
import type { Transport } from '../../sip/flow.ts';
import { type Flow, inBrackets, type Listener, type Receiver } from './flow.ts';
import { Recent } from './recent.ts';
import { RouteTable } from './route.ts';
import { TcpListener } from './tcp.ts';
import { toldBy } from './told.ts';
import { UdpListener } from './udp.ts';

export interface Target {
  readonly transport: TransportName;
  /** IP address without brackets */
  readonly address: string;
  readonly port: number;
}

const rememberedPeers = 100_000;
/** A phone refreshes its registration long before; a server that gets its TCP listener is found by then. */
const noTcpMs = 10 * 60_000;
const registeredMs = 86_400_000;

export class Transports {
  readonly #udp: UdpListener[] = [];
  readonly #tcp: TcpListener[] = [];
  readonly #order: Listener[] = [];
  /** with several UDP listeners: on which one a peer spoke last (its NAT only lets that one in) */
  readonly #heardOn = new Map<string, UdpListener>();
  /** UDP peers that registered: phones, which are reached the way they came */
  readonly #phones = new Recent(rememberedPeers, registeredMs);
  /** UDP peers that took no connection */
  readonly #noTcp = new Recent(rememberedPeers, noTcpMs);
  readonly #routes = new RouteTable();
  readonly #connectForSizeMs: number;

  private constructor(connectForSizeMs: number) {
    this.#connectForSizeMs = connectForSizeMs;
  }

  /** Opens every listener; when one fails the others are closed again and the error names the one that failed. */
  static async open(
    options: EngineOptions,
    limits: Limits,
    receiver: Receiver,
    counters: Counters,
  ): Promise<Transports> {
    const transports = new Transports(limits.connectForSizeMs);
    for (const at of options.listen) {
      const told = toldBy(at, options.externalAddress, transports.#routes);
      try {
        if (at.transport === 'udp') transports.#add(await UdpListener.open(at, told, receiver, counters));
        else transports.#add(await TcpListener.open(at, told, receiver, limits, counters));
      } catch (cause) {
        await transports.close();
        throw listenError(at, cause);
      }
    }
    return transports;
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
    const { remoteAddress, remotePort } = flow;
    if (this.#phones.has(peerKey(flow))) return undefined;
    for (const listener of this.#tcp) {
      const connection = listener.connectionTo(remoteAddress, remotePort);
      if (connection?.open === true) return connection;
    }
    return undefined;
  }

  /** TCP to the peer of a UDP flow; undefined for a phone, for one that took no connection lately, and without a TCP listener. */
  tcpInstead(flow: Flow): Flow | undefined {
    const key = peerKey(flow);
    if (this.#phones.has(key) || this.#noTcp.has(key)) return undefined;
    const open = this.connectionBeside(flow);
    if (open !== undefined) return open;
    return this.#choose(this.#tcp, flow.remoteAddress)?.connect(
      flow.remoteAddress,
      flow.remotePort,
      this.#connectForSizeMs,
    );
  }

  /** The flow to a target; undefined when no listener speaks its transport and address family. */
  flowTo(target: Target): Flow | undefined {
    if (target.transport === 'tcp') {
      for (const listener of this.#tcp) {
        const connection = listener.connectionTo(target.address, target.port);
        if (connection?.open === true) return connection;
      }
      return this.#choose(this.#tcp, target.address)?.connect(target.address, target.port);
    }
    const heardOn = this.#udp.length > 1 ? this.#heardOn.get(`${target.address} ${target.port}`) : undefined;
    return (heardOn ?? this.#choose(this.#udp, target.address))?.flowTo(target.address, target.port);
  }

  /** The listener a target would be sent from, without making a connection. */
  listenerFor(transport: TransportName, address: string): Listener | undefined {
    return this.#choose<Listener>(transport === 'tcp' ? this.#tcp : this.#udp, address);
  }

  /** True when there is a listener of this transport. */
  speaks(transport: Transport): transport is TransportName {
    return this.transports.includes(transport as TransportName);
  }

  /** Those we can send over, in the order of preference for a name that leaves it open (RFC 3263 4.1). */
  get transports(): readonly TransportName[] {
    return (['udp', 'tcp'] as const).filter((each) => this.#order.some(({ transport }) => transport === each));
  }

  /** The address a message to this one leaves from; undefined when there is no way to it. */
  sourceOf(transport: Transport, address: string): string | undefined {
    if (!this.speaks(transport) || this.listenerFor(transport, address) === undefined) return undefined;
    return this.#routes.sourceOf(address);
  }

  /** The transport for a URI that names none. */
  get defaultTransport(): TransportName {
    return this.#udp.length > 0 || this.#tcp.length === 0 ? 'udp' : 'tcp';
  }

  async close(): Promise<void> {
    await Promise.all([...this.#udp, ...this.#tcp].map((listener) => listener.close()));
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

  #add(listener: UdpListener | TcpListener): void {
    if (listener.transport === 'udp') this.#udp.push(listener);
    else this.#tcp.push(listener);
    this.#order.push(listener);
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
          : 'the system refused';
  return new Error(`cannot listen on ${at.transport} ${inBrackets(at.address)}:${at.port}: ${why}`, { cause });
}
