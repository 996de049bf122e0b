/** One HTTP/2 connection to a push service (RFC 9113): its stream limit, its PING watchdog, its end. Knows no push and no retry. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock } from '../ports/clock.ts';

export interface SessionTimers {
  /** TCP, TLS and the peer's SETTINGS together */
  readonly connectMs: number;
  readonly pingMs: number;
  /** a PING not acknowledged for this long ends the session */
  readonly pingAckMs: number;
}

export interface SessionEvents {
  /** the peer's SETTINGS are there */
  opened(session: Session): void;
  /** a stream ended or the limit went up */
  room(session: Session): void;
  /** no new streams any more; those that are open go on */
  draining(session: Session, reason: string): void;
  closed(session: Session, reason: string): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** empty for 200 */
  readonly body: string;
}

export type Exchanged =
  | { readonly is: 'answered'; readonly answer: Answer }
  /** the peer says, or the order of events proves, that it did nothing with it */
  | { readonly is: 'unprocessed'; readonly reason: string }
  /** it may have been processed or not */
  | { readonly is: 'lost'; readonly reason: string };

/** the most we put on one connection, whatever the peer allows */
const ownLimit = 1000;
/** error bodies are one short JSON object; pages of middleboxes may be longer */
const longestBody = 4096;

const { HTTP2_HEADER_STATUS: STATUS, NGHTTP2_REFUSED_STREAM: REFUSED, NGHTTP2_CANCEL: CANCEL } = constants;

export class Session {
  readonly #http2: ClientHttp2Session;
  readonly #socket: TLSSocket;
  readonly #events: SessionEvents;
  readonly #clock: Clock;
  readonly #timers: SessionTimers;
  #state: 'connecting' | 'open' | 'draining' | 'closed' = 'connecting';
  #streams = 0;
  #limit = 1;
  #pinging = false;
  #doubted = false;
  #heardAt = 0;
  /** ids above it were not processed (RFC 9113 6.8) */
  #lastProcessed = Number.POSITIVE_INFINITY;
  #reason = 'closed';
  #stopTimer: () => void;
  /** has answered at least once: it is no connection that dies at birth */
  proven = false;

  constructor(endpoint: string, ca: string | undefined, timers: SessionTimers, clock: Clock, events: SessionEvents) {
    this.#events = events;
    this.#clock = clock;
    this.#timers = timers;
    const { hostname, port } = new URL(endpoint);
    // our own socket: a session that was told to close waits for the peer's end even when it is destroyed
    const socket = connectTls({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
    });
    socket.setNoDelay(true);
    const http2 = connect(endpoint, { createConnection: () => socket, settings: { enablePush: false } });
    this.#socket = socket;
    this.#http2 = http2;
    this.#stopTimer = clock.after(timers.connectMs, () => this.destroy('connect timeout'));
    http2.on('remoteSettings', (settings) => {
      this.#heardAt = clock.now();
      const before = this.#limit;
      this.#limit = Math.min(ownLimit, settings.maxConcurrentStreams ?? ownLimit);
      if (this.#state === 'connecting') this.#opened();
      else if (this.#state === 'open' && this.#limit > before) this.#events.room(this);
    });
    http2.on('goaway', (code, lastStreamId, data) => this.#goaway(code, lastStreamId, data));
    http2.on('error', (cause) => {
      this.#reason = (cause as NodeJS.ErrnoException).code ?? cause.name;
    });
    http2.on('close', () => this.#closed());
  }

  get isOpen(): boolean {
    // the connection may have ended before its event comes
    return this.#state === 'open' && !this.#http2.closed && !this.#http2.destroyed;
  }

  get isConnecting(): boolean {
    return this.#state === 'connecting';
  }

  get streams(): number {
    return this.#streams;
  }

  /** Does not answer at the moment; its PING is on the way. */
  get isDoubted(): boolean {
    return this.#doubted;
  }

  /** May take one more stream now. A session in doubt takes none until its PING is acknowledged. */
  get hasRoom(): boolean {
    return this.isOpen && !this.#doubted && this.#streams < this.#limit;
  }

  /** Opens a stream; call only while there is room. `done` is called once, later. The returned function gives the stream up. */
  exchange(headers: OutgoingHttpHeaders, body: Buffer, done: (result: Exchanged) => void): () => void {
    let stream: ClientHttp2Stream;
    try {
      stream = this.#http2.request(headers, { endStream: false });
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? 'request refused';
      queueMicrotask(() => done({ is: 'lost', reason }));
      return () => undefined;
    }
    this.#streams += 1;
    let status = 0;
    let answer: Answer['headers'] = {};
    let text = '';
    let reason: string | undefined;
    let settled = false;
    const settle = (result: Exchanged): void => {
      if (settled) return;
      settled = true;
      done(result);
    };
    stream.on('response', (received) => {
      this.proven = true;
      this.#heardAt = this.#clock.now();
      status = Number(received[STATUS] ?? 0);
      answer = received as Answer['headers'];
      // nothing follows that matters: do not wait for the end of the stream
      if (status === 200) settle({ is: 'answered', answer: { status, headers: answer, body: '' } });
    });
    stream.on('data', (chunk: Buffer) => {
      if (text.length < longestBody) text += chunk.toString();
    });
    stream.on('error', (cause: NodeJS.ErrnoException) => {
      reason = cause.code;
    });
    stream.on('close', () => {
      this.#streams -= 1;
      if (!settled) settle(this.#verdict(stream, status, answer, text, reason));
      // all two thousand million ids are used up
      if (stream.id === undefined && this.isOpen) this.drain('out of stream ids');
      if (this.isOpen) this.#events.room(this);
    });
    stream.end(body);
    return () => {
      settled = true;
      if (!stream.destroyed) stream.close(CANCEL);
    };
  }

  /**
   * A stream waits for its answer: if nothing at all was heard for this long (ms), no new streams until the peer has
   * answered a PING. Besides frozen peers this finds sessions of node 20 that a reset left open without any event.
   */
  probe(silentMs: number): void {
    if (this.#state !== 'open' || this.#clock.now() - this.#heardAt < silentMs) return;
    this.#doubted = true;
    this.#ping();
  }

  /** Takes no new streams; ends when the open ones have. */
  drain(reason: string): void {
    if (this.#state !== 'open') {
      this.destroy(reason);
      return;
    }
    this.#state = 'draining';
    this.#reason = reason;
    this.#http2.close();
    this.#events.draining(this, reason);
  }

  destroy(reason: string): void {
    if (this.#state === 'closed') return;
    this.#reason = reason;
    this.#state = 'draining';
    this.#http2.destroy();
    this.#socket.destroy();
  }

  #opened(): void {
    this.#state = 'open';
    this.#stopTimer();
    this.#watch();
    this.#events.opened(this);
  }

  #watch(): void {
    this.#stopTimer = this.#clock.after(this.#timers.pingMs, () => this.#ping());
  }

  #ping(): void {
    if (this.#pinging) return;
    this.#stopTimer();
    if (this.#http2.destroyed) {
      // all streams have ended, only the peer's end is missing
      this.destroy(this.#reason);
      return;
    }
    this.#pinging = true;
    // its own end mark: the interval goes on only after the acknowledgement
    this.#stopTimer = this.#clock.after(this.#timers.pingAckMs, () => this.destroy('PING not acknowledged'));
    this.#http2.ping((failure) => {
      if (failure !== null) return;
      this.#pinging = false;
      this.#heardAt = this.#clock.now();
      this.#stopTimer();
      if (this.#http2.destroyed) return;
      this.#watch();
      if (!this.#doubted) return;
      this.#doubted = false;
      if (this.#state === 'open') this.#events.room(this);
    });
  }

  #goaway(code: number, lastStreamId: number, data: Buffer | undefined): void {
    // node gives 2^31-1 for the first, warning GOAWAY of a graceful end
    this.#lastProcessed = Math.min(this.#lastProcessed, lastStreamId);
    let why = `GOAWAY ${code}`;
    try {
      const { reason } = JSON.parse((data ?? Buffer.alloc(0)).toString()) as { reason?: unknown };
      if (typeof reason === 'string') why += ` ${reason.slice(0, 64)}`;
    } catch {
      // no data, as usual
    }
    this.#reason = why;
    if (this.#state === 'closed' || this.#state === 'draining') return;
    const wasConnecting = this.#state === 'connecting';
    this.#state = 'draining';
    if (wasConnecting) this.destroy(why);
    else this.#events.draining(this, why);
  }

  #closed(): void {
    this.#state = 'closed';
    this.#stopTimer();
    this.#events.closed(this, this.#reason);
  }

  /** A stream ended without a 200. Decided by id and code, as messages differ with the way a session ends. */
  #verdict(
    stream: ClientHttp2Stream,
    status: number,
    headers: Answer['headers'],
    body: string,
    reason: string | undefined,
  ): Exchanged {
    const code = stream.rstCode ?? 0;
    if (status !== 0 && (code === 0 || status !== 200)) return { is: 'answered', answer: { status, headers, body } };
    if (stream.id === undefined || stream.id > this.#lastProcessed)
      return { is: 'unprocessed', reason: 'above the last stream of GOAWAY' };
    if (code === REFUSED) return { is: 'unprocessed', reason: 'REFUSED_STREAM' };
    if (code !== 0 && !this.#http2.destroyed) return { is: 'lost', reason: `RST_STREAM ${code}` };
    return { is: 'lost', reason: reason ?? this.#reason };
  }
}
