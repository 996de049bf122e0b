/**
 * WebSocket listener, WS and WSS (RFC 7118, RFC 6455): a connection is a flow. A browser can only be reached over the connection
 * it made itself, so nothing here ever connects.
 */
import { isUtf8 } from 'node:buffer';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ListenAt } from '../options.ts';
import type { Admission } from './admission.ts';
import { Connection, type Surroundings } from './connection.ts';
import { ConnectionListener } from './connection-listener.ts';
import { plainAddress } from './flow.ts';
import { lengthIn } from './stream-framing.ts';
import type { TlsContexts } from './tls-contexts.ts';
import { TlsHandshakes } from './tls-handshakes.ts';
import type { Told } from './told.ts';

/** Request line and header fields of a handshake; cookies may be long. */
const handshakeBytes = 16_384;
const closeWithinMs = 2000;

export class WebSocketListener extends ConnectionListener {
  readonly #http: Server;
  readonly #webSockets: WebSocketServer;
  readonly #handshakes: TlsHandshakes | undefined;

  private constructor(at: ListenAt, told: Told, around: Surroundings, admission: Admission, contexts: TlsContexts) {
    super(at, told, around, admission);
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: around.limits.messageBytes,
      // a message in crumbs would cost many times its size
      maxFragments: 256,
      maxBufferedChunks: 1024,
      closeTimeout: closeWithinMs,
      // answered below, where a peer that does not read is noticed
      autoPong: false,
      handleProtocols: () => 'sip',
    };
    this.#webSockets = new WebSocketServer(options);
    this.#webSockets.on('wsClientError', (_error, socket) => {
      around.counters.handshakesFailed++;
      socket.destroy();
    });
    // listens nowhere: it is handed its sockets
    this.#http = createServer({ maxHeaderSize: handshakeBytes, keepAliveTimeout: 1 }, (_request, response) => {
      around.counters.upgradesRefused++;
      response.writeHead(426, { Upgrade: 'websocket', Connection: 'close', 'Content-Length': 0 }).end();
    });
    this.#http.on('clientError', (_error, socket) => {
      around.counters.handshakesFailed++;
      socket.destroy();
    });
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    if (at.transport === 'wss')
      this.#handshakes = new TlsHandshakes(contexts, around.counters, (socket) => this.#speak(socket));
  }

  static async open(
    at: ListenAt,
    told: Told,
    around: Surroundings,
    admission: Admission,
    contexts: TlsContexts,
  ): Promise<WebSocketListener> {
    const listener = new WebSocketListener(at, told, around, admission, contexts);
    await listener.listen(at);
    return listener;
  }

  protected override accept(socket: Socket): void {
    this.awaitHandshake(socket);
    if (this.#handshakes === undefined) this.#speak(socket);
    else this.#handshakes.take(socket);
  }

  #speak(socket: Socket): void {
    socket.on('error', () => {});
    this.#http.emit('connection', socket);
  }

  /** RFC 7118 4.1, 7: the subprotocol must be offered, the site must be one of ours, and the cookie there. */
  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { remoteAddress, remotePort } = socket;
    const refusal = this.#refusal(request);
    if (refusal !== undefined || remoteAddress === undefined || remotePort === undefined) {
      this.around.counters.upgradesRefused++;
      socket.end(`HTTP/1.1 ${refusal ?? '400 Bad Request'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      socket.destroySoon();
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.arrived(socket);
      const peer = { address: plainAddress(remoteAddress), port: remotePort };
      this.keep(new WebSocketConnection(this, webSocket, peer, this.around), socket);
    });
  }

  #refusal({ headers }: IncomingMessage): string | undefined {
    const { origins, cookie } = this.around.webSocket;
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim().toLowerCase());
    if (!offered.includes('sip')) return '400 Bad Request';
    const { origin } = headers;
    if (origins !== undefined && origin !== undefined && !origins.includes(origin.toLowerCase()))
      return '403 Forbidden';
    if (cookie !== undefined && !hasCookie(headers.cookie, cookie.name, cookie.value)) return '401 Unauthorized';
    return undefined;
  }
}

function hasCookie(field: string | undefined, name: string, value: string): boolean {
  return (field ?? '').split(';').some((pair) => pair.trim() === `${name}=${value}`);
}

class WebSocketConnection extends Connection {
  readonly #webSocket: WebSocket;
  /** pings that nothing has followed */
  #pings = 0;
  #pingedAt = 0;

  constructor(
    listener: WebSocketListener,
    webSocket: WebSocket,
    peer: { readonly address: string; readonly port: number },
    around: Surroundings,
  ) {
    super(listener, peer, around);
    this.#webSocket = webSocket;
    webSocket.on('message', (data: Buffer) => this.#onMessage(data));
    webSocket.on('ping', (data: Buffer) => {
      this.#alive();
      if (this.open && !this.isChoked(webSocket.bufferedAmount)) webSocket.pong(data);
    });
    webSocket.on('pong', () => this.#alive());
    // frames against RFC 6455, or a message above the limit: ws closes with the code for it
    webSocket.on('error', () => {
      this.around.counters.malformed++;
      this.shut();
    });
    webSocket.on('close', () => this.onClosed());
  }

  /** One SIP message is one WebSocket message (RFC 7118 5); text when it is UTF-8, as most clients expect, else binary. */
  send(text: string): boolean {
    if (!this.open || this.isChoked(this.#webSocket.bufferedAmount)) return false;
    this.around.counters.sent++;
    const octets = Buffer.from(text, 'latin1');
    this.#webSocket.send(octets, { binary: !isUtf8(octets) });
    return true;
  }

  end(): void {
    this.shut();
    this.#webSocket.close(1002);
  }

  destroy(): void {
    this.shut();
    this.#webSocket.terminate();
  }

  /** A browser cannot ping, and its network says nothing when it goes: so we ask (RFC 7118 6). */
  override look(now: number): void {
    super.look(now);
    const { webSocket, counters } = this.around;
    const { pingMs } = webSocket;
    if (!this.open || pingMs === 0 || now - Math.max(this.lastHeard, this.#pingedAt) < pingMs) return;
    if (this.#pings >= 2) {
      counters.idleClosed++;
      this.destroy();
      return;
    }
    this.#pings++;
    this.#pingedAt = now;
    this.#webSocket.ping();
  }

  #alive(): void {
    this.heard();
    this.#pings = 0;
  }

  #onMessage(data: Buffer): void {
    if (!this.open) return;
    this.#alive();
    const { receiver, counters } = this.around;
    try {
      const text = data.toString('latin1');
      if (/^(?:\r\n){0,2}$/.test(text)) {
        this.noteSpoke();
        if (text === '\r\n\r\n' && !this.isChoked(this.#webSocket.bufferedAmount))
          this.#webSocket.send('\r\n', { binary: false });
        return;
      }
      const endOfHead = text.indexOf('\r\n\r\n') + 4;
      const head = endOfHead < 4 ? '' : text.slice(0, endOfHead);
      const length = lengthIn(head);
      // a second message behind the first, or none at all: nothing says what else the peer gets wrong
      if (head === '' || (length !== undefined && text.length > endOfHead + length)) {
        receiver.onBadFrame(head, this);
        this.end();
        return;
      }
      this.noteSpoke();
      receiver.onMessage(text, this);
    } catch {
      counters.faults++;
    }
  }
}
