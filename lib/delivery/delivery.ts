/** One push on its way: attempts within a deadline, what may be tried again and when. Settles once, not later than the deadline, never throws. */
import { setMaxListeners } from 'node:events';
import type { OutgoingHttpHeaders } from 'node:http2';
import type { Clock } from '../ports/clock.ts';
import type { PushOutcome } from '../ports/push-service.ts';
import type { Answer, Exchanged, Session } from './session.ts';
import type { SessionPool } from './session-pool.ts';
import type { Judged } from './verdict.ts';
import type { Urgency } from './waiting-line.ts';

/** What proves to the service who we are; it wears out. */
export interface Credential {
  /** another number for every new one */
  readonly generation: number;
  readonly text: string;
}

export interface CredentialSource {
  /** The one to use now. */
  current(now: number): Credential;
  /** The service called the one of this generation expired. After `useless` another try is of no use. */
  expired(generation: number, now: number): 'retry' | 'useless' | Promise<'retry' | 'useless'>;
  /** The service saw too many new ones. */
  tooMany(generation: number, now: number): void;
}

export interface Parcel {
  /** the request's headers with this credential */
  headers(credential: string): OutgoingHttpHeaders;
  readonly body: Buffer;
  /** what to send when the body turns out to be too large */
  readonly smaller: () => Buffer | undefined;
  /** the token of the device, for an outcome that condemns or suspects it */
  readonly token: string;
  readonly id: string;
  readonly urgency: Urgency;
}

export interface DeliveryTerms {
  /** ms for one attempt, from the moment its stream is open */
  readonly attemptMs: number;
  /** ms of silence after which the session has to prove that it lives, and ms it has for that */
  readonly probeMs: number;
  /** ms since the epoch */
  readonly deadline: number;
}

export interface DeliveryHooks {
  /** what the answer says about this push */
  judge(answer: Answer, now: number): Judged;
  /** `id`: the name the service gave to the push */
  accepted(answer: Answer): { readonly id: string };
  /** the service called a young credential expired */
  clockAlarm(): void;
}

const mostAttempts = 3;
/** a peer that refuses stream after stream is not overlooked for ever */
const mostUncounted = 20;
const firstPause = 50;

class Delivery {
  readonly #pool: SessionPool;
  readonly #credentials: CredentialSource;
  readonly #clock: Clock;
  readonly #parcel: Parcel;
  readonly #terms: DeliveryTerms;
  readonly #signal: AbortSignal;
  readonly #hooks: DeliveryHooks;
  readonly #settle: (outcome: PushOutcome) => void;
  readonly #abort = (): void => this.#end({ is: 'cancelled' });
  #body: Buffer;
  #settled = false;
  #attempts = 0;
  #uncounted = 0;
  #renewed = false;
  #moved = false;
  #shrunk = false;
  #last = 'no connection';
  #session: Session | undefined;
  #credential: Credential | undefined;
  #takeBack: (() => void) | undefined;
  #stopDeadline: (() => void) | undefined;
  #stopTimer: (() => void) | undefined;

  constructor(
    pool: SessionPool,
    credentials: CredentialSource,
    clock: Clock,
    parcel: Parcel,
    terms: DeliveryTerms,
    signal: AbortSignal,
    hooks: DeliveryHooks,
    settle: (outcome: PushOutcome) => void,
  ) {
    this.#pool = pool;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#parcel = parcel;
    this.#body = parcel.body;
    this.#terms = terms;
    this.#signal = signal;
    this.#hooks = hooks;
    this.#settle = settle;
  }

  start(): void {
    if (this.#signal.aborted) {
      this.#abort();
      return;
    }
    const left = this.#terms.deadline - this.#clock.now();
    if (left <= 0) {
      this.#end({ is: 'unreachable', reason: 'deadline passed' });
      return;
    }
    // all phones of a call may share one signal
    setMaxListeners(0, this.#signal);
    this.#signal.addEventListener('abort', this.#abort, { once: true });
    this.#stopDeadline = this.#clock.after(left, () =>
      this.#end({ is: 'unreachable', reason: `deadline passed, ${this.#last}` }),
    );
    this.#try(undefined);
  }

  #try(avoid: Session | undefined): void {
    this.#session = undefined;
    this.#takeBack = this.#pool.submit(
      {
        urgency: this.#parcel.urgency,
        body: this.#body,
        headers: () => {
          this.#credential = this.#credentials.current(this.#clock.now());
          return this.#parcel.headers(this.#credential.text);
        },
        started: (session) => {
          this.#session = session;
          this.#last = 'no answer';
          this.#watch(session);
        },
        done: (result) => this.#done(result),
      },
      avoid,
    );
  }

  /** A slow answer is waited for until the attempt ends; a silent connection is left as soon as it looks dead. */
  #watch(session: Session): void {
    const { attemptMs, probeMs } = this.#terms;
    let left = attemptMs;
    let wasDoubted = false;
    const timedOut = (): void => {
      this.#takeBack?.();
      session.probe(0);
      this.#transient('no answer', undefined, 0);
    };
    const tick = (): void => {
      if (left <= 0 || (wasDoubted && session.isDoubted)) {
        timedOut();
        return;
      }
      // timers may come a little early
      if (left < attemptMs) session.probe(probeMs * 0.9);
      wasDoubted = session.isDoubted;
      const next = Math.min(probeMs, left);
      left -= next;
      this.#stopTimer = this.#clock.after(next, tick);
    };
    tick();
  }

  #done(result: Exchanged | { readonly is: 'not-sent'; readonly reason: string }): void {
    if (this.#settled) return;
    this.#stopTimer?.();
    this.#takeBack = undefined;
    switch (result.is) {
      case 'answered':
        this.#answered(result.answer);
        return;
      case 'unprocessed':
        this.#uncounted += 1;
        this.#last = result.reason;
        if (this.#uncounted > mostUncounted) this.#transient(result.reason);
        else this.#try(this.#session);
        return;
      case 'lost':
        this.#transient(result.reason);
        return;
      case 'not-sent':
        this.#end({ is: 'unreachable', reason: result.reason });
        return;
      default:
        result satisfies never;
    }
  }

  #answered(answer: Answer): void {
    const now = this.#clock.now();
    const { verdict, reason, since, retryAfterMs } = this.#hooks.judge(answer, now);
    switch (verdict) {
      case 'accepted':
        this.#end({ is: 'accepted', ...this.#hooks.accepted(answer) });
        return;
      case 'dead':
        this.#end({ is: 'token-dead', token: this.#parcel.token, reason, ...(since === undefined ? {} : { since }) });
        return;
      case 'suspect':
        this.#end({ is: 'token-suspect', token: this.#parcel.token, reason });
        return;
      case 'throttled':
        this.#end({ is: 'throttled', reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
        return;
      case 'config':
        this.#end({ is: 'config-error', reason });
        return;
      case 'transient':
        this.#transient(reason, retryAfterMs);
        return;
      case 'renew-token':
        void this.#renew(reason, now);
        return;
      case 'older-token':
        if (this.#credential !== undefined) this.#credentials.tooMany(this.#credential.generation, now);
        this.#transient(reason);
        return;
      case 'other-session':
        if (this.#moved) {
          this.#end({ is: 'config-error', reason });
          return;
        }
        this.#moved = true;
        // bound to another key: of no use to this pool any more
        this.#session?.drain(reason);
        this.#try(this.#session);
        return;
      case 'shrink':
        this.#shrink(reason);
        return;
      default:
        verdict satisfies never;
    }
  }

  async #renew(reason: string, now: number): Promise<void> {
    const generation = this.#credential?.generation;
    const pending = generation === undefined ? 'retry' : this.#credentials.expired(generation, now);
    const verdict = typeof pending === 'string' ? pending : await pending;
    if (this.#settled) return;
    if (verdict === 'useless') this.#hooks.clockAlarm();
    if (verdict === 'useless' || this.#renewed) {
      this.#end({ is: 'config-error', reason });
      return;
    }
    this.#renewed = true;
    this.#try(undefined);
  }

  #shrink(reason: string): void {
    const smaller = this.#shrunk ? undefined : this.#parcel.smaller();
    if (smaller === undefined) {
      this.#end({ is: 'config-error', reason });
      return;
    }
    this.#shrunk = true;
    this.#body = smaller;
    this.#try(undefined);
  }

  /** Another attempt on another session after a pause, if the budget and the deadline allow. */
  #transient(reason: string, retryAfterMs?: number, pauseMs = Math.random() * firstPause * 2 ** this.#attempts): void {
    this.#last = reason;
    this.#attempts += 1;
    const left = this.#terms.deadline - this.#clock.now();
    if (this.#attempts >= mostAttempts || pauseMs >= left || (retryAfterMs ?? 0) >= left) {
      this.#end({ is: 'unreachable', reason });
      return;
    }
    const used = this.#session;
    this.#stopTimer = this.#clock.after(Math.max(pauseMs, retryAfterMs ?? 0), () => this.#try(used));
  }

  #end(outcome: PushOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#stopDeadline?.();
    this.#stopTimer?.();
    this.#signal.removeEventListener('abort', this.#abort);
    this.#takeBack?.();
    this.#settle(outcome);
  }
}

export function deliver(
  pool: SessionPool,
  credentials: CredentialSource,
  clock: Clock,
  parcel: Parcel,
  terms: DeliveryTerms,
  signal: AbortSignal,
  hooks: DeliveryHooks,
): Promise<PushOutcome> {
  return new Promise((settle) => new Delivery(pool, credentials, clock, parcel, terms, signal, hooks, settle).start());
}
