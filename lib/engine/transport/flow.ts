/**
 * The words of the transport layer. A listener is one bound address; a flow is the path to one peer over it (RFC 5626):
 * a connection, or a UDP address pair. Text is octets: one character is one octet.
 */
import type { TransportName } from '../options.ts';

export interface Listener {
  readonly transport: TransportName;
  /** true when the transport itself delivers (RFC 3261 17: no copies are sent) */
  readonly reliable: boolean;
  /** bound address without brackets */
  readonly address: string;
  readonly port: number;
  /** what peers are told: name or address (IPv6 in brackets), and port */
  readonly host: string;
  readonly toldPort: number;
  /** the same for one peer: a listener on every address tells the one this peer is reached from */
  hostTowards(remoteAddress: string): string;
}

/** How the control protocol names a transport: WS and WSS are tcp there (drachtio-protocol A.5). */
export function protocolToken(transport: TransportName): 'udp' | 'tcp' | 'tls' {
  return transport === 'ws' || transport === 'wss' ? 'tcp' : transport;
}

/** The port a URI or Via without one means (RFC 3261 19.1.2, RFC 7118 5.2). */
export function defaultPort(transport: TransportName): number {
  if (transport === 'tls') return 5061;
  return transport === 'ws' ? 80 : transport === 'wss' ? 443 : 5060;
}

/** The value of a URI's transport parameter: the same for WS and WSS (RFC 7118 5.2). */
export function uriTransport(transport: TransportName): string {
  return transport === 'wss' ? 'ws' : transport;
}

export interface Flow {
  readonly listener: Listener;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** false once a connection is gone; a UDP flow is always open */
  readonly open: boolean;
  /** a connection the peer made: when it is gone, the peer alone can make another */
  readonly accepted?: boolean;
  /** Puts one message on the wire; false when the flow is gone. */
  send(text: string): boolean;
  /** Closes a connection after what was sent on it; UDP has nothing to close. */
  end(): void;
  /** `lost` is called once when the connection ends; UDP never calls. */
  watch(watcher: FlowWatcher): void;
  unwatch(watcher: FlowWatcher): void;
}

export interface FlowWatcher {
  onFlowLost(): void;
}

/** What the layer above gets. Text is one whole message as framed, except that UDP gives the whole datagram. */
export interface Receiver {
  onMessage(text: string, flow: Flow): void;
  /** the framing of a connection failed; `head` is what had been read, for a 400 where that is possible */
  onBadFrame(head: string, flow: Flow): void;
}

/** Host as it stands in a URI or Via. */
export function inBrackets(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** An IPv4 peer of a dual-stack socket is written as IPv4. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
