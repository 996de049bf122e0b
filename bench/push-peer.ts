/**
 * A push service for the figures of throughput, as a process of its own: takes every POST, waits, and answers as APNs or FCM would.
 * It reads frames and headers, checks that each push is a whole one, and does nothing else, so that the clients are what is
 * measured. (The push lab checks everything, which costs it more than a push costs the client.)
 */
import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import type { Socket } from 'node:net';
import { HpackReader, HpackWriter, Octets } from '../lib/delivery/http2/hpack.ts';
import { makeServerIdentity } from '../apps/push-lab/certificate.ts';

export interface PeerReady {
  readonly is: 'ready';
  readonly endpoint: string;
  readonly tokenUri: string;
  readonly ca: string;
}

export interface PeerCounts {
  readonly is: 'counts';
  readonly pushes: number;
  readonly broken: number;
  readonly connections: number;
  readonly tokens: number;
}

export type PeerOrder =
  | { readonly do: 'count' }
  /** the token endpoint answers 503 */
  | { readonly do: 'token-outage'; readonly on: boolean };

const latencyMs = Number(process.argv[2] ?? 30);
const tokenSeconds = Number(process.argv[3] ?? 3600);
const frame = { data: 0, headers: 1, settings: 4, ping: 6, window: 8 } as const;
const answerBody = Buffer.from('{"name":"projects/bench/messages/0:1"}');
const plainSettings = Buffer.from([0, 3, 0, 0, 3, 0xe8]);

let pushes = 0;
let broken = 0;
let connections = 0;
let tokens = 0;
let hasOutage = false;

class Peer {
  readonly #socket: Socket;
  readonly #reader = new HpackReader();
  readonly #writer = new HpackWriter();
  readonly #out = new Octets(65_536);
  readonly #due: { readonly at: number; readonly id: number; readonly path: string; readonly name: string }[] = [];
  readonly #open = new Map<number, { readonly path: string; readonly name: string; hasBegun: boolean }>();
  #rest: Buffer = Buffer.alloc(0);
  #hasPreface = false;
  #read = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#frame(frame.settings, 0, 0, plainSettings);
    this.#flush();
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => undefined).on('close', () => clearTimeout(this.#timer));
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    const head = Buffer.allocUnsafe(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    this.#out.copy(head);
    this.#out.copy(payload);
  }

  #flush(): void {
    if (this.#out.length > 0) this.#socket.write(this.#out.take());
  }

  #receive(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#hasPreface && bytes.length >= 24) {
      bytes = bytes.subarray(24);
      this.#hasPreface = true;
    }
    while (this.#hasPreface && bytes.length >= 9) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < 9 + length) break;
      this.#take(bytes[3] ?? 0, bytes[4] ?? 0, bytes.readUInt32BE(5), bytes.subarray(9, 9 + length));
      bytes = bytes.subarray(9 + length);
    }
    this.#rest = bytes;
    if (this.#read > 16_384) {
      const more = Buffer.alloc(4);
      more.writeUInt32BE(this.#read);
      this.#read = 0;
      this.#frame(frame.window, 0, 0, more);
    }
    this.#flush();
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === frame.settings && (flags & 1) === 0) this.#frame(frame.settings, 1, 0, Buffer.alloc(0));
    if (type === frame.ping && (flags & 1) === 0) this.#frame(frame.ping, 1, 0, payload);
    if (type === frame.headers) {
      // node's client says that there are priorities
      const block = (flags & 32) === 0 ? payload : payload.subarray(5);
      const fields = this.#reader.read(block);
      const isWhole = fields[':method'] === 'POST' && /^bearer /i.test(fields['authorization'] ?? '');
      if (!isWhole) broken += 1;
      this.#open.set(id, { path: fields[':path'] ?? '', name: fields['apns-id'] ?? '', hasBegun: false });
    }
    if (type === frame.data) {
      this.#read += payload.length;
      const about = this.#open.get(id);
      if (about === undefined) return;
      // flow control may have cut a body in two
      const isWrong = payload.length > 0 && !about.hasBegun && payload[0] !== 0x7b;
      about.hasBegun = true;
      if (isWrong) broken += 1;
      if ((flags & 1) === 0) return;
      this.#open.delete(id);
      if (payload.length > 0 && !isWrong && payload.at(-1) !== 0x7d) broken += 1;
      this.#due.push({ at: performance.now() + latencyMs, id, ...about });
      this.#timer ??= setTimeout(() => this.#answer(), latencyMs);
    }
  }

  /** What came together is answered together. */
  #answer(): void {
    const now = performance.now() + 0.5;
    let count = 0;
    for (const { at, id, path, name } of this.#due) {
      if (at > now) break;
      count += 1;
      pushes += 1;
      const isFcm = path.startsWith('/v1/');
      const block = new Octets(64);
      this.#writer.write(isFcm ? [ok, json] : [ok, { name: 'apns-id', value: name, as: 'plain' }], block);
      this.#frame(frame.headers, isFcm ? 4 : 5, id, block.take());
      if (isFcm) this.#frame(frame.data, 1, id, answerBody);
    }
    this.#due.splice(0, count);
    this.#flush();
    const [next] = this.#due;
    this.#timer = next === undefined ? undefined : setTimeout(() => this.#answer(), Math.max(0, next.at - now));
  }
}

const ok = { name: ':status', value: '200', as: 'indexed' } as const;
const json = { name: 'content-type', value: 'application/json', as: 'indexed' } as const;
const identity = makeServerIdentity({ hosts: ['localhost'], addresses: ['127.0.0.1'] });
const tls = { key: identity.key, cert: identity.certificate };
const server = createServer({ ...tls, ALPNProtocols: ['h2'] }, (socket) => {
  connections += 1;
  socket.setNoDelay(true);
  new Peer(socket);
});
server.on('tlsClientError', () => undefined);
const tokenServer = createHttpsServer(tls, (request, response) => {
  request.resume();
  if (hasOutage) {
    response.writeHead(503).end();
    return;
  }
  tokens += 1;
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ access_token: `bench-${tokens}`, token_type: 'Bearer', expires_in: tokenSeconds }));
});
await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
await new Promise<void>((done) => tokenServer.listen(0, '127.0.0.1', done));
const portOf = (one: { address(): string | AddressInfo | null }): number => (one.address() as AddressInfo).port;
process.on('message', (order: PeerOrder) => {
  if (order.do === 'token-outage') hasOutage = order.on;
  process.send?.({ is: 'counts', pushes, broken, connections, tokens } satisfies PeerCounts);
});
process.on('disconnect', () => process.exit(0));
process.send?.({
  is: 'ready',
  endpoint: `https://127.0.0.1:${portOf(server)}`,
  tokenUri: `https://127.0.0.1:${portOf(tokenServer)}/token`,
  ca: identity.ca,
} satisfies PeerReady);
