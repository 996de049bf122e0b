/** One push on its way: attempts within a deadline, what may be tried again and when. Settles once, not later than the deadline, never throws. */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../ports/clock.ts';
import type { PushOutcome } from '../ports/push-service.ts';
import type { Field } from './http2/hpack.ts';
import type { Answer, Session } from './session.ts';
import type { SessionPool, Submission } from './session-pool.ts';
import { isWorking, type Judged } from './verdict.ts';
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

/** Where a push goes now. Asked for anew at every attempt: the credentials may have been renewed in between. */
export interface Route {
  readonly pool: SessionPool;
  readonly credentials: CredentialSource;
}

export interface Parcel {
  /** the request's headers with this credential */
  headers(credential: string): readonly Field[];
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
  /** ms without a status after which the push is sent on another connection too; never when absent */
  readonly hedgeMs?: number;
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
/** An answer may lie here unread: time until we look again, ms. */
const behindMs = 20;
/** Looks at a connection in doubt before its pushes leave it. */
const mostDoubts = 3;
/** An attempt is not given up for another one that would have less time than this, ms. */
const shortestAttempt = 250;
/** A connection that the peer is about to close keeps its streams until a push has only this much time left, ms ... */
const lastChance = 1000;
/** ... or so many times as long as an attempt lasts elsewhere. */
const drainingPatience = 3;

/** Full jitter: any pause up to one that doubles with every attempt. */
export function pauseBefore(attempt: number): number {
  return Math.random() * firstPause * 2 ** attempt;
}

/** One stream of a push: the first, or the one beside it that shall be faster. */
interface Lane {
  readonly takeBack: () => void;
}

class Delivery {
  readonly #route: () => Route | undefined;
  readonly #clock: Clock;
  readonly #parcel: Parcel;
  readonly #terms: DeliveryTerms;
  readonly #signal: AbortSignal;
  readonly #hooks: DeliveryHooks;
  readonly #settle: (outcome: PushOutcome) => void;
  readonly #abort = (): void => {
    this.#end({ is: 'cancelled' });
    this.#at?.pool.fuses.takenBack();
  };
  #body: Buffer;
  #settled = false;
  #attempts = 0;
  #uncounted = 0;
  #renewed = false;
  #moved = false;
  #shrunk = false;
  #last = 'no connection';
  #at: Route | undefined;
  #session: Session | undefined;
  #generation: number | undefined;
  #first: Lane | undefined;
  #second: Lane | undefined;
  #taken = false;
  #stopDeadline: (() => void) | undefined;
  #stopTimer: (() => void) | undefined;

  constructor(
    route: () => Route | undefined,
    clock: Clock,
    parcel: Parcel,
    terms: DeliveryTerms,
    signal: AbortSignal,
    hooks: DeliveryHooks,
    settle: (outcome: PushOutcome) => void,
  ) {
    this.#route = route;
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
    this.#at = this.#route();
    // all phones of a call may share one signal
    setMaxListeners(0, this.#signal);
    this.#signal.addEventListener('abort', this.#abort, { once: true });
    this.#stopDeadline = this.#at?.pool.deadlines.after(left, () => {
      this.#end(
        this.#taken ? { is: 'accepted', id: '' } : { is: 'unreachable', reason: `deadline passed, ${this.#last}` },
      );
      this.#at?.pool.fuses.takenBack();
    });
    this.#send(undefined);
  }

  #try(avoid: Session | undefined): void {
    this.#at = this.#route();
    this.#send(avoid);
  }

  #send(avoid: Session | undefined): void {
    const at = this.#at;
    if (at === undefined) {
      this.#end({ is: 'config-error', reason: 'no credentials for app' });
      return;
    }
    this.#session = undefined;
    this.#taken = false;
    // what fails at once may do so before `submit` has returned
    let isOver = false;
    const takeBack = at.pool.submit(
      {
        urgency: this.#parcel.urgency,
        body: this.#body,
        headers: () => this.#headers(at),
        started: (session) => {
          this.#session = session;
          this.#last = 'no answer';
          this.#watch(session, at);
        },
        heard: (status) => this.#heard(status),
        done: (result) => {
          isOver = true;
          this.#first = undefined;
          this.#done(result);
        },
      },
      avoid,
    );
    if (!isOver && !this.#settled) this.#first = { takeBack };
  }

  #headers({ credentials }: Route): readonly Field[] {
    const credential = credentials.current(this.#clock.now());
    this.#generation = credential.generation;
    return this.#parcel.headers(credential.text);
  }

  #heard(status: number): void {
    // the service has it; what the rest of the answer says is of no importance
    if (status === 200) this.#taken = true;
  }

  /**
   * A slow answer is waited for until the attempt ends; a silent connection is left as soon as it looks dead. A peer that said GOAWAY
   * has promised to answer the streams it let us keep (RFC 9113 6.8): to send those again would be to send them twice.
   */
  #watch(session: Session, at: Route): void {
    const { attemptMs, probeMs, deadline, hedgeMs = Number.POSITIVE_INFINITY } = this.#terms;
    let past = 0;
    let doubts = 0;
    const wait = (ms: number): void => {
      past += ms;
      this.#stopTimer = at.pool.deadlines.patiently(ms, look);
    };
    const look = (): void => {
      if (session.isBehind) {
        wait(behindMs);
        return;
      }
      const left = deadline - this.#clock.now();
      const { isDraining } = session;
      doubts = session.isDoubted ? doubts + 1 : 0;
      const isOver = isDraining
        ? past >= drainingPatience * attemptMs || left <= lastChance
        : past >= attemptMs || (doubts >= mostDoubts && this.#second === undefined);
      if (isOver) {
        if (this.#taken) this.#end({ is: 'accepted', id: '' });
        // nothing better can come of it: the answer may still arrive
        else if (this.#hasAnother(session) && left > shortestAttempt) this.#leave(session, at);
        return;
      }
      // timers may come a little early
      session.probe(probeMs * 0.9);
      if (session.isDoubted && doubts === 0) doubts = 1;
      if (past >= hedgeMs && !isDraining && this.#second === undefined && !this.#taken) this.#hedge(session, at);
      wait(isDraining ? Math.min(probeMs, left - lastChance) : Math.min(probeMs, attemptMs - past));
    };
    wait(Math.min(probeMs, attemptMs));
  }

  /** No answer in time: another attempt. */
  #leave(session: Session, at: Route): void {
    const { isDoubted } = session;
    this.#dropLanes();
    session.probe(0);
    // a connection that is dead is counted once, when it ends
    if (isDoubted) {
      this.#silence('no answer', session);
      return;
    }
    if (!session.isDraining) at.pool.fuses.failed('no answer');
    this.#transient('no answer');
  }

  /** A path that has gone silent says nothing about the service: as often as there is time, which each takes enough of. */
  #silence(reason: string, session: Session): void {
    this.#uncounted += 1;
    this.#last = reason;
    if (this.#uncounted > mostUncounted) this.#transient(reason);
    else this.#try(session);
  }

  #hasAnother(session: Session): boolean {
    return session.isDoubted ? this.#uncounted < mostUncounted : this.#attempts + 1 < mostAttempts;
  }

  /** Two connections for one push, and the first answer counts. */
  #hedge(busy: Session, at: Route): void {
    const takeBack = at.pool.hedge(
      {
        urgency: this.#parcel.urgency,
        body: this.#body,
        headers: () => this.#headers(at),
        started: () => undefined,
        heard: (status) => this.#heard(status),
        done: (result) => {
          this.#second = undefined;
          this.#done(result);
        },
      },
      busy,
    );
    if (takeBack !== undefined) this.#second = { takeBack };
  }

  #dropLanes(): void {
    const lanes = [this.#first, this.#second];
    this.#first = undefined;
    this.#second = undefined;
    for (const lane of lanes) lane?.takeBack();
  }

  #done(result: Submission): void {
    if (this.#settled) return;
    const other = this.#first ?? this.#second;
    if (result.is === 'answered') {
      const now = this.#clock.now();
      const judged = this.#hooks.judge(result.answer, now);
      // what may be tried again is being tried already
      if (other !== undefined && judged.verdict === 'transient') return;
      this.#stopTimer?.();
      this.#dropLanes();
      this.#answered(result.answer, judged, now);
      return;
    }
    if (other !== undefined) return;
    this.#stopTimer?.();
    switch (result.is) {
      case 'unprocessed':
        this.#uncounted += 1;
        this.#last = result.reason;
        if (this.#uncounted > mostUncounted) this.#transient(result.reason);
        else this.#try(this.#session);
        return;
      case 'lost':
        if (this.#taken) {
          this.#end({ is: 'accepted', id: '' });
          return;
        }
        if (!result.withSession) this.#at?.pool.fuses.failed(result.reason);
        if (result.withSession && this.#session?.isDoubted === true) this.#silence(result.reason, this.#session);
        else this.#transient(result.reason);
        return;
      case 'not-sent':
        this.#end({ is: result.config ? 'config-error' : 'unreachable', reason: result.reason });
        return;
      default:
        result satisfies never;
    }
  }

  #answered(answer: Answer, judged: Judged, now: number): void {
    const { verdict, reason, since, retryAfterMs } = judged;
    if (isWorking(verdict)) this.#at?.pool.fuses.answered(verdict !== 'renew-token' && verdict !== 'other-session');
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
      case 'credential':
        this.#refused(reason);
        return;
      case 'transient':
        this.#at?.pool.fuses.failed(reason);
        this.#transient(reason, retryAfterMs);
        return;
      case 'renew-token':
        void this.#renew(reason, now);
        return;
      case 'older-token':
        if (this.#generation !== undefined) this.#at?.credentials.tooMany(this.#generation, now);
        this.#transient(reason);
        return;
      case 'other-session':
        if (this.#moved) {
          this.#refused(reason);
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

  /** The service does not accept who we are: nobody needs to try again for a while. */
  #refused(reason: string): void {
    const pool = this.#at?.pool;
    this.#end({ is: 'config-error', reason });
    pool?.fuses.refused(reason);
  }

  async #renew(reason: string, now: number): Promise<void> {
    const generation = this.#generation;
    const pending = generation === undefined ? 'retry' : (this.#at?.credentials.expired(generation, now) ?? 'useless');
    const verdict = typeof pending === 'string' ? pending : await pending;
    if (this.#settled) return;
    if (verdict === 'useless') this.#hooks.clockAlarm();
    if (verdict === 'useless' || this.#renewed) {
      this.#refused(reason);
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
  #transient(reason: string, retryAfterMs = 0): void {
    if (this.#settled) return;
    this.#last = reason;
    this.#attempts += 1;
    const left = this.#terms.deadline - this.#clock.now();
    const wait = Math.max(pauseBefore(this.#attempts - 1), retryAfterMs);
    if (this.#attempts >= mostAttempts || wait >= left) {
      this.#end({ is: 'unreachable', reason });
      return;
    }
    const used = this.#session;
    this.#stopTimer = this.#at?.pool.deadlines.after(wait, () => this.#try(used));
  }

  #end(outcome: PushOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#stopDeadline?.();
    this.#stopTimer?.();
    this.#signal.removeEventListener('abort', this.#abort);
    this.#dropLanes();
    this.#settle(outcome);
  }
}

/** `route`: where the push goes now; undefined when there are no credentials any more. */
export function deliver(
  route: () => Route | undefined,
  clock: Clock,
  parcel: Parcel,
  terms: DeliveryTerms,
  signal: AbortSignal,
  hooks: DeliveryHooks,
): Promise<PushOutcome> {
  return new Promise((settle) => new Delivery(route, clock, parcel, terms, signal, hooks, settle).start());
}
