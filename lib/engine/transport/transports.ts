/**
 * All listeners together: opens them, picks the one for a target, finds or makes the flow to it (RFC 3261 18.1.1).
 * An open connection to exactly the target's address and port is always taken before a new one is made.
 */
import { networkInterfaces } from 'node:os';
import type { Counters } from '../counters.ts';
import type { EngineOptions, Limits, ListenAt, TransportName } from '../options.ts';
import { type Flow, inBrackets, type Listener, type Receiver } from './flow.ts';
import { TcpListener } from './tcp.ts';
import { toldHost, UdpListener } from './udp.ts';

export interface Target {
  readonly transport: TransportName;
  /** IP address without brackets */
  readonly address: string;
  readonly port: number;
}

const rememberedPeers = 100_000;

export class Transports {
  readonly #udp: UdpListener[] = [];
  readonly #tcp: TcpListener[] = [];
  readonly #order: Listener[] = [];
  /** with several UDP listeners: on which one a peer spoke last (its NAT only lets that one in) */
  readonly #heardOn = new Map<string, UdpListener>();

  /** Opens every listener; when one fails the others are closed again and the error names the one that failed. */
  static async open(
    options: EngineOptions,
    limits: Limits,
    receiver: Receiver,
    counters: Counters,
  ): Promise<Transports> {
    const transports = new Transports();
    for (const at of options.listen) {
      const host = toldHost(at, options.externalAddress, ownAddress);
      try {
        if (at.transport === 'udp') transports.#add(await UdpListener.open(at, host, receiver, counters));
        else transports.#add(await TcpListener.open(at, host, receiver, limits, counters));
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
      .map((each) => `${each.transport}/${which === 'told' ? each.host : inBrackets(each.address)}:${each.port}`)
      .join(',');
  }

  /** True when host and port (5060 when absent) are one of ours, whatever the transport. */
  isOwn(host: string, port: number | undefined): boolean {
    const bare = host.startsWith('[') ? host.slice(1, -1) : host;
    return this.#order.some(
      (each) =>
        each.port === (port ?? 5060) && (each.address === bare || each.host === host || each.host === inBrackets(bare)),
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

  /** The flow to a target; undefined when no listener speaks its transport and address family. */
  flowTo(target: Target): Flow | undefined {
    const ipv6 = target.address.includes(':');
    if (target.transport === 'tcp') {
      for (const listener of this.#tcp) {
        const connection = listener.connectionTo(target.address, target.port);
        if (connection?.open === true) return connection;
      }
      return closest(this.#tcp, target.address, ipv6)?.connect(target.address, target.port);
    }
    const heardOn = this.#udp.length > 1 ? this.#heardOn.get(`${target.address} ${target.port}`) : undefined;
    return (heardOn ?? closest(this.#udp, target.address, ipv6))?.flowTo(target.address, target.port);
  }

  /** The listener a target would be sent from, without making a connection. */
  listenerFor(transport: TransportName, address: string): Listener | undefined {
    return closest<Listener>(transport === 'tcp' ? this.#tcp : this.#udp, address, address.includes(':'));
  }

  /** The transport for a URI that names none. */
  get defaultTransport(): TransportName {
    return this.#udp.length > 0 || this.#tcp.length === 0 ? 'udp' : 'tcp';
  }

  async close(): Promise<void> {
    await Promise.all([...this.#udp, ...this.#tcp].map((listener) => listener.close()));
  }

  #add(listener: UdpListener | TcpListener): void {
    if (listener.transport === 'udp') this.#udp.push(listener);
    else this.#tcp.push(listener);
    this.#order.push(listener);
  }
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
          : 'the system refused';
  return new Error(`cannot listen on ${at.transport} ${inBrackets(at.address)}:${at.port}: ${why}`, { cause });
}
