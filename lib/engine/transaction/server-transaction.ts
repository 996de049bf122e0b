/**
 * Runs the server transaction machines: keeps what is needed to answer, owns the timers, puts answers on the wire.
 * The request itself is not kept; a held INVITE costs a few strings.
 */
import type { AppLink } from '../control/app-link.ts';
import type { Dialog } from '../dialog/dialog.ts';
import { flat, newTag, uuid } from '../ids.ts';
import type { Timers } from '../options.ts';
import { linesOf, printResponse, type ResponseParts } from '../printing.ts';
import type { Request } from '../reading.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';
import { defaultPort, type Flow } from '../transport/flow.ts';
import {
  inviteServer,
  type InviteServerEffect,
  type InviteServerEvent,
  type InviteServerState,
} from './invite-server.ts';
import {
  nonInviteServer,
  type NonInviteServerEffect,
  type NonInviteServerEvent,
  type NonInviteServerState,
} from './non-invite-server.ts';
import type { Transition } from './table.ts';
import { lengthOf, nextLength } from './timer-lengths.ts';

type State = InviteServerState | NonInviteServerState;
type Event = InviteServerEvent | NonInviteServerEvent;
type Effect = InviteServerEffect | NonInviteServerEffect;
type AnyTable = Readonly<Record<string, Readonly<Record<string, Transition<State, Effect> | undefined>>>>;

const inviteTable = inviteServer as unknown as AnyTable;
const nonInviteTable = nonInviteServer as unknown as AnyTable;

const longestRingMs = 15 * 60_000;

export type ServerTimer = 'park' | 'held' | 'slow' | 'timer-g' | 'timer-h' | 'timer-i' | 'timer-l';

export interface ServerHost {
  readonly wheel: TimerWheel;
  readonly timers: Timers;
  /** the transaction is over */
  forget(transaction: ServerTransaction): void;
  /** a non-INVITE got its final answer; copies of the request get it again */
  keepAnswer(transaction: ServerTransaction, answer: string): void;
  onParkOver(transaction: ServerTransaction): void;
  /** rang for a quarter of an hour after the last 1xx */
  onHeldTooLong(transaction: ServerTransaction): void;
}

export class ServerTransaction implements TimerOwner<ServerTimer>, ResponseParts {
  readonly id = uuid();
  readonly key: string;
  readonly method: string;
  /** the way back; replaced when the peer's connection is */
  flow: Flow;
  readonly sentByPort: number;
  readonly vias: string;
  readonly from: string;
  readonly fromTag: string;
  /** To of the request, without a tag of ours */
  readonly plainTo: string;
  readonly callId: string;
  readonly cseq: string;
  readonly seq: number;
  readonly recordRoutes: string;
  /** tag we answer with; the request's own in a dialog */
  toTag: string;
  readonly #hadToTag: boolean;
  state: State;
  /** who was given the request */
  app: AppLink | undefined;
  dialog: Dialog | undefined;
  /** what an answer needs from the request besides the usual; see the UAS side */
  memo: RequestMemo | undefined;
  /** reliable 1xx that wait for their PRACK */
  reliable: { stop(): void } | undefined;
  #last: string | undefined;
  readonly #host: ServerHost;
  #interval = 0;
  #timer: Timer | undefined;
  #copies: Timer | undefined;

  constructor(request: Request, key: string, host: ServerHost) {
    this.#host = host;
    this.key = key;
    this.method = request.method;
    this.flow = request.flow;
    this.sentByPort = request.via.port ?? defaultPort(request.flow.listener.transport);
    this.vias = flat(linesOf(request.headers, 'Via'));
    this.from = flat(request.from);
    this.fromTag = flat(request.fromTag);
    this.plainTo = flat(request.to);
    this.callId = flat(request.callId);
    this.seq = request.cseq.number;
    this.cseq = `${request.cseq.number} ${request.method}`;
    // RFC 3261 10.3: a registrar never sends them
    const recordRoutes = request.method === 'REGISTER' ? '' : linesOf(request.headers, 'Record-Route');
    this.recordRoutes = recordRoutes === '' ? '' : flat(recordRoutes);
    this.toTag = request.toTag === '' ? '' : flat(request.toTag);
    this.#hadToTag = request.toTag !== '';
    this.state = request.method === 'INVITE' ? 'proceeding' : 'trying';
  }

  /** About what it costs: itself, what it keeps of the request, and as much again in its last answer. */
  get octets(): number {
    const { key, vias, from, plainTo, callId, recordRoutes } = this;
    const kept = key.length + vias.length + from.length + plainTo.length + callId.length + recordRoutes.length;
    return 1000 + 2 * kept;
  }

  /** To as it stands in answers; a tag is made when there is none yet (RFC 3261 8.2.6.2). */
  get to(): string {
    if (this.#hadToTag) return this.plainTo;
    if (this.toTag === '') this.toTag = newTag();
    return `${this.plainTo};tag=${this.toTag}`;
  }

  /** The 100 an INVITE gets at once; it carries no tag of ours. */
  trying(): string {
    const { vias, from, callId, cseq } = this;
    return printResponse(100, 'Trying', { vias, from, to: this.plainTo, callId, cseq }, this.recordRoutes);
  }

  /** Takes an answer: puts it on the wire and moves on. False when the machine takes no answer any more. */
  answer(status: number, text: string): boolean {
    const event =
      status < 200 ? 'provisional' : this.method !== 'INVITE' ? 'final' : status < 300 ? 'success' : 'failure';
    const taken = this.#transition(event);
    if (taken === undefined) return false;
    this.#last = text;
    // the first answer ends the wait for the app; an INVITE that only ever rings must not stay for ever either. Timer L of an
    // answered one runs on.
    if (this.state !== 'accepted') {
      this.#host.wheel.cancel(this.#timer);
      this.#host.wheel.cancel(this.#copies);
      this.#timer = status < 200 ? this.#longest() : undefined;
    }
    this.#enter(taken);
    return true;
  }

  /** After a provisional answer: nobody rings for anything but an INVITE, and whoever sent it gives up after 64 T1. */
  #longest(): Timer {
    const { wheel, timers } = this.#host;
    return this.method === 'INVITE'
      ? wheel.schedule(longestRingMs, this, 'held')
      : wheel.schedule(64 * timers.t1Ms, this, 'park');
  }

  /** Waits for the app, but not for ever: after `ms` it is forgotten without a word, a re-INVITE is refused a good deal later. */
  park(ms: number): void {
    const { wheel, timers } = this.#host;
    const isReInvite = this.method === 'INVITE' && this.#hadToTag;
    this.#timer = isReInvite ? wheel.schedule(longestRingMs, this, 'held') : wheel.schedule(ms, this, 'park');
    if (this.method !== 'INVITE') this.#copies = wheel.schedule(untilSlow(timers), this, 'slow');
  }

  /** True until the first answer. */
  get parked(): boolean {
    return this.#last === undefined;
  }

  dispatch(event: Event): void {
    const taken = this.#transition(event);
    if (taken !== undefined) this.#enter(taken);
  }

  onTimer(name: ServerTimer): void {
    if (name === 'park') this.#host.onParkOver(this);
    else if (name === 'held') this.#host.onHeldTooLong(this);
    else if (name === 'slow') this.#tellSlow();
    else this.dispatch(name);
  }

  /** Stops every timer; used when the engine closes. */
  stop(): void {
    this.#host.wheel.cancel(this.#timer);
    this.#host.wheel.cancel(this.#copies);
    this.reliable?.stop();
  }

  /** 100 for a non-INVITE the app is slow with; its wait goes on (RFC 4320 4.1). */
  #tellSlow(): void {
    const taken = this.#last === undefined ? this.#transition('provisional') : undefined;
    if (taken !== undefined) this.#enter(taken);
  }

  #transition(event: Event): Transition<State, Effect> | undefined {
    return (this.method === 'INVITE' ? inviteTable : nonInviteTable)[this.state]?.[event];
  }

  #enter(taken: Transition<State, Effect>): void {
    this.state = taken.to;
    for (const effect of taken.effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    const { wheel, timers } = this.#host;
    const { reliable } = this.flow.listener;
    switch (effect) {
      case 'send':
      case 'repeat':
        this.flow.send(this.#last ?? this.trying());
        return;
      case 'tell-again':
        if (this.dialog?.pendingAck?.seq === this.seq) this.dialog.pendingAck.repeat();
        return;
      case 'start-g':
        if (reliable) return;
        this.#interval =
          this.#interval === 0 ? lengthOf('timer-g', timers, reliable) : nextLength('timer-g', this.#interval, timers);
        this.#copies = wheel.schedule(this.#interval, this, 'timer-g');
        return;
      case 'start-h':
        this.#timer = wheel.schedule(lengthOf('timer-h', timers, reliable), this, 'timer-h');
        return;
      case 'start-i':
        this.#last = undefined;
        if (reliable) this.dispatch('timer-i');
        else this.#timer = wheel.schedule(lengthOf('timer-i', timers, reliable), this, 'timer-i');
        return;
      case 'start-l':
        this.#timer = wheel.schedule(lengthOf('timer-l', timers, reliable), this, 'timer-l');
        return;
      case 'start-j':
        if (!reliable) this.#host.keepAnswer(this, this.#last ?? '');
        this.dispatch('timer-j');
        return;
      case 'stop-g':
        wheel.cancel(this.#copies);
        return;
      case 'stop-h':
        wheel.cancel(this.#timer);
        return;
      case 'forget':
        this.stop();
        this.#host.forget(this);
        return;
      default:
        effect satisfies never;
    }
  }
}

/** When a client on UDP would begin to repeat its request every T2 only; before that a 100 would do harm (RFC 4320 4.1). */
function untilSlow({ t1Ms, t2Ms }: Timers): number {
  let passed = 0;
  for (let interval = t1Ms; interval < t2Ms; interval *= 2) passed += interval;
  return passed;
}

/** What the UAS side needs again when the app answers. */
export interface RequestMemo {
  /** Contact URI of a request that begins a dialog or refreshes its target, '' when it has none */
  readonly target: string;
  readonly routes: readonly string[];
  /** the peer takes reliable 1xx (RFC 3262) */
  readonly takesReliable: boolean;
  /** its Allow names UPDATE */
  readonly takesUpdate: boolean;
  /** it came over TCP for its size alone; its sender is still on UDP */
  readonly forSize: boolean;
  /** user@host a REGISTER or SUBSCRIBE binds, '' for others */
  readonly binding: string;
}
