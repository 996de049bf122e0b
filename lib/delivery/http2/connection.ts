/**
 * The client side of one HTTP/2 connection (RFC 9113) over a socket that is already there: frames, streams, flow control. Only what
 * short requests and short answers need: no server push, no priorities, no streaming. Knows no timer and no retry.
 */
import type { Duplex } from 'node:stream';
import {
  code,
  type ConnectionEvents,
  flag,
  frame,
  head,
  Http2Error,
  largestWindow,
  lastId,
  preface,
  setting,
  standardFrame,
  standardWindow,
  type Stream,
  type StreamEvents,
} from './frames.ts';
import { hearOut } from './hear-out.ts';
import { type Field, HpackError, HpackReader, HpackWriter, Octets } from './hpack.ts';

/** As much as one TLS record takes, octets. */
const fullRecord = 16_384;
/** A header block in more frames than this has no end in sight. */
const longestBlock = 65_536;
/** A peer that makes us answer faster than it reads is not served, octets. */
const mostUnsent = 4 * 1024 * 1024;
/** Body kept of an answer; what follows is not waited for. */
const longestBody = 4096;
/** Frames of a peer that are looked at in one turn of the event loop. */
const framesATurn = 64;
/** Read octets after which the peer may send as many again. */
const windowStep = 16_384;

export class Http2Connection {
  readonly #socket: Duplex;
  readonly #events: ConnectionEvents;
  readonly #pseudo: readonly Field[];
  readonly #out = new Octets(65_536);
  readonly #writer = new HpackWriter();
  readonly #reader = new HpackReader();
  readonly #streams = new Map<number, Stream>();
  #rest: Buffer | undefined;
  #resting = false;
  #block: { readonly id: number; readonly parts: Buffer[]; size: number; readonly ends: boolean } | undefined;
  #nextId = 1;
  #sendWindow = standardWindow;
  #streamWindow = standardWindow;
  #peerFrame = standardFrame;
  #read = 0;
  #mostStreams = Number.POSITIVE_INFINITY;
  #flushing = false;
  #state: 'open' | 'leaving' | 'closed' = 'open';
  #heard = false;
  #blocked = new Set<Stream>();

  /** `authority`: `host[:port]`. Writes the preface at once. */
  constructor(socket: Duplex, authority: string, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#pseudo = [method, scheme, { name: ':authority', value: authority, as: 'indexed' }];
    this.#out.copy(preface);
    // no server push
    this.#frame(frame.settings, 0, 0, 6);
    this.#out.octet(0);
    this.#out.octet(setting.push);
    this.#number(0);
    this.#flushSoon();
    hearOut(socket);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    const ended = (reason: string): void => {
      // what came before the end counts
      this.#takeAll(Number.POSITIVE_INFINITY);
      this.#close(reason);
    };
    socket.on('error', (cause: NodeJS.ErrnoException) => ended(cause.code ?? cause.name));
    socket.on('close', () => ended('')).on('end', () => ended(''));
  }

  /** Has read more than it has looked at. */
  get isBehind(): boolean {
    return this.#resting;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** New requests are taken. */
  get isOpen(): boolean {
    return this.#state === 'open' && this.#nextId < lastId;
  }

  /** Sends a POST; call only while open. Returns its stream, for `giveUp`. Throws a RangeError for a header that must not be sent. */
  post(fields: readonly Field[], body: Buffer, events: StreamEvents): number {
    const id = this.#nextId;
    const at = this.#out.length;
    this.#frame(frame.headers, body.length === 0 ? flag.endHeaders | flag.endStream : flag.endHeaders, id, 0);
    try {
      this.#writer.write(this.#pseudo, this.#out);
      this.#writer.write(fields, this.#out);
    } catch (cause) {
      // what the table has learned meanwhile must reach the peer, or the two would differ
      this.destroy('a header that must not be sent');
      throw cause;
    }
    this.#nextId += 2;
    this.#lengthAt(at, this.#out.length - at - head);
    const stream: Stream = {
      id,
      events,
      window: this.#streamWindow,
      unsent: body,
      status: 0,
      headers: {},
      body: '',
    };
    this.#streams.set(id, stream);
    if (body.length > 0) this.#send(stream);
    // the peer works on these while we write the next ones
    if (this.#out.length >= fullRecord) this.#flush();
    else this.#flushSoon();
    return id;
  }

  /** Nobody waits for it any more: no event, and the peer is told. */
  giveUp(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#forget(stream);
    this.#reset(id, code.cancel);
  }

  ping(): void {
    if (this.#state === 'closed') return;
    this.#frame(frame.ping, 0, 0, 8);
    this.#number(0);
    this.#number(0);
    this.#flushSoon();
  }

  /** Takes no new requests; closes when those that wait have ended. */
  leave(): void {
    if (this.#state !== 'open') return;
    this.#state = 'leaving';
    this.#frame(frame.goaway, 0, 0, 8);
    this.#number(0);
    this.#number(code.none);
    this.#flushSoon();
    this.#endIfIdle();
  }

  /** Ends it now; whatever waits is `cut`. */
  destroy(reason: string): void {
    this.#close(reason);
  }

  // ---- writing

  #frame(type: number, flags: number, stream: number, length: number): void {
    const bytes = this.#out.reserve(head);
    const at = this.#out.length;
    bytes.writeUIntBE(length, at, 3);
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes.writeUInt32BE(stream, at + 5);
    this.#out.length = at + head;
  }

  #lengthAt(at: number, length: number): void {
    this.#out.reserve(0).writeUIntBE(length, at, 3);
  }

  #number(value: number): void {
    this.#out.reserve(4);
    this.#out.length += 4;
    this.#out.uint32(this.#out.length - 4, value);
  }

  /** As much of the body as both windows allow. */
  #send(stream: Stream): void {
    while (stream.unsent !== undefined) {
      const size = Math.min(stream.unsent.length, this.#sendWindow, stream.window, this.#peerFrame);
      if (size <= 0) {
        this.#blocked.add(stream);
        return;
      }
      const isLast = size === stream.unsent.length;
      this.#frame(frame.data, isLast ? flag.endStream : 0, stream.id, size);
      this.#out.copy(stream.unsent, 0, size);
      this.#sendWindow -= size;
      stream.window -= size;
      stream.unsent = isLast ? undefined : stream.unsent.subarray(size);
    }
    this.#blocked.delete(stream);
  }

  #sendBlocked(): void {
    for (const stream of [...this.#blocked]) {
      if (this.#sendWindow <= 0) return;
      this.#send(stream);
    }
    this.#flushSoon();
  }

  #reset(id: number, errorCode: number): void {
    if (this.#state === 'closed') return;
    this.#frame(frame.reset, 0, id, 4);
    this.#number(errorCode);
    this.#flushSoon();
    this.#endIfIdle();
  }

  /** What one turn of the event loop writes goes out in few pieces. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#out.length === 0 || this.#state === 'closed') return;
    this.#socket.write(this.#out.take());
    if (this.#socket.writableLength > mostUnsent) this.destroy('the peer does not read');
  }

  // ---- reading

  #receive(chunk: Buffer): void {
    this.#rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#resting) this.#takeAll(framesATurn);
  }

  /** A thousand answers at once must hold up neither calls nor the pushes that follow them: `most` now, the others next turn. */
  #takeAll(most: number): void {
    let bytes = this.#rest ?? Buffer.alloc(0);
    this.#rest = undefined;
    try {
      for (let count = 0; bytes.length >= head && this.#state !== 'closed'; count++) {
        const length = bytes.readUIntBE(0, 3);
        if (length > standardFrame) throw new Http2Error(code.frameSize, 'a frame larger than allowed');
        if (bytes.length < head + length) break;
        if (count >= most) {
          this.#resting = true;
          setImmediate(() => {
            this.#resting = false;
            this.#takeAll(framesATurn);
          });
          break;
        }
        const payload = bytes.subarray(head, head + length);
        this.#take(bytes[3] ?? 0, bytes[4] ?? 0, bytes.readUInt32BE(5) & lastId, payload);
        bytes = bytes.subarray(head + length);
      }
    } catch (cause) {
      if (!(cause instanceof Http2Error) && !(cause instanceof HpackError)) throw cause;
      this.#fail(cause instanceof Http2Error ? cause.code : code.compression, cause.message);
      return;
    }
    if (bytes.length > 0) this.#rest = bytes;
  }

  #fail(errorCode: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#frame(frame.goaway, 0, 0, 8);
    this.#number(0);
    this.#number(errorCode);
    this.#flush();
    this.destroy(`HTTP/2: ${reason}`);
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (this.#block !== undefined && (type !== frame.more || id !== this.#block.id))
      throw new Http2Error(code.protocol, 'a header block interrupted');
    if (!this.#heard && type !== frame.settings) throw new Http2Error(code.protocol, 'no SETTINGS at the start');
    switch (type) {
      case frame.data:
        return this.#data(flags, id, payload);
      case frame.headers:
        return this.#headers(flags, id, payload);
      case frame.more:
        return this.#moreHeaders(flags, payload);
      case frame.reset:
        return this.#wasReset(id, payload);
      case frame.settings:
        return this.#settings(flags, id, payload);
      case frame.ping:
        return this.#ping(flags, payload);
      case frame.goaway:
        return this.#goaway(payload);
      case frame.window:
        return this.#window(id, payload);
      case frame.push:
        throw new Http2Error(code.protocol, 'server push, which we do not take');
      default:
      // priorities and frames nobody knows (RFC 9113 4.1)
    }
  }

  /** The payload without its padding. */
  #unpadded(flags: number, payload: Buffer): Buffer {
    if ((flags & flag.padded) === 0) return payload;
    const end = payload.length - (payload[0] ?? 0);
    if (end < 1) throw new Http2Error(code.protocol, 'more padding than frame');
    return payload.subarray(1, end);
  }

  #data(flags: number, id: number, payload: Buffer): void {
    const content = this.#unpadded(flags, payload);
    this.#checkId(id);
    // also for streams we have given up: the peer counts them
    this.#read += payload.length;
    if (this.#read >= windowStep) {
      this.#frame(frame.window, 0, 0, 4);
      this.#number(this.#read);
      this.#read = 0;
      this.#flushSoon();
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (stream.body.length < longestBody) stream.body += content.toString('utf8');
    if ((flags & flag.endStream) !== 0) this.#answered(stream);
    else if (stream.body.length >= longestBody) {
      this.#answered(stream);
      this.#reset(id, code.cancel);
    }
  }

  #headers(flags: number, id: number, payload: Buffer): void {
    this.#checkId(id);
    let block = this.#unpadded(flags, payload);
    if ((flags & flag.priority) !== 0) {
      if (block.length < 5) throw new Http2Error(code.frameSize, 'a short priority');
      block = block.subarray(5);
    }
    const ends = (flags & flag.endStream) !== 0;
    if ((flags & flag.endHeaders) !== 0) this.#readBlock(id, block, ends);
    else this.#block = { id, parts: [Buffer.from(block)], size: block.length, ends };
  }

  #moreHeaders(flags: number, payload: Buffer): void {
    const block = this.#block;
    if (block === undefined) throw new Http2Error(code.protocol, 'a continuation of nothing');
    block.size += payload.length;
    block.parts.push(Buffer.from(payload));
    if (block.size > longestBlock || block.parts.length > 64)
      throw new Http2Error(code.calm, 'a header block without end');
    if ((flags & flag.endHeaders) === 0) return;
    this.#block = undefined;
    this.#readBlock(block.id, Buffer.concat(block.parts), block.ends);
  }

  #readBlock(id: number, block: Buffer, ends: boolean): void {
    // read also for streams given up: the table of the connection learns from it
    const fields = this.#reader.read(block);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    const status = fields[':status'];
    if (status !== undefined) {
      if (!/^[1-5]\d\d$/.test(status)) throw new Http2Error(code.protocol, 'no status');
      // an interim answer is none
      if (status.startsWith('1')) return;
      stream.status = Number(status);
      stream.headers = fields;
      stream.events.heard(stream.status);
    }
    if (ends) this.#answered(stream);
  }

  #answered(stream: Stream): void {
    if (!this.#forget(stream)) return;
    const { status, headers, body } = stream;
    // the answer came before all of the request went out: the rest is of no use (RFC 9113 8.1)
    if (stream.unsent !== undefined) this.#reset(stream.id, code.cancel);
    stream.events.ended(
      status === 0
        ? { is: 'reset', code: code.protocol }
        : { is: 'answered', answer: { status, headers, body: body.slice(0, longestBody) } },
    );
    this.#endIfIdle();
  }

  #wasReset(id: number, payload: Buffer): void {
    this.#checkId(id);
    if (payload.length !== 4) throw new Http2Error(code.frameSize, 'a RST_STREAM of odd size');
    const stream = this.#streams.get(id);
    if (stream === undefined || !this.#forget(stream)) return;
    const errorCode = payload.readUInt32BE(0);
    const { status, headers, body } = stream;
    // a whole answer and then NO_ERROR: it wants no more of the request
    const isAnswer = status !== 0 && (errorCode === code.none || status !== 200);
    stream.events.ended(
      isAnswer ? { is: 'answered', answer: { status, headers, body } } : { is: 'reset', code: errorCode },
    );
    this.#endIfIdle();
  }

  #settings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0 || payload.length % 6 !== 0) throw new Http2Error(code.frameSize, 'SETTINGS of odd size');
    if ((flags & flag.ack) !== 0) return;
    this.#heard = true;
    for (let at = 0; at < payload.length; at += 6)
      this.#setting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    this.#frame(frame.settings, flag.ack, 0, 0);
    this.#flushSoon();
    this.#sendBlocked();
    this.#events.settings(this.#mostStreams);
  }

  #setting(name: number, value: number): void {
    switch (name) {
      case setting.tableSize:
        this.#writer.limit(value);
        return;
      case setting.streams:
        this.#mostStreams = value;
        return;
      case setting.window: {
        if (value > largestWindow) throw new Http2Error(code.flowControl, 'a window beyond all measure');
        const change = value - this.#streamWindow;
        this.#streamWindow = value;
        for (const stream of this.#streams.values()) stream.window += change;
        return;
      }
      case setting.frameSize:
        if (value < standardFrame || value > 2 ** 24 - 1) throw new Http2Error(code.protocol, 'an odd frame size');
        this.#peerFrame = value;
        return;
      default:
      // settings we do not use, and those nobody knows
    }
  }

  #ping(flags: number, payload: Buffer): void {
    if (payload.length !== 8) throw new Http2Error(code.frameSize, 'a PING of odd size');
    if ((flags & flag.ack) !== 0) {
      this.#events.pong();
      return;
    }
    this.#frame(frame.ping, flag.ack, 0, 8);
    this.#out.copy(payload);
    this.#flushSoon();
  }

  #goaway(payload: Buffer): void {
    if (payload.length < 8) throw new Http2Error(code.frameSize, 'a short GOAWAY');
    const last = payload.readUInt32BE(0) & lastId;
    if (this.#state === 'open') this.#state = 'leaving';
    const above = [...this.#streams.values()].filter(({ id }) => id > last);
    for (const stream of above) this.#forget(stream);
    this.#events.goaway(payload.readUInt32BE(4), payload.subarray(8));
    for (const stream of above) stream.events.ended({ is: 'unprocessed' });
    this.#endIfIdle();
  }

  #window(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Http2Error(code.frameSize, 'a WINDOW_UPDATE of odd size');
    const more = payload.readUInt32BE(0) & largestWindow;
    if (id === 0) {
      this.#sendWindow += more;
      if (more === 0 || this.#sendWindow > largestWindow) throw new Http2Error(code.flowControl, 'an odd window');
      this.#sendBlocked();
      return;
    }
    this.#checkId(id);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.window += more;
    if (this.#blocked.has(stream)) this.#sendBlocked();
  }

  /** Frames of streams that were never opened break the connection. */
  #checkId(id: number): void {
    if (id === 0 || id % 2 === 0 || id >= this.#nextId) throw new Http2Error(code.protocol, 'a stream nobody opened');
  }

  // ---- ends

  #forget(stream: Stream): boolean {
    this.#blocked.delete(stream);
    return this.#streams.delete(stream.id);
  }

  #endIfIdle(): void {
    if (this.#state !== 'leaving' || this.#streams.size > 0) return;
    this.#flush();
    this.#close('');
  }

  #close(reason: string): void {
    if (this.#state === 'closed') return;
    const wasIdle = this.#state === 'leaving' && this.#streams.size === 0;
    this.#state = 'closed';
    const open = [...this.#streams.values()];
    this.#streams.clear();
    this.#blocked.clear();
    // an end in peace lets the last octets out
    if (wasIdle && this.#socket.writable) this.#socket.end(() => this.#socket.destroy());
    else this.#socket.destroy();
    this.#events.closed(reason, open.length);
    for (const { events } of open) events.ended({ is: 'cut' });
  }
}

const method: Field = { name: ':method', value: 'POST', as: 'indexed' };
const scheme: Field = { name: ':scheme', value: 'https', as: 'indexed' };
