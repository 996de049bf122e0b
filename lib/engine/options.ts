/** What the embedded engine can be told at its start, and the defaults. Times in milliseconds, sizes in octets. */

export type TransportName = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

export interface ListenAt {
  readonly transport: TransportName;
  /** an IPv4 or IPv6 address of this host, without brackets */
  readonly address: string;
  /** 0 asks the system for a free port */
  readonly port: number;
  /** what peers are told instead (RFC 3261 18.1.1 sent-by, Contact): name or IP address, and the port when it differs */
  readonly advertise?: { readonly host: string; readonly port?: number };
}

/** Certificates as PEM text, so that whoever runs the engine decides where they come from and when they are read again. */
export interface TlsMaterial {
  /** ours with its chain, and its key; listeners for TLS and WSS need both */
  readonly cert?: string;
  readonly key?: string;
  /** trusted at the peers we connect to, instead of those Node knows */
  readonly ca?: string;
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
}

export interface WebSocketOptions {
  /** browsers from other sites are refused; everybody is welcome when absent. A client without Origin is no browser */
  readonly origins?: readonly string[];
  /** cookie the handshake must carry (RFC 7118 7), else 401 */
  readonly cookie?: { readonly name: string; readonly value: string };
  /** how often a silent client is pinged; after two pings without any sign of life it is gone. 0: never */
  readonly pingMs?: number;
}

export interface Timers {
  /** RFC 3261 17.1.1.1: round trip estimate */
  readonly t1Ms: number;
  /** longest interval between two copies of a non-INVITE request or of a 2xx */
  readonly t2Ms: number;
  /** how long a message can stay in the network */
  readonly t4Ms: number;
}

export interface Limits {
  /** whole SIP message, head and body */
  readonly messageBytes: number;
  readonly headers: number;
  /** start line and header fields of a request; above it 513, because each of thousands of parameters costs an app work */
  readonly headBytes: number;
  /** one control frame from an app */
  readonly frameBytes: number;
  /** connected apps */
  readonly apps: number;
  /** octets waiting to be read by one app before others get the new requests, until it has read them all */
  readonly appPauseBytes: number;
  /** octets waiting to be read by one app before its connection is closed */
  readonly appBacklogBytes: number;
  /** how long an app may be behind before its connection is closed */
  readonly appStallMs: number;
  /** octets waiting to be read by one SIP peer before its connection is closed */
  readonly peerBacklogBytes: number;
  /** accepted and not yet closed, of all listeners together */
  readonly connections: number;
  /** of these from one IPv4 address, or from one /64 of IPv6 */
  readonly connectionsPerAddress: number;
  /** the longest a TLS handshake and a WebSocket upgrade may take together */
  readonly handshakeMs: number;
  /** a connection that brings no SIP message or keep-alive for so long after it was made is closed */
  readonly firstMessageMs: number;
  /** the longest a started message may take to arrive */
  readonly halfMessageMs: number;
  /** a connection that says nothing for so long is closed */
  readonly idleMs: number;
  readonly connectMs: number;
  /** as connectMs, where the connection is only tried because of a request's size */
  readonly connectForSizeMs: number;
  /** requests waiting for an app; above it new ones get 503 */
  readonly parked: number;
  /** requests of any age the engine still answers for; above it, and above their octets, new ones get 503 and are forgotten */
  readonly transactions: number;
  readonly transactionBytes: number;
  /** answers kept for copies of their requests */
  readonly answerBytes: number;
}

/** Where apps connect. */
export interface ControlAt {
  readonly secret: string;
  /** 127.0.0.1 when absent */
  readonly host?: string;
  /** 0 asks the system for a free port; without one only apps of this thread get in (Engine.connect) */
  readonly port?: number;
  /** A Unix socket instead of host and port. One whose name begins with NUL leaves no file behind (Linux only). */
  readonly path?: string;
  /** a second port on the same host; certificate chain and private key in PEM */
  readonly tls?: { readonly port: number; readonly cert: string; readonly key: string };
  /** A further port for apps on other machines: TLS with a pre-shared key (RFC 4279), 64 hexadecimal digits. Port 0 takes a free one. */
  readonly remote?: { readonly host: string; readonly port: number; readonly psk: string };
}

export interface EngineOptions {
  readonly listen: readonly ListenAt[];
  /** as `advertise`, for every listener that has none of its own */
  readonly externalAddress?: string;
  /** where names are looked up; the servers of the system when absent */
  readonly dns?: { readonly servers?: readonly string[]; readonly timeoutMs?: number };
  /** a request of more octets goes over TCP where the peer takes it (RFC 3261 18.1.1); 0 never */
  readonly tcpAboveBytes?: number;
  readonly tls?: TlsMaterial;
  readonly webSocket?: WebSocketOptions;
  readonly control: ControlAt;
  readonly timers?: Partial<Timers>;
  readonly limits?: Partial<Limits>;
  /** send to the connection a device registered on, found by user@host of its Contact (default true) */
  readonly registrationCache?: boolean;
  /** how long a request waits for the app's answer before it is forgotten */
  readonly parkMs?: number;
  /** one second of Session-Expires in milliseconds; only tests make it shorter */
  readonly sessionSecondMs?: number;
}

export interface Settings {
  readonly timers: Timers;
  readonly limits: Limits;
  readonly registrationCache: boolean;
  readonly tcpAboveBytes: number;
  readonly parkMs: number;
  readonly sessionSecondMs: number;
}

const defaultTimers: Timers = { t1Ms: 500, t2Ms: 4000, t4Ms: 5000 };

const defaultLimits: Limits = {
  messageBytes: 65_535,
  headers: 256,
  headBytes: 16_384,
  frameBytes: 1_048_576,
  apps: 64,
  appPauseBytes: 16 * 1_048_576,
  appBacklogBytes: 64 * 1_048_576,
  appStallMs: 30_000,
  peerBacklogBytes: 1_048_576,
  connections: 50_000,
  connectionsPerAddress: 2000,
  handshakeMs: 10_000,
  firstMessageMs: 30_000,
  halfMessageMs: 10_000,
  idleMs: 3_600_000,
  connectMs: 4000,
  connectForSizeMs: 500,
  parked: 100_000,
  transactions: 200_000,
  transactionBytes: 256 * 1_048_576,
  answerBytes: 256 * 1_048_576,
};

export function settle(options: EngineOptions): Settings {
  return {
    timers: { ...defaultTimers, ...options.timers },
    limits: { ...defaultLimits, ...options.limits },
    registrationCache: options.registrationCache ?? true,
    tcpAboveBytes: options.tcpAboveBytes ?? 1300,
    parkMs: options.parkMs ?? 64_000,
    sessionSecondMs: options.sessionSecondMs ?? 1000,
  };
}
