/** One HTTP/2 connection to a push service: its stream limit, its PING watchdog, its end. Knows no push and no retry. */
import type { LookupFunction } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../ports/clock.ts';
import type { Deadlines } from './deadlines.ts';
import { dial, type Proxy } from './dial.ts';
import { Http2Connection } from './http2/connection.ts';
import { code, type Http2Answer, type StreamEnd } from './http2/frames.ts';
import type { Field } from './http2/hpack.ts';

export interface SessionTimers {
  /** TCP, TLS and the peer's SETTINGS together */
  readonly connectMs: number;
  readonly pingMs: number;
  /** a PING not acknowledged for this long ends the session */
  readonly pingAckMs: number;
}

export interface SessionTarget {
  /** `https://host:port` */
  readonly endpoint: string;
  /** PEM text; the public CAs when absent */
  readonly ca: string | undefined;
  readonly proxy: Proxy | undefined;
  readonly lookup?: LookupFunction;
}

export interface SessionEvents {
  /** the peer's SETTINGS are there */
  opened(session: Session): void;
  /** a stream ended or the limit went up */
  room(session: Session): void;
  /** no new streams any more; those that are open go on */
  draining(session: Session, reason: string): void;
  /** `streams`: how many waited for an answer */
  closed(session: Session, reason: string, streams: number): void;
}

export type Answer = Http2Answer;

export type Exchanged =
  | { readonly is: 'answered'; readonly answer: Answer }
  /** the peer says, or the order of events proves, that it did nothing with it */
  | { readonly is: 'unprocessed'; readonly reason: string }
  /** it may have been processed or not; `withSession`: as everything else on this connection */
  | { readonly is: 'lost'; readonly reason: string; readonly withSession: boolean };

/** the most we put on one connection, whatever the peer allows */
const ownLimit = 1000;

export class Session {
  readonly #events: SessionEvents;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #timers: SessionTimers;
  readonly #endDial: () => void;
  #http2: Http2Connection | undefined;
  #socket: TLSSocket | undefined;
  #state: 'connecting' | 'open' | 'draining' | 'closed' = 'connecting';
  #limit = 1;
  #pinging = false;
  #doubted = false;
  #heardAt = 0;
  #reason = 'closed';
  #stopTimer: () => void;
  /** has answered at least once: it is no connection that dies at birth */
  proven = false;

  constructor(target: SessionTarget, timers: SessionTimers, clock: Clock, deadlines: Deadlines, events: SessionEvents) {
    this.#events = events;
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#timers = timers;
    const { host, hostname, port } = new URL(target.endpoint);
    this.#stopTimer = deadlines.patiently(timers.connectMs, () => this.destroy('connect timeout'));
    this.#endDial = dial(
      {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port || 443),
        ca: target.ca,
        protocols: ['h2'],
        proxy: target.proxy,
        lookup: target.lookup,
      },
      (result) => {
        if (typeof result === 'string') this.destroy(result);
        else this.#connected(result, host);
      },
    );
  }

  get isOpen(): boolean {
    return this.#state === 'open' && this.#http2?.isOpen === true;
  }

  /** Takes no new streams, and those that are open go on. */
  get isDraining(): boolean {
    return this.#state === 'draining';
  }

  /** Answers of it may lie here unread. */
  get isBehind(): boolean {
    return this.#http2?.isBehind === true;
  }

  get isConnecting(): boolean {
    return this.#state === 'connecting';
  }

  get streams(): number {
    return this.#http2?.streams ?? 0;
  }

  /** Of the peer; undefined before there is a connection, or behind a proxy. */
  get address(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  /** Does not answer at the moment; its PING is on the way. */
  get isDoubted(): boolean {
    return this.#doubted;
  }

  /** May take one more stream now. A session in doubt takes none until its PING is acknowledged. */
  get hasRoom(): boolean {
    return this.isOpen && !this.#doubted && this.streams < this.#limit;
  }

  /**
   * Opens a stream; call only while there is room. `done` is called once, later; `heard` when a status came
   * but not yet all of the answer. The returned function gives the stream up.
   */
  exchange(
    headers: readonly Field[],
    body: Buffer,
    done: (result: Exchanged) => void,
    heard?: (status: number) => void,
  ): () => void {
    const http2 = this.#http2;
    let id: number;
    try {
      if (http2 === undefined) throw new RangeError('no connection');
      id = http2.post(headers, body, {
        heard: (status) => {
          this.proven = true;
          this.#heardAt = this.#clock.now();
          heard?.(status);
        },
        ended: (end) => {
          done(this.#exchanged(end));
          if (this.isOpen) this.#events.room(this);
          // all two thousand million ids are used up
          else if (this.#state === 'open') this.drain('out of stream ids');
        },
      });
    } catch (cause) {
      const reason = cause instanceof RangeError ? cause.message : 'request refused';
      queueMicrotask(() => done({ is: 'lost', reason, withSession: false }));
      return () => undefined;
    }
    return () => {
      http2.giveUp(id);
      if (this.isOpen) this.#events.room(this);
    };
  }

  /**
   * A stream waits for its answer: if nothing at all was heard for this long (ms), no new streams until the peer has
   * answered a PING. One that drains gets none anyway; the PING finds out whether it is dead.
   */
  probe(silentMs: number): void {
    if (this.#clock.now() - this.#heardAt < silentMs) return;
    if (this.#state === 'open') this.#doubted = true;
    if (this.#state === 'open' || this.#state === 'draining') this.#ping();
  }

  /** Takes no new streams; ends when the open ones have. */
  drain(reason: string): void {
    if (this.#state !== 'open') {
      this.destroy(reason);
      return;
    }
    this.#state = 'draining';
    this.#reason = reason;
    this.#events.draining(this, reason);
    this.#http2?.leave();
  }

  destroy(reason: string): void {
    if (this.#state === 'closed') return;
    this.#reason = reason;
    this.#endDial();
    if (this.#http2 === undefined) this.#closed(0);
    else this.#http2.destroy(reason);
  }

  #connected(socket: TLSSocket, authority: string): void {
    this.#socket = socket;
    this.#http2 = new Http2Connection(socket, authority, {
      settings: (mostStreams) => {
        this.#heardAt = this.#clock.now();
        const before = this.#limit;
        this.#limit = Math.min(ownLimit, mostStreams);
        if (this.#state === 'connecting') this.#opened();
        else if (this.#state === 'open' && this.#limit > before) this.#events.room(this);
      },
      pong: () => this.#pong(),
      goaway: (errorCode, data) => this.#goaway(errorCode, data),
      closed: (reason, streams) => {
        if (reason !== '' && this.#state !== 'draining') this.#reason = reason;
        this.#closed(streams);
      },
    });
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
    if (this.#pinging || this.#state === 'closed') return;
    this.#stopTimer();
    this.#pinging = true;
    // its own end mark: the interval goes on only after the acknowledgement
    this.#stopTimer = this.#deadlines.patiently(this.#timers.pingAckMs, () => this.destroy('PING not acknowledged'));
    this.#http2?.ping();
  }

  #pong(): void {
    if (!this.#pinging) return;
    this.#pinging = false;
    this.#heardAt = this.#clock.now();
    this.#stopTimer();
    this.#watch();
    if (!this.#doubted) return;
    this.#doubted = false;
    if (this.#state === 'open') this.#events.room(this);
  }

  #goaway(errorCode: number, data: Buffer): void {
    let why = `GOAWAY ${errorCode}`;
    try {
      const { reason } = JSON.parse(data.toString()) as { reason?: unknown };
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

  #closed(streams: number): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stopTimer();
    this.#events.closed(this, this.#reason, streams);
  }

  #exchanged(end: StreamEnd): Exchanged {
    switch (end.is) {
      case 'answered':
        return end;
      case 'unprocessed':
        return { is: 'unprocessed', reason: 'above the last stream of GOAWAY' };
      case 'reset':
        return end.code === code.refused
          ? { is: 'unprocessed', reason: 'REFUSED_STREAM' }
          : { is: 'lost', reason: `RST_STREAM ${end.code}`, withSession: false };
      case 'cut':
        return { is: 'lost', reason: this.#reason, withSession: true };
      default:
        return end satisfies never;
    }
  }
}
