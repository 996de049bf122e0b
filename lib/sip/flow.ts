/** The network path to one peer (RFC 5626): what a binding remembers and what a leg is sent over. */

export type Transport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

export interface Flow {
  readonly transport: Transport;
  /** numeric address of the peer, IPv6 without brackets */
  readonly address: string;
  readonly port: number;
  /**
   * Which run of which engine owns the connection. A flow of another run is of no use: its connections are gone.
   * Constant for an engine outside of our process, because it outlives us.
   */
  readonly engine: string;
}

/** `sip:192.0.2.1:5060;transport=tcp`: the form in which drachtio takes a next hop. */
export function flowUri(flow: Pick<Flow, 'transport' | 'address' | 'port'>): string {
  return `sip:${hostOf(flow.address)}:${flow.port};transport=${flow.transport}`;
}

/** An address as a URI host: IPv6 gets brackets. */
export function hostOf(address: string): string {
  return address.includes(':') && !address.startsWith('[') ? `[${address}]` : address;
}
