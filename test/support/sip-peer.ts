/**
 * A small SIP endpoint on real sockets (UDP or TCP) for tests: it writes what it is told, octet for octet, keeps everything
 * it receives in order, and can answer by itself. No transactions, no timers: copies of a message are counted, not repeated.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { hostOf } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import {
  parseMessage,
  printMessage,
  request,
  response,
  type SipRequest,
  type SipResponse,
} from '../../lib/sip/message.ts';
import { tagOf } from '../../lib/sip/name-addr.ts';

export interface At {
  readonly address: string;
  readonly port: number;
}

export interface Received {
  readonly message: SipRequest | SipResponse;
  /** the message as it came, one character per octet */
  readonly text: string;
  readonly from: At;
  /** ms, performance.now */
  readonly at: number;
}

export interface Draft {
  readonly uri?: string;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly branch?: string;
  readonly contact?: string | null;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly contentType?: string;
}

let serial = 0;
/** A server that outlives the test knows the dialogs of the runs before. */
const run = randomBytes(4).toString('hex');

export class SipPeer {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
  /** everything, in order, without copies */
  readonly received: Received[] = [];
  /** messages that were octet for octet the same as one before */
  copies = 0;
  readonly #udp: UdpSocket | undefined;
  readonly #tcp: Server | undefined;
  readonly #connections = new Map<string, Socket>();
  readonly #seen = new Set<string>();
  #unread: Received[] = [];
  #wake: (() => void)[] = [];
  readonly #answers = new Map<string, (request: SipRequest, from: At) => void>();

  private constructor(transport: 'udp' | 'tcp', at: At, udp: UdpSocket | undefined, tcp: Server | undefined) {
    this.transport = transport;
    this.address = at.address;
    this.port = at.port;
    this.#udp = udp;
    this.#tcp = tcp;
  }

  static async open(transport: 'udp' | 'tcp', address: string, port = 0): Promise<SipPeer> {
    if (transport === 'udp') {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      socket.bind(port, address);
      await once(socket, 'listening');
      const peer = new SipPeer('udp', { address, port: socket.address().port }, socket, undefined);
      socket.on('message', (octets, from) =>
        peer.#take(octets.toString('latin1'), { address: from.address, port: from.port }),
      );
      socket.on('error', () => {});
      return peer;
    }
    const server = createServer();
    server.listen(port, address);
    await once(server, 'listening');
    const bound = server.address() as { port: number };
    const peer = new SipPeer('tcp', { address, port: bound.port }, undefined, server);
    server.on('connection', (socket) => peer.#hold(socket));
    return peer;
  }

  /** Where others reach it: `sip:user@address:port;transport=tcp`. */
  uri(user = 'peer'): string {
    return `sip:${user}@${hostOf(this.address)}:${this.port}${this.transport === 'tcp' ? ';transport=tcp' : ''}`;
  }

  /** `sip:address:port;transport=t` */
  get nextHop(): string {
    return `sip:${hostOf(this.address)}:${this.port};transport=${this.transport}`;
  }

  // ---- sending ----

  async send(message: SipRequest | SipResponse | string, to: At): Promise<void> {
    const text = typeof message === 'string' ? message : printMessage(message);
    const octets = Buffer.from(text, 'latin1');
    if (this.#udp !== undefined) {
      this.#udp.send(octets, to.port, to.address);
      return;
    }
    const key = `${to.address}:${to.port}`;
    let socket = this.#connections.get(key);
    if (socket === undefined || socket.destroyed) {
      socket = connect({ host: to.address, port: to.port, localAddress: this.address });
      await once(socket, 'connect');
      this.#hold(socket);
    }
    socket.write(octets);
  }

  /** The local port of the connection to `to` (TCP), or the port of the socket. */
  localPort(to: At): number {
    return this.#connections.get(`${to.address}:${to.port}`)?.localPort ?? this.port;
  }

  /** Closes the connection to `to` (TCP). */
  async hangUp(to: At): Promise<void> {
    const socket = this.#connections.get(`${to.address}:${to.port}`);
    if (socket === undefined) return;
    socket.end();
    if (!socket.destroyed) await once(socket, 'close');
  }

  draft(method: string, draft: Draft = {}): SipRequest {
    const n = `${run}-${++serial}`;
    const body = draft.body ?? '';
    const headers = Headers.of([
      [
        'Via',
        `SIP/2.0/${this.transport.toUpperCase()} ${hostOf(this.address)}:${this.port};branch=${draft.branch ?? `z9hG4bK-peer-${n}`};rport`,
      ],
      ['Max-Forwards', '70'],
      ['From', draft.from ?? `<sip:alice@edge.test>;tag=f${n}`],
      ['To', draft.to ?? '<sip:bob@edge.test>'],
      ['Call-ID', draft.callId ?? `call-${n}@${this.address}`],
      ['CSeq', `${draft.cseq ?? 1} ${method}`],
    ]);
    if (draft.contact !== null) headers.add('Contact', draft.contact ?? `<${this.uri('alice')}>`);
    for (const [name, value] of draft.headers ?? []) headers.add(name, value);
    if (body !== '') headers.add('Content-Type', draft.contentType ?? 'application/sdp');
    headers.add('Content-Length', String(body.length));
    return request(method, draft.uri ?? 'sip:bob@edge.test', headers, body);
  }

  /** The next request of the dialog that `invite` and its 2xx made, seen from the caller. */
  inDialog(method: string, invite: SipRequest, answer: SipResponse, draft: Draft = {}): SipRequest {
    const cseq = Number.parseInt(invite.headers.get('cseq') ?? '1', 10);
    const target = /<([^>]*)>/.exec(answer.headers.get('contact') ?? '')?.[1];
    return this.draft(method, {
      ...(target === undefined ? {} : { uri: target }),
      from: invite.headers.get('from') as string,
      to: answer.headers.get('to') as string,
      callId: invite.headers.get('call-id') as string,
      cseq: method === 'ACK' ? cseq : cseq + 1,
      ...draft,
    });
  }

  /** The next request of a dialog, seen from the callee that answered `invite` with `tag`. */
  fromCallee(method: string, invite: SipRequest, tag: string, draft: Draft = {}): SipRequest {
    const target = /<([^>]*)>/.exec(invite.headers.get('contact') ?? '')?.[1];
    return this.draft(method, {
      ...(target === undefined ? {} : { uri: target }),
      from: `${invite.headers.get('to') as string};tag=${tag}`,
      to: invite.headers.get('from') as string,
      callId: invite.headers.get('call-id') as string,
      cseq: 1,
      ...draft,
    });
  }

  /** An answer to `to`, with the same Via, From, To (plus tag), Call-ID and CSeq. */
  answer(
    to: SipRequest,
    status: number,
    draft: Draft & { readonly tag?: string; readonly reason?: string } = {},
  ): SipResponse {
    const headers = Headers.empty();
    for (const via of to.headers.lines('via')) headers.add('Via', via);
    for (const route of to.headers.lines('record-route')) headers.add('Record-Route', route);
    headers.add('From', to.headers.get('from') ?? '');
    const toValue = to.headers.get('to') ?? '';
    headers.add(
      'To',
      status === 100 || tagOf(toValue) !== undefined ? toValue : `${toValue};tag=${draft.tag ?? `t${this.port}`}`,
    );
    headers.add('Call-ID', to.headers.get('call-id') ?? '');
    headers.add('CSeq', to.headers.get('cseq') ?? '');
    if (draft.contact !== null && (draft.contact !== undefined || (to.method === 'INVITE' && status < 300))) {
      headers.add('Contact', draft.contact ?? `<${this.uri()}>`);
    }
    for (const [name, value] of draft.headers ?? []) headers.add(name, value);
    const body = draft.body ?? '';
    if (body !== '') headers.add('Content-Type', draft.contentType ?? 'application/sdp');
    headers.add('Content-Length', String(body.length));
    return response(status, draft.reason ?? 'Test', headers, body);
  }

  // ---- receiving ----

  /** From now on every request of this method is handed to `how` instead of waiting to be taken. It is still in `received`. */
  on(method: string, how: (request: SipRequest, from: At) => void): void {
    this.#answers.set(method, how);
  }

  /** The next unread request with this method; what came before it stays unread. */
  async request(method: string): Promise<SipRequest & { readonly source: At }> {
    const found = await this.#next((message) => message.kind === 'request' && message.method === method, method);
    return Object.assign(found.message as SipRequest, { source: found.from });
  }

  /** The next unread response with this status (and method in its CSeq). */
  async response(status: number, method?: string): Promise<SipResponse> {
    const fits = (message: SipRequest | SipResponse): boolean =>
      message.kind === 'response' &&
      message.status === status &&
      (method === undefined || (message.headers.get('cseq') ?? '').endsWith(` ${method}`));
    return (await this.#next(fits, `${status} ${method ?? ''}`)).message as SipResponse;
  }

  /** Unread messages as short words (`INVITE`, `200 BYE`), for asserting that there is nothing else. */
  get unread(): string[] {
    return this.#unread.map(({ message }) => word(message));
  }

  async close(): Promise<void> {
    for (const socket of this.#connections.values()) socket.destroy();
    this.#udp?.close();
    if (this.#tcp !== undefined) {
      this.#tcp.close();
      await once(this.#tcp, 'close');
    }
  }

  async #next(fits: (message: SipRequest | SipResponse) => boolean, what: string): Promise<Received> {
    const deadline = performance.now() + 8000;
    for (;;) {
      const at = this.#unread.findIndex(({ message }) => fits(message));
      if (at >= 0) return this.#unread.splice(at, 1)[0] as Received;
      const left = deadline - performance.now();
      if (left <= 0) {
        throw new Error(
          `no ${what}; ${this.address}:${this.port} got: ${this.received.map((one) => word(one.message)).join(', ') || 'nothing'}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #hold(socket: Socket): void {
    const from = { address: socket.remoteAddress as string, port: socket.remotePort as number };
    this.#connections.set(`${from.address}:${from.port}`, socket);
    let buffered = '';
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      buffered += octets.toString('latin1');
      for (;;) {
        while (buffered.startsWith('\r\n')) buffered = buffered.slice(2);
        const end = buffered.indexOf('\r\n\r\n');
        if (end < 0) return;
        const length = Number(/^(?:content-length|l)[ \t]*:[ \t]*(\d+)/im.exec(buffered.slice(0, end + 2))?.[1] ?? 0);
        if (buffered.length < end + 4 + length) return;
        this.#take(buffered.slice(0, end + 4 + length), from);
        buffered = buffered.slice(end + 4 + length);
      }
    });
  }

  #take(text: string, from: At): void {
    const message = parseMessage(text);
    if (message.kind === 'malformed') return;
    if (this.#seen.has(text)) {
      this.copies++;
      return;
    }
    this.#seen.add(text);
    const received: Received = { message, text, from, at: performance.now() };
    this.received.push(received);
    const how = message.kind === 'request' ? this.#answers.get(message.method) : undefined;
    if (how !== undefined) {
      how(message as SipRequest, from);
      return;
    }
    this.#unread.push(received);
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function word(message: SipRequest | SipResponse): string {
  if (message.kind === 'request') return message.method;
  return `${message.status} ${(message.headers.get('cseq') ?? '').split(' ')[1] ?? ''}`;
}

export const sdp = (port: number, address = '127.0.0.1'): string =>
  `v=0\r\no=- 1 1 IN IP4 ${address}\r\ns=-\r\nc=IN IP4 ${address}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0\r\n`;
