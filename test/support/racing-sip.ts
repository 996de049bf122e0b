/**
 * The SIP and push ports as a network plays them in which every answer may cross every request: callers, legs, dialogs and a push
 * service that keep to the ports' promises and to nothing else, and remember what the edge did.
 */
import type { Clock } from '../../lib/ports/clock.ts';
import type { Dialog, DialogAnswer, DialogRequest } from '../../lib/ports/dialog.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../../lib/ports/leg.ts';
import type { PushOutcome, PushRequest, PushService } from '../../lib/ports/push-service.ts';
import type { Answer, InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import type { Flow } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { request, response, type SipRequest } from '../../lib/sip/message.ts';
import type { Gates } from './gates.ts';

/** Timer B and F (RFC 3261 17.1). */
const timerMs = 32_000;

/** A request from outside that remembers how it was answered. */
export class RacingRequest implements ServerTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly receivedOn = '192.0.2.1:5060';
  readonly finals: Answer[] = [];
  readonly #onFinal: (answer: Answer) => void;

  constructor(asked: SipRequest, flow: Flow, onFinal: (answer: Answer) => void = () => undefined) {
    this.request = asked;
    this.flow = flow;
    this.#onFinal = onFinal;
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    if (answer.status < 200) return Promise.resolve('sent');
    this.finals.push(answer);
    this.#onFinal(answer);
    return Promise.resolve('sent');
  }
}

export class RacingDialog implements Dialog {
  readonly callId: string;
  readonly localTag = 'ours';
  readonly remoteTag = 'theirs';
  /** methods of what the edge asked in it */
  readonly asked: string[] = [];
  closed = 0;
  /** the other end is out of reach */
  dead = false;
  readonly #clock: Clock;
  readonly #gates: Gates;
  #listener: ((transaction: ServerTransaction) => void) | undefined;
  readonly #early: ServerTransaction[] = [];

  constructor(name: string, clock: Clock, gates: Gates) {
    this.callId = name;
    this.#clock = clock;
    this.#gates = gates;
  }

  get hungUp(): boolean {
    return this.asked.includes('BYE');
  }

  async request({ method }: DialogRequest): Promise<DialogAnswer> {
    this.asked.push(method);
    if (this.dead) {
      await new Promise<void>((resolve) => this.#clock.after(timerMs, resolve));
      return { response: response(408, 'Request Timeout', Headers.empty()), local: true };
    }
    await this.#gates.pass();
    return { response: response(200, 'OK', Headers.empty()), local: false };
  }

  onRequest(listener: (transaction: ServerTransaction) => void): void {
    this.#listener = listener;
    for (const transaction of this.#early.splice(0)) listener(transaction);
  }

  onAck(): void {}

  onEnd(): void {}

  close(): void {
    this.closed++;
  }

  /** The peer hangs up. */
  bye(): RacingRequest {
    const asked = request('BYE', 'sip:edge', Headers.of([['CSeq', '2 BYE']]));
    const bye = new RacingRequest(asked, { transport: 'udp', address: '192.0.2.9', port: 5060, engine: 'e' });
    if (this.#listener === undefined) this.#early.push(bye);
    else this.#listener(bye);
    return bye;
  }
}

/** An INVITE whose caller may give up while our answer is on its way to the engine. */
export class RacingInvite implements InviteTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly receivedOn = '192.0.2.1:5060';
  /** what the caller heard, the engine's 487 to his CANCEL too */
  readonly finals: number[] = [];
  /** what was done that the port does not allow */
  readonly wrong: string[] = [];
  readonly early: RacingDialog;
  dialog: RacingDialog | undefined;
  readonly #clock: Clock;
  readonly #gates: Gates;
  #told = false;
  #answered = false;
  #cancelled = false;
  #listener: ((cancel: SipRequest) => void) | undefined;

  constructor(asked: SipRequest, flow: Flow, clock: Clock, gates: Gates) {
    this.request = asked;
    this.flow = flow;
    this.#clock = clock;
    this.#gates = gates;
    this.early = new RacingDialog('early', clock, gates);
  }

  /** The edge knows that the call is over. */
  get over(): boolean {
    return this.#told || this.#answered;
  }

  async respond({ status }: Answer): Promise<'sent' | 'gone'> {
    if (status < 200) {
      if (this.over) this.wrong.push(`${status} after the end`);
      return this.finals.length === 0 ? 'sent' : 'gone';
    }
    return this.#final(status) ? 'sent' : 'gone';
  }

  async accept({ status }: Answer): Promise<Dialog | undefined> {
    if (this.#told) this.wrong.push(`${status} after the CANCEL`);
    this.#answered = true;
    await this.#gates.pass();
    if (!this.#final(status)) return undefined;
    const dialog = new RacingDialog(`${this.request.headers.get('Call-ID')}`, this.#clock, this.#gates);
    this.dialog = dialog;
    await this.#gates.pass();
    return dialog;
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#listener = listener;
    if (this.#told) this.#tell();
  }

  /** The caller gives up: the engine answers him, the edge hears of it somewhat later. */
  async cancel(): Promise<void> {
    if (this.finals.length > 0) return;
    this.#cancelled = true;
    this.finals.push(487);
    await this.#gates.pass();
    this.#told = true;
    this.#tell();
  }

  #final(status: number): boolean {
    this.#answered = true;
    if (this.#cancelled) return false;
    if (this.finals.length > 0) this.wrong.push(`a second final answer ${status}`);
    this.finals.push(status);
    return true;
  }

  #tell(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.(request('CANCEL', this.request.uri, Headers.empty()));
  }
}

/** What a phone, or its network, says to the INVITE it got. */
export type LegWord = 'ring' | 'answer' | 'busy' | 'decline' | 'gone' | 'unreachable' | 'cancelled';

/** An INVITE to a phone: exactly one end, at the latest when the engine's timer runs out. */
export class RacingLeg implements Leg {
  readonly callId = undefined;
  readonly request: LegRequest;
  readonly dialog: RacingDialog;
  /** a 1xx came before a CANCEL of ours */
  heard = false;
  cancelled = false;
  ended: number | undefined;
  /** the phone itself refused, and not as one that was cancelled */
  refused = false;
  acks = 0;
  readonly #events: LegEvents;
  readonly #clock: Clock;
  #rings = false;
  #stopTimer: () => void;

  constructor(asked: LegRequest, events: LegEvents, clock: Clock, gates: Gates) {
    this.request = asked;
    this.#events = events;
    this.#clock = clock;
    this.dialog = new RacingDialog('leg', clock, gates);
    this.#stopTimer = clock.after(timerMs, () => this.#fail(408, true));
  }

  move(): void {}

  cancel(): void {
    this.cancelled = true;
    if (this.ended !== undefined || !this.#rings) return;
    this.#stopTimer();
    this.#stopTimer = this.#clock.after(timerMs, () => this.#fail(487, true));
  }

  says(word: LegWord): void {
    if (this.ended !== undefined) return;
    switch (word) {
      case 'ring':
        this.#stopTimer();
        this.#rings = true;
        this.heard ||= !this.cancelled;
        if (this.cancelled) this.#stopTimer = this.#clock.after(timerMs, () => this.#fail(487, true));
        return this.#events.progress(response(180, 'Ringing', Headers.empty()), false, undefined);
      case 'answer':
        this.#stopTimer();
        this.ended = 200;
        return this.#events.answered(response(200, 'OK', Headers.empty(), 'v=0\r\n'), this.dialog, () => this.acks++);
      case 'busy':
        return this.#fail(486, false);
      case 'decline':
        return this.#fail(603, false);
      case 'gone':
        return this.#fail(430, false);
      case 'unreachable':
        return this.#rings ? undefined : this.#fail(503, true);
      case 'cancelled':
        return this.cancelled ? this.#fail(487, false) : undefined;
      default:
        return word satisfies never;
    }
  }

  #fail(status: number, local: boolean): void {
    this.#stopTimer();
    this.ended = status;
    this.refused = !local && !this.cancelled && status !== 430;
    this.#events.failed(response(status, 'No', Headers.empty()), local);
  }
}

export class RacingLegs implements Legs {
  readonly started: RacingLeg[] = [];
  readonly #clock: Clock;
  readonly #gates: Gates;
  readonly #onStart: (leg: RacingLeg) => void;

  constructor(clock: Clock, gates: Gates, onStart: (leg: RacingLeg) => void) {
    this.#clock = clock;
    this.#gates = gates;
    this.#onStart = onStart;
  }

  start(asked: LegRequest, events: LegEvents): Leg {
    const leg = new RacingLeg(asked, events, this.#clock, this.#gates);
    this.#onStart(leg);
    this.started.push(leg);
    return leg;
  }
}

/** One push that has not been answered. */
export interface RunningPush {
  readonly asked: PushRequest;
  readonly signal: AbortSignal;
  settle(outcome: PushOutcome): void;
}

/** Answers when it is told to, at the latest at the deadline. A push that was taken back may already be on its way. */
export class RacingPushService implements PushService {
  readonly running: RunningPush[] = [];
  readonly #clock: Clock;
  readonly #gates: Gates;
  readonly #onPush: (asked: PushRequest) => void;

  constructor(clock: Clock, gates: Gates, onPush: (asked: PushRequest) => void) {
    this.#clock = clock;
    this.#gates = gates;
    this.#onPush = onPush;
  }

  push(asked: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    this.#onPush(asked);
    return new Promise((resolve) => {
      const settle = (outcome: PushOutcome): void => {
        const at = this.running.indexOf(running);
        if (at < 0) return;
        this.running.splice(at, 1);
        stop();
        signal.removeEventListener('abort', takenBack);
        resolve(outcome);
      };
      const running: RunningPush = { asked, signal, settle };
      const left = asked.deadline - this.#clock.now();
      const stop = this.#clock.after(left, () => settle({ is: 'unreachable', reason: 'deadline' }));
      this.running.push(running);
      const takenBack = (): void => void this.#gates.pass().then(() => settle({ is: 'cancelled' }));
      if (signal.aborted) takenBack();
      else signal.addEventListener('abort', takenBack, { once: true });
    });
  }

  async close(): Promise<void> {}
}
