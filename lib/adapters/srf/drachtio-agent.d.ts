/** The parts of drachtio-srf 5.0.29 that this adapter stands on. Written by hand: the package does not type its inner files. */
declare module 'drachtio-srf/lib/wire-protocol.js' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  /** Writes frames and pings. What connects, and connects again, is ours: see wire.ts. */
  class WireProtocol extends EventEmitter {
    constructor(options: object);
    /** `enablePing` */
    _evalPingOpts(options: { readonly enablePing?: boolean }): void;
    _stopPinging(socket: Socket): void;
    /** gives the id of the frame */
    send(socket: Socket, payload: string): string;
    connect(options: object): void;
  }
  export default WireProtocol;
}

declare module 'drachtio-srf/lib/drachtio-agent.js' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';
  import type WireProtocol from 'drachtio-srf/lib/wire-protocol.js';

  /** One connection to a drachtio server at a time: authenticates, announces routes, pings. */
  class DrachtioAgent extends EventEmitter {
    constructor(onRequest: (req: unknown, res: unknown) => void);
    wp: WireProtocol;
    secret: string;
    tags: readonly string[];
    readonly mapServer: Map<Socket, { ready: boolean; hostport: string | null; localHostports?: string | null }>;
    route(method: string): void;
    /** a connection stands, nothing was sent yet */
    _onConnect(socket: Socket): void;
    _onClose(socket: Socket): void;
    /** one whole frame without its length */
    _onMsg(socket: Socket, frame: string): void;
  }
  export default DrachtioAgent;
}
