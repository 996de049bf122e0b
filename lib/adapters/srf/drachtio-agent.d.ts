/** The part of drachtio-srf 5.0.29 that this adapter stands on. Written by hand: the package does not type its inner files. */
declare module 'drachtio-srf/lib/drachtio-agent.js' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  interface WireProtocol extends EventEmitter {
    /** true: no reconnect any more */
    closing?: boolean;
    /** the socket of the latest reconnect; unset while the first connection lives */
    socket?: Socket;
    reconnectVars: { retryTimer?: NodeJS.Timeout | null };
    _stopPinging(socket: Socket): void;
  }

  export interface ConnectOptions {
    readonly host: string;
    readonly port: number;
    readonly secret: string;
    readonly enablePing?: boolean;
    readonly reconnect?: { readonly retryMaxDelay?: number | null };
  }

  /** One connection to a drachtio server at a time: connects, authenticates, announces routes, pings, connects again. */
  class DrachtioAgent extends EventEmitter {
    constructor(onRequest: (req: unknown, res: unknown) => void);
    readonly wp: WireProtocol;
    readonly mapServer: Map<Socket, { ready: boolean; hostport: string | null; localHostports?: string | null }>;
    route(method: string): void;
    connect(options: ConnectOptions): void;
    /** a connection stands, nothing was sent yet */
    _onConnect(socket: Socket): void;
    _onClose(socket: Socket): void;
    /** one whole frame without its length */
    _onMsg(socket: Socket, frame: string): void;
  }
  export default DrachtioAgent;
}
