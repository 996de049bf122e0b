/** The connections to one host for one credential: chooses the least loaded, replaces what ends, lets pushes wait while no stream is free. Knows no credential and no retry. */
import type { OutgoingHttpHeaders } from 'node:http2';
import type { Clock } from '../ports/clock.ts';
import { type Exchanged, Session, type SessionTimers } from './session.ts';
import { type Urgency, WaitingLine } from './waiting-line.ts';

export interface PoolOptions {
  /** `https://host:port` */
  readonly endpoint: string;
  /** PEM text; the public CAs when absent */
  readonly ca: string | undefined;
  readonly timers: SessionTimers;
  readonly warmSessions: number;
  readonly maxSessions: number;
  /** open streams on the least loaded session that make another one worth while */
  readonly busyStreams: number;
  readonly queueLimit: number;
}

export interface PoolEvents {
  connection?(endpoint: string, what: 'opened' | 'draining' | 'closed', reason: string): void;
}

export interface Job {
  readonly urgency: Urgency;
  readonly body: Buffer;
  /** asked for when a stream is there, so that the provider token is fresh */
  headers(): OutgoingHttpHeaders;
  /** the stream is open */
  started(session: Session): void;
  /** called once, unless the job was taken back */
  done(result: Exchanged | { readonly is: 'not-sent'; readonly reason: string }): void;
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

export class SessionPool {
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  /** connecting and open ones; a draining session has left */
  readonly #sessions = new Set<Session>();
  readonly #leaving = new Set<Session>();
  readonly #waiting: WaitingLine<Submitted>;
  /** sessions in a row that ended without one answer */
  #failures = 0;
  #lastFailure = 0;
  #stopRetry: (() => void) | undefined;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  constructor(options: PoolOptions, clock: Clock, events: PoolEvents) {
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.#waiting = new WaitingLine(options.queueLimit);
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
    if (this.#closed) {
      queueMicrotask(() => job.done({ is: 'not-sent', reason: 'closing' }));
      return () => undefined;
    }
    const session = this.#waiting.size === 0 ? this.#choose(avoid) : undefined;
    if (session !== undefined) {
      this.#start(entry, session);
      if (session.streams > this.#options.busyStreams) this.#fill();
    } else {
      const displaced = this.#waiting.add(entry, job.urgency);
      if (displaced !== undefined) queueMicrotask(() => displaced.job.done({ is: 'not-sent', reason: 'queue full' }));
      this.#fill();
    }
    return () => {
      if (!this.#waiting.delete(entry)) entry.giveUp?.();
    };
  }

  /** Takes no more jobs, refuses those that wait, lets open streams end for this long. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#stopRetry?.();
    for (let entry = this.#waiting.take(); entry !== undefined; entry = this.#waiting.take()) {
      entry.job.done({ is: 'not-sent', reason: 'closing' });
    }
    const empty = new Promise<void>((done) => {
      this.#whenEmpty = done;
    });
    for (const session of [...this.#sessions]) session.drain('closing');
    this.#tellIfEmpty();
    const stop = this.#clock.after(graceMs, () => {
      for (const session of this.#leaving) session.destroy('closing');
    });
    await empty;
    stop();
  }

  #start(entry: Submitted, session: Session): void {
    const { job } = entry;
    entry.giveUp = session.exchange(job.headers(), job.body, (result) => job.done(result));
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
    const { endpoint, ca, timers } = this.#options;
    const session: Session = new Session(endpoint, ca, timers, this.#clock, {
      opened: () => {
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
      closed: (_, reason) => {
        this.#sessions.delete(session);
        this.#leaving.delete(session);
        if (session.proven) {
          this.#failures = 0;
        } else {
          this.#failures += 1;
          this.#lastFailure = this.#clock.now();
        }
        this.#events.connection?.(endpoint, 'closed', reason);
        this.#fill();
        this.#tellIfEmpty();
      },
    });
    this.#sessions.add(session);
  }

  #tellIfEmpty(): void {
    if (this.#sessions.size === 0 && this.#leaving.size === 0) this.#whenEmpty?.();
  }
}
