/** SIP endpoints of a few lines, on real sockets: they send text and wait for text. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export class Inbox {
  readonly messages: string[] = [];
  closed = false;
  #wake: (() => void)[] = [];

  put(text: string): void {
    this.messages.push(text);
    this.#woken();
  }

  close(): void {
    this.closed = true;
    this.#woken();
  }

  async next(fits: string | ((text: string) => boolean)): Promise<string> {
    const test = typeof fits === 'string' ? (text: string): boolean => text.startsWith(fits) : fits;
    for (;;) {
      const at = this.messages.findIndex(test);
      if (at >= 0) return this.messages.splice(at, 1)[0] as string;
      if (this.closed) throw new Error('the connection was closed');
      await this.#change();
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

export class UdpPeer extends Inbox {
  readonly #socket: UdpSocket;
  /** where the last message came from */
  from = '';

  private constructor(socket: UdpSocket) {
    super();
    this.#socket = socket;
    socket.on('message', (octets, from) => {
      this.from = `${from.address}:${from.port}`;
      this.put(octets.toString('latin1'));
    });
  }

  static async open(address: string): Promise<UdpPeer> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(0, address);
    await once(socket, 'listening');
    return new UdpPeer(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get address(): string {
    return this.#socket.address().address;
  }

  send(text: string | Buffer, to: { readonly address: string; readonly port: number }): Promise<void> {
    const octets = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
    return new Promise((resolve) => {
      this.#socket.send(octets, to.port, to.address, () => resolve());
    });
  }

  stop(): void {
    this.#socket.close();
  }
}

export class TcpPeer extends Inbox {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (octets) => this.put(octets.toString('latin1')));
    socket.on('close', () => this.close());
  }

  static async open(to: { readonly address: string; readonly port: number }, localAddress?: string): Promise<TcpPeer> {
    const socket = connect({
      host: to.address,
      port: to.port,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    await once(socket, 'connect');
    return new TcpPeer(socket);
  }

  get port(): number {
    return this.#socket.localPort ?? 0;
  }

  send(text: string | Buffer): void {
    if (typeof text === 'string') this.#socket.write(text, 'latin1');
    else this.#socket.write(text);
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  stop(): void {
    this.#socket.destroy();
  }
}

export function headerOf(text: string, name: string): string {
  return new RegExp(`^${name}: (.*)\r$`, 'im').exec(text)?.[1] ?? '';
}

let serial = 0;

/** A request with everything RFC 3261 8.1.1 asks for; each call makes a new branch and Call-ID unless told otherwise. */
export function aRequest(
  method: string,
  options: {
    transport?: string;
    sentBy?: string;
    branch?: string;
    callId?: string;
    seq?: number;
    toTag?: string;
    uri?: string;
    extra?: string;
    body?: string;
  } = {},
): string {
  serial++;
  const {
    transport = 'UDP',
    sentBy = '192.0.2.1:5060',
    branch = `z9hG4bKs${serial}`,
    callId = `call${serial}@test`,
    seq = 1,
    uri = 'sip:bob@edge.test',
    extra = '',
    body = '',
  } = options;
  const to = options.toTag === undefined ? '' : `;tag=${options.toTag}`;
  return (
    `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/${transport} ${sentBy};branch=${branch};rport\r\nMax-Forwards: 70\r\n` +
    `From: <sip:alice@edge.test>;tag=a1\r\nTo: <sip:bob@edge.test>${to}\r\nCall-ID: ${callId}\r\nCSeq: ${seq} ${method}\r\n` +
    `Contact: <sip:alice@192.0.2.1:5060>\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`
  );
}
