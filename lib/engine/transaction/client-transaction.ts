/** Runs the client transaction machines: sends, repeats, times out, and tells its user what came back. */
import type { Timers } from '../options.ts';
import type { Response } from '../reading.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';
import type { Flow, FlowWatcher } from '../transport/flow.ts';
import {
  inviteClient,
  type InviteClientEffect,
  type InviteClientEvent,
  type InviteClientState,
} from './invite-client.ts';
import {
  nonInviteClient,
  type NonInviteClientEffect,
  type NonInviteClientEvent,
  type NonInviteClientState,
} from './non-invite-client.ts';
import type { Transition } from './table.ts';
import { lengthOf, nextLength } from './timer-lengths.ts';

type State = InviteClientState | NonInviteClientState;
type Event = InviteClientEvent | NonInviteClientEvent;
type Effect = InviteClientEffect | NonInviteClientEffect;
type AnyTable = Readonly<Record<string, Readonly<Record<string, Transition<State, Effect> | undefined>>>>;

const inviteTable = inviteClient as unknown as AnyTable;
const nonInviteTable = nonInviteClient as unknown as AnyTable;

export type ClientTimer =
  | 'timer-a'
  | 'timer-b'
  | 'timer-cancelled'
  | 'timer-lost'
  | 'timer-d'
  | 'timer-m'
  | 'timer-e'
  | 'timer-f'
  | 'timer-k';

/** Why there will be no answer from the peer. */
export type Failure = 'timed-out' | 'unreachable';

export interface ClientUser<Sent> {
  onResponse(transaction: ClientTransaction<Sent>, response: Response): void;
  onFailed(transaction: ClientTransaction<Sent>, failure: Failure): void;
  /** ACK for a failure of an INVITE */
  ackFor(transaction: ClientTransaction<Sent>, response: Response): string;
  /** the moment a waiting CANCEL may go out */
  onCancelDue(transaction: ClientTransaction<Sent>): void;
}

export interface ClientHost<Sent> {
  readonly wheel: TimerWheel;
  readonly timers: Timers;
  readonly user: ClientUser<Sent>;
  forget(transaction: ClientTransaction<Sent>): void;
}

export class ClientTransaction<Sent> implements TimerOwner<ClientTimer>, FlowWatcher {
  readonly branch: string;
  readonly method: string;
  #flow: Flow;
  /** what the user wants to know again when the answer comes */
  readonly sent: Sent;
  state: State;
  #text: string;
  #ack = '';
  readonly #host: ClientHost<Sent>;
  #interval: number;
  #copies: Timer | undefined;
  #end: Timer | undefined;

  constructor(
    request: { branch: string; method: string; text: string; flow: Flow; sent: Sent },
    host: ClientHost<Sent>,
  ) {
    this.branch = request.branch;
    this.method = request.method;
    this.#flow = request.flow;
    this.sent = request.sent;
    this.#text = request.text;
    this.#host = host;
    this.#interval = lengthOf(request.method === 'INVITE' ? 'timer-a' : 'timer-e', host.timers, false);
    this.state = request.method === 'INVITE' ? 'calling' : 'trying';
  }

  get flow(): Flow {
    return this.#flow;
  }

  /**
   * What is still sent goes there from now on. The INVITE too, with the same branch, where the way it took is gone: whoever has it takes
   * it for a copy (RFC 3261 17.2.1), whoever has lost it gets it. False when it is too late.
   */
  moveTo(flow: Flow): boolean {
    if (this.state !== 'calling' && this.state !== 'calling-cancelled' && this.state !== 'proceeding') return false;
    if (flow === this.#flow) return true;
    const lost = !this.#flow.open;
    this.#flow.unwatch(this);
    this.#flow = flow;
    flow.watch(this);
    if (lost) this.dispatch('moved');
    return true;
  }

  /** Sends for the first time. */
  start(): void {
    const invite = this.method === 'INVITE';
    const { wheel, timers } = this.#host;
    this.flow.watch(this);
    if (!this.flow.listener.reliable)
      this.#copies = wheel.schedule(this.#interval, this, invite ? 'timer-a' : 'timer-e');
    const end = invite ? 'timer-b' : 'timer-f';
    this.#end = wheel.schedule(lengthOf(end, timers, this.flow.listener.reliable), this, end);
    if (!this.flow.send(this.#text)) queueMicrotask(() => this.dispatch('transport-error'));
    // a connection delivers; a phone that rings may come back over another one
    if (this.flow.listener.reliable && !(invite && this.flow.accepted === true)) this.#text = '';
  }

  onResponse(response: Response): void {
    const { status } = response;
    const event: Event =
      status < 200 ? 'provisional' : this.method !== 'INVITE' ? 'final' : status < 300 ? 'success' : 'failure';
    this.dispatch(event, response);
  }

  /** Asks for a CANCEL; it goes out with the first provisional answer at the earliest. False when it is too late. */
  cancel(): boolean {
    if (this.state !== 'calling' && this.state !== 'proceeding') return false;
    this.dispatch('cancel');
    return true;
  }

  onFlowLost(): void {
    this.dispatch(this.method === 'INVITE' && this.flow.accepted === true ? 'flow-lost' : 'transport-error');
  }

  onTimer(name: ClientTimer): void {
    this.dispatch(name);
  }

  stop(): void {
    this.#host.wheel.cancel(this.#copies);
    this.#host.wheel.cancel(this.#end);
    this.flow.unwatch(this);
  }

  dispatch(event: Event, response?: Response): void {
    const taken = (this.method === 'INVITE' ? inviteTable : nonInviteTable)[this.state]?.[event];
    if (taken === undefined) return;
    this.state = taken.to;
    for (const effect of taken.effects) this.#perform(effect, response);
  }

  #perform(effect: Effect, response: Response | undefined): void {
    const { wheel, timers, user } = this.#host;
    const { reliable } = this.flow.listener;
    switch (effect) {
      case 'send-again':
        this.flow.send(this.#text);
        return;
      case 'pass-up':
        if (response !== undefined) user.onResponse(this, response);
        return;
      case 'ack':
        if (response !== undefined && this.#ack === '') this.#ack = user.ackFor(this, response);
        this.#text = '';
        (this.flow.open ? this.flow : (response?.flow ?? this.flow)).send(this.#ack);
        return;
      case 'send-cancel':
        user.onCancelDue(this);
        return;
      case 'timed-out':
      case 'unreachable':
        user.onFailed(this, effect);
        return;
      case 'start-a':
        this.#interval = nextLength('timer-a', this.#interval, timers);
        this.#copies = wheel.schedule(this.#interval, this, 'timer-a');
        return;
      case 'start-e':
        this.#interval = nextLength('timer-e', this.#interval, timers);
        this.#copies = wheel.schedule(this.#interval, this, 'timer-e');
        return;
      case 'start-e-slow':
        this.#copies = wheel.schedule(timers.t2Ms, this, 'timer-e');
        return;
      case 'start-cancelled':
        this.#end = wheel.schedule(lengthOf('timer-cancelled', timers, reliable), this, 'timer-cancelled');
        return;
      case 'start-lost':
        this.#end = wheel.schedule(lengthOf('timer-lost', timers, reliable), this, 'timer-lost');
        return;
      case 'start-d':
        this.#last('timer-d');
        return;
      case 'start-m':
        this.#text = '';
        this.#last('timer-m');
        return;
      case 'start-k':
        this.#text = '';
        this.#last('timer-k');
        return;
      case 'stop-timers':
        wheel.cancel(this.#copies);
        wheel.cancel(this.#end);
        return;
      case 'forget':
        this.stop();
        this.#host.forget(this);
        return;
      default:
        effect satisfies never;
    }
  }

  /** The final wait for copies of the answer. After none, the user still has to hear the answer first. */
  #last(name: 'timer-d' | 'timer-m' | 'timer-k'): void {
    this.flow.unwatch(this);
    const ms = lengthOf(name, this.#host.timers, this.flow.listener.reliable);
    if (ms === 0) queueMicrotask(() => this.dispatch(name));
    else this.#end = this.#host.wheel.schedule(ms, this, name);
  }
}
