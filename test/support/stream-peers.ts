/** SIP endpoints over TLS and WebSocket for the tests, as text-peer.ts has them for UDP and TCP. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import WebSocket from 'ws';
import { Inbox } from './text-peer.ts';

interface At {
  readonly address: string;
  readonly port: number;
}

export class TlsPeer extends Inbox {
  readonly socket: TLSSocket;

  private constructor(socket: TLSSocket) {
    super();
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (octets: Buffer) => this.put(octets.toString('latin1')));
    socket.on('close', () => this.close());
  }

  /** Takes any certificate unless told otherwise. */
  static async open(to: At, options: ConnectionOptions = {}): Promise<TlsPeer> {
    const socket = connect({ host: to.address, port: to.port, rejectUnauthorized: false, ...options });
    await once(socket, 'secureConnect');
    return new TlsPeer(socket);
  }

  get port(): number {
    return this.socket.localPort ?? 0;
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Reads no more. */
  pause(): void {
    this.socket.pause();
  }

  stop(): void {
    this.socket.destroy();
  }
}

export interface WsPeerOptions {
  readonly secure?: boolean;
  /** `sip` when absent */
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly origin?: string;
  readonly localAddress?: string;
  readonly autoPong?: boolean;
}

export class WsPeer extends Inbox {
  readonly socket: WebSocket;
  /** how each message in `messages` came, as long as none was taken */
  readonly binary: boolean[] = [];
  pings = 0;
  closeCode = 0;

  private constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data: Buffer, isBinary) => {
      this.binary.push(isBinary);
      this.put(data.toString('latin1'));
    });
    socket.on('ping', () => {
      this.pings++;
      this.put('(ping)');
    });
    socket.on('pong', () => this.put('(pong)'));
    socket.on('close', (code) => {
      this.closeCode = code;
      this.close();
    });
  }

  /** Rejects with the HTTP status when the handshake is refused. */
  static async open(to: At, options: WsPeerOptions = {}): Promise<WsPeer> {
    const { secure = false, protocols = ['sip'], headers = {}, origin, localAddress, autoPong = true } = options;
    const host = to.address.includes(':') ? `[${to.address}]` : to.address;
    const more = { autoPong, ...(localAddress === undefined ? {} : { localAddress }) };
    const socket = new WebSocket(`${secure ? 'wss' : 'ws'}://${host}:${to.port}/`, [...protocols], {
      rejectUnauthorized: false,
      headers,
      perMessageDeflate: true,
      ...(origin === undefined ? {} : { origin }),
      ...more,
    });
    const peer = new WsPeer(socket);
    await new Promise<void>((done, fail) => {
      socket.once('open', () => done());
      socket.once('unexpected-response', (_request, response: IncomingMessage) => {
        response.resume();
        fail(new Error(`refused with ${response.statusCode}`));
      });
      socket.once('error', fail);
    });
    return peer;
  }

  send(text: string, options: { readonly binary?: boolean } = {}): void {
    const octets = Buffer.from(text, 'latin1');
    this.socket.send(octets, { binary: options.binary ?? false });
  }

  stop(): void {
    this.socket.terminate();
  }
}
