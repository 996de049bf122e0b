/**
 * The connections to one host for one credential: chooses the least loaded, replaces what ends, lets pushes wait while no stream is
 * free, and refuses them while a breaker is open. Knows no credential and no retry.
 */
import type { Clock } from '../ports/clock.ts';
import { Deadlines } from './deadlines.ts';
import { orderAddresses, orderedLookup, type Proxy } from './dial.ts';
import { type FuseKind, Fuses } from './fuses.ts';
import type { Field } from './http2/hpack.ts';
import { type Exchanged, Session, type SessionTimers } from './session.ts';
import { type Urgency, WaitingLine } from './waiting-line.ts';

export interface SessionPoolLimits {
  /** opened before the first push */
  readonly warmSessions: number;
  readonly maxSessions: number;
  /** open streams on the least loaded session that make another one worth while */
  readonly busyStreams: number;
  readonly queueLimit: number;
}

export interface PoolOptions extends SessionPoolLimits {
  /** `https://host:port` */
  readonly endpoint: string;
  /** PEM text; the public CAs when absent */
  readonly ca: string | undefined;
  readonly proxy: Proxy | undefined;
  readonly timers: SessionTimers;
}

export interface PoolEvents {
  connection?(endpoint: string, what: 'opened' | 'draining' | 'closed', reason: string): void;
  /** The service does not work, or does not accept our credentials: pushes are refused at once until it does. */
  breaker?(endpoint: string, kind: FuseKind, isOpen: boolean, reason: string): void;
}

export type Submission =
  | Exchanged
  /** never went out; `config`: as the service does not accept who we are */
  | { readonly is: 'not-sent'; readonly reason: string; readonly config: boolean };

export interface Job {
  readonly urgency: Urgency;
  readonly body: Buffer;
  /** asked for when a stream is there, so that the provider token is fresh */
  headers(): readonly Field[];
  /** the stream is open */
  started(session: Session): void;
  /** a status came, perhaps not yet all of the answer */
  heard?(status: number): void;
  /** called once, unless the job was taken back */
  done(result: Submission): void;
}

interface Submitted {
  readonly job: Job;
  /** not this one, if there is another */
  readonly avoid: Session | undefined;
  giveUp: (() => void) | undefined;
}

const firstBackOff = 50;
const longestBackOff = 5000;
/** with pushes waiting */
const longestBackOffInNeed = 500;
/** An address that failed is not the first choice for so long, ms. */
const failedMs = 30_000;
/** Part of all pushes that may be sent twice, and how many at a time. */
const hedgedPart = 0.02;
const mostHedged = 20;

export class SessionPool {
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  /** connecting and open ones; a draining session has left */
  readonly #sessions = new Set<Session>();
  readonly #leaving = new Set<Session>();
  readonly #waiting: WaitingLine<Submitted>;
  readonly #failedAddresses = new Map<string, number>();
  /** timers of the pushes in this pool */
  readonly deadlines: Deadlines;
  readonly fuses: Fuses;
  /** sessions in a row that ended without one answer */
  #failures = 0;
  #lastFailure = 0;
  #hedges = 1;
  #stopRetry: (() => void) | undefined;
  #closed = false;
  #tellEmpty = (): void => undefined;
  /** resolves when it is closed or retired and the last connection has ended */
  readonly ended: Promise<void>;

  constructor(options: PoolOptions, clock: Clock, events: PoolEvents) {
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.#waiting = new WaitingLine(options.queueLimit);
    this.ended = new Promise((done) => {
      this.#tellEmpty = done;
    });
    this.deadlines = new Deadlines(clock);
    this.fuses = new Fuses(clock, (kind, isOpen, reason) => {
      events.breaker?.(options.endpoint, kind, isOpen, reason);
      if (isOpen) this.#refuseWaiting(`${kind} breaker open, ${reason}`, kind === 'credentials');
    });
  }

  /** Opens what should be open before the first push comes. */
  warm(): void {
    this.#fill();
  }

  get load(): { readonly sessions: number; readonly streams: number; readonly waiting: number } {
    let streams = 0;
    for (const session of this.#sessions) streams += session.streams;
    for (const session of this.#leaving) streams += session.streams;
    return { sessions: this.#sessions.size, streams, waiting: this.#waiting.size };
  }

  /** Starts the job as soon as a stream is free. The returned function takes it back, waiting or started. */
  submit(job: Job, avoid?: Session): () => void {
    const entry: Submitted = { job, avoid, giveUp: undefined };
    if (this.#closed) return refuse(job, { is: 'not-sent', reason: 'closing', config: false });
    const blown = this.fuses.ask();
    if (blown !== undefined) {
      const reason = `${blown.kind} breaker open, ${blown.reason}`;
      return refuse(job, { is: 'not-sent', reason, config: blown.kind === 'credentials' });
    }
    this.#hedges = Math.min(mostHedged, this.#hedges + hedgedPart);
    const session = this.#waiting.size === 0 ? this.#choose(avoid) : undefined;
    if (session !== undefined) {
      this.#start(entry, session);
      if (session.streams > this.#options.busyStreams) this.#fill();
    } else {
      const displaced = this.#waiting.add(entry, job.urgency);
      if (displaced !== undefined)
        queueMicrotask(() => displaced.job.done({ is: 'not-sent', reason: 'queue full', config: false }));
      this.#fill();
    }
    return () => {
      if (!this.#waiting.delete(entry)) entry.giveUp?.();
    };
  }

  /** The same push once more on another connection, if there is one and not too many were sent twice; undefined otherwise. */
  hedge(job: Job, busy: Session): (() => void) | undefined {
    const other = this.#hedges >= 1 ? this.#choose(busy) : undefined;
    if (other === undefined || other === busy || !other.proven) return undefined;
    this.#hedges -= 1;
    const entry: Submitted = { job, avoid: busy, giveUp: undefined };
    this.#start(entry, other);
    return () => entry.giveUp?.();
  }

  /**
   * New credentials took the place of this pool's: what waits is given back as unprocessed, to be sent with the new ones, and the
   * connections end. `atOnce`: the key was revoked, so streams under way end with their connections.
   */
  retire(atOnce: boolean): void {
    this.#closed = true;
    this.#stopRetry?.();
    for (let entry = this.#waiting.take(); entry !== undefined; entry = this.#waiting.take())
      entry.job.done({ is: 'unprocessed', reason: 'new credentials' });
    for (const session of [...this.#sessions, ...(atOnce ? this.#leaving : [])]) {
      if (atOnce) session.destroy('credentials revoked');
      else session.drain('new credentials');
    }
    this.#tellIfEmpty();
  }

  /** Takes no more jobs, refuses those that wait, lets open streams end for this long. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#stopRetry?.();
    this.#refuseWaiting('closing', false);
    for (const session of [...this.#sessions]) session.drain('closing');
    this.#tellIfEmpty();
    const stop = this.#clock.after(graceMs, () => {
      for (const session of [...this.#leaving]) session.destroy('closing');
    });
    await this.ended;
    stop();
  }

  #refuseWaiting(reason: string, config: boolean): void {
    for (let entry = this.#waiting.take(); entry !== undefined; entry = this.#waiting.take())
      entry.job.done({ is: 'not-sent', reason, config });
  }

  #start(entry: Submitted, session: Session): void {
    const { job } = entry;
    entry.giveUp = session.exchange(
      job.headers(),
      job.body,
      (result) => job.done(result),
      (status) => job.heard?.(status),
    );
    job.started(session);
  }

  #choose(avoid: Session | undefined): Session | undefined {
    let best: Session | undefined;
    for (const session of this.#sessions) {
      if (!session.hasRoom || session === avoid) continue;
      if (best === undefined || session.streams < best.streams) best = session;
    }
    return best ?? (avoid?.hasRoom === true && this.#sessions.has(avoid) ? avoid : undefined);
  }

  #pump(): void {
    while (this.#waiting.size > 0) {
      const free = this.#choose(undefined);
      if (free === undefined) break;
      const entry = this.#waiting.take();
      if (entry === undefined) break;
      this.#start(entry, entry.avoid === free ? (this.#choose(free) ?? free) : free);
    }
    if (this.#waiting.size > 0) this.#fill();
  }

  /** Opens one more session if there is reason to, now or when the back-off allows. */
  #fill(): void {
    if (this.#closed || !this.#needsMore()) return;
    const wait = this.#lastFailure + this.#backOff() - this.#clock.now();
    if (this.#failures > 0 && wait > 0) {
      this.#stopRetry?.();
      this.#stopRetry = this.#clock.after(wait, () => {
        this.#stopRetry = undefined;
        this.#fill();
      });
      return;
    }
    this.#open();
    this.#fill();
  }

  #needsMore(): boolean {
    const { maxSessions, warmSessions, busyStreams } = this.#options;
    if (this.#sessions.size < Math.min(warmSessions, maxSessions)) return true;
    if (this.#sessions.size >= maxSessions) return false;
    let least = Number.POSITIVE_INFINITY;
    for (const session of this.#sessions) {
      // a new one is on its way, or has not yet been told how much it may carry
      if (session.isConnecting || (session.isOpen && !session.proven && !session.isDoubted)) return false;
      if (session.hasRoom) least = Math.min(least, session.streams);
    }
    return least === Number.POSITIVE_INFINITY ? this.#waiting.size > 0 : least > busyStreams;
  }

  #backOff(): number {
    const longest = this.#waiting.size > 0 ? longestBackOffInNeed : longestBackOff;
    return Math.min(longest, firstBackOff * 2 ** Math.min(this.#failures - 1, 10)) * (0.5 + Math.random() / 2);
  }

  #open(): void {
    const { endpoint, ca, proxy, timers } = this.#options;
    let hasOpened = false;
    const lookup = orderedLookup((addresses) => this.#ordered(addresses));
    const session: Session = new Session({ endpoint, ca, proxy, lookup }, timers, this.#clock, this.deadlines, {
      opened: () => {
        hasOpened = true;
        this.fuses.connected();
        this.#events.connection?.(endpoint, 'opened', '');
        this.#pump();
      },
      room: () => this.#pump(),
      draining: (_, reason) => {
        this.#sessions.delete(session);
        this.#leaving.add(session);
        this.#events.connection?.(endpoint, 'draining', reason);
        this.#fill();
      },
      closed: (_, reason, streams) => {
        // one that was told to end has done so
        const hasFailed = this.#sessions.delete(session);
        this.#leaving.delete(session);
        if (session.proven) {
          this.#failures = 0;
        } else {
          this.#failures += 1;
          this.#lastFailure = this.#clock.now();
        }
        if (hasFailed && !this.#closed) {
          if (session.address !== undefined) this.#failedAddresses.set(session.address, this.#clock.now() + failedMs);
          if (!hasOpened) this.fuses.connectFailed(reason);
          // one event, however many waited on it
          else if (streams > 0) this.fuses.failed(reason);
        }
        this.#events.connection?.(endpoint, 'closed', reason);
        this.#fill();
        this.#tellIfEmpty();
      },
    });
    this.#sessions.add(session);
  }

  /** A replacement prefers another address than the one that failed, a second connection another than the first. */
  #ordered<A extends { readonly address: string }>(addresses: readonly A[]): readonly A[] {
    const now = this.#clock.now();
    for (const [address, until] of this.#failedAddresses) if (until <= now) this.#failedAddresses.delete(address);
    const used = [...this.#sessions].flatMap(({ address }) => (address === undefined ? [] : [address]));
    return orderAddresses(addresses, new Set(used), new Set(this.#failedAddresses.keys()));
  }

  #tellIfEmpty(): void {
    if (this.#closed && this.#sessions.size === 0 && this.#leaving.size === 0) this.#tellEmpty();
  }
}

function refuse(job: Job, result: Submission): () => void {
  let isWanted = true;
  queueMicrotask(() => {
    if (isWanted) job.done(result);
  });
  return () => {
    isWanted = false;
  };
}
