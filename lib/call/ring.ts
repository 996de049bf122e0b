/**
 * Runs one incoming INVITE over all its targets: feeds events to core/held-invite and does what it says, one line an effect.
 * It decides nothing; which target has a flow, how a leg's INVITE looks and how a device is pushed is told by the caller.
 */
import type { CancelReason, HoldEffect, HoldEvent, HoldPolicy, Target } from '../core/hold-words.ts';
import { withAllChallenges } from '../core/best-response.ts';
import { hold } from '../core/held-invite.ts';
import type { Step } from '../core/held-state.ts';
import { oneOfEachProtocol } from '../core/reasons.ts';
import { readExpires } from '../core/ring-budget.ts';
import { passAck, passAnswer, passProgress, type PassOptions } from '../core/pass-headers.ts';
import type { Clock } from '../ports/clock.ts';
import type { AckContent, Dialog, EarlyDialog } from '../ports/dialog.ts';
import type { Leg, LegRequest, Legs } from '../ports/leg.ts';
import type { Log } from '../ports/log.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { tagOf } from '../sip/name-addr.ts';
import { withDescription } from './description.ts';
import { EarlyDialogs } from './early-dialogs.ts';
import { hangUp } from './hang-up.ts';
import type { HoldGate } from './hold-gate.ts';
import { type HoldTimes, HoldRunner, type PushEnd, type LegEffect, type StoryLine } from './hold-runner.ts';

/** What the story of a call needs from outside; all of it is called by effects only. */
export interface RingPlan {
  readonly transaction: InviteTransaction;
  readonly targets: readonly Target[];
  readonly policy: HoldPolicy;
  readonly times: HoldTimes;
  /** how header fields of answers pass, from the devices to the caller */
  readonly answers: PassOptions;
  /** the INVITE for one device on one flow; undefined when the device has vanished meanwhile */
  legRequest(device: string, flow: string): LegRequest | undefined;
  /** where a flow leads, for a phone that moves while it rings */
  nextHop?(flow: string): string | undefined;
  /** Asks the push service; resolves true when it took the push over, false when it refused for good. Never rejects. */
  push(device: string, signal: AbortSignal): Promise<PushEnd>;
  /** as HoldPlan has it */
  silentMs?(leg: string): number | undefined;
  /** our own final answer `status` may be another one here (a PBX that is down is no sleeping phone) */
  refuseWith(status: number): { readonly status: number; readonly headers?: Headers };
  /** what the caller is told when no phone rings after so many ms; nothing when left out */
  readonly early?: { readonly status: 180 | 183; readonly afterMs: number } | undefined;
  /** Takes the call over when the best answer is a 3xx, and answers it from then on; false: the caller is told of the 3xx. */
  redirected?(response: SipResponse): boolean;
  /** the time of `times.budgetMs` is over, and the caller is about to be told */
  onBudgetUsed?(): void;
  /** exactly once, when caller and winner both have their dialogs */
  onAnswered(caller: Dialog, callee: Dialog, by: { readonly device: string; readonly flow: string }): void;
  /**
   * The call is over for these devices, which were pushed and have not come; `reason` is what a CANCEL would tell them. At most once,
   * before `onOver`. The function is called with each device that turns out to have the INVITE, and so hears of its end anyway.
   */
  onLate?(devices: readonly string[], because: CancelReason, reason: string | undefined): (device: string) => void;
  /** exactly once */
  onOver(ending: Extract<HoldEffect, { do: 'over' }>, story: readonly StoryLine[]): void;
}

export interface RingDeps {
  readonly legs: Legs;
  readonly clock: Clock;
  readonly log: Log;
  readonly gate?: HoldGate | undefined;
}

interface RunningLeg {
  readonly leg: Leg;
  readonly device: string;
  flow: string;
  /** its newest provisional; a final response may have come since, and both wait to be told of */
  progress: SipResponse | undefined;
  final: SipResponse | undefined;
  /** of that provisional */
  early: EarlyDialog | undefined;
  reliable: boolean;
  dialog: Dialog | undefined;
  ack: ((content?: AckContent) => void) | undefined;
  /** the reliable provisional that carried the answer to the offer: the 2xx may then come without (RFC 3262 5) */
  described: SipResponse | undefined;
}

const neverBegun: Step = [
  { at: 'over', ending: 'cancelled', fault: 'none' },
  [{ do: 'over', ending: 'cancelled', fault: 'none' }],
];

/** The runner of one call. `tell` is the only way in. */
export class Ring {
  readonly #plan: RingPlan;
  readonly #deps: RingDeps;
  readonly #runner: HoldRunner;
  readonly #legs = new Map<string, RunningLeg>();
  /** whose session description the caller is given before the answer */
  #earlyMedia: string | undefined;
  readonly #early: EarlyDialogs;
  #answering: Promise<void> | undefined;
  #reached: ((device: string) => void) | undefined;
  /** what the caller's CANCEL said; the phones are told the same (RFC 3326 2, EDGE-RSN-02) */
  #cancelReason: string | undefined;
  /** the caller has been told that it rings */
  #rings = false;
  #budgetUsed = false;
  /** take back what is still to come of budget and early ringing */
  readonly #stops: (() => void)[] = [];

  constructor(plan: RingPlan, deps: RingDeps) {
    this.#plan = plan;
    this.#deps = deps;
    this.#early = new EarlyDialogs(plan.transaction, plan.answers);
    this.#runner = new HoldRunner(
      {
        times: plan.times,
        push: (device, signal) => plan.push(device, signal),
        silentMs: (leg) => plan.silentMs?.(leg),
        perform: (effect) => this.#perform(effect),
      },
      deps.clock,
      deps.gate,
    );
  }

  /** Begins; events told before are kept and come after. */
  start(): void {
    let cancelled = false;
    this.#plan.transaction.onCancel((cancel) => {
      const reasons = oneOfEachProtocol(cancel.headers.list('Reason'));
      if (reasons.length > 0) this.#cancelReason = reasons.join(', ');
      cancelled = true;
      this.tell({ is: 'cancelled' });
    });
    // given up while the phones were looked up: iOS ends an app that gets a push and no call
    this.#runner.begin(
      () => (cancelled ? neverBegun : hold(this.#plan.targets, this.#plan.policy)),
      () => this.#startTimers(),
    );
  }

  /** Hold and ringing together stay below what the PBX waits; a call that rings early is not given up by it (docs/upstreams.md). */
  #startTimers(): void {
    const expires = readExpires(this.#plan.transaction.request.headers.get('Expires'));
    if (
      this.#runner.open &&
      expires !== undefined &&
      expires * 1000 < this.#plan.times.holdMs + this.#plan.times.ringMs
    ) {
      this.#runner.startTimer('expires', expires * 1000, { is: 'expires' });
    }
    const { times, early } = this.#plan;
    if (!this.#runner.open) return;
    const { budgetMs } = times;
    if (budgetMs !== undefined && budgetMs < times.holdMs + times.ringMs)
      this.#stops.push(this.#deps.clock.after(budgetMs, () => this.tell({ is: 'ring-budget' })));
    if (early === undefined) return;
    const ringEarly = (): void => {
      if (!this.#rings && this.#runner.open) void this.#plan.transaction.respond({ status: early.status });
    };
    this.#stops.push(this.#deps.clock.after(early.afterMs, ringEarly));
  }

  tell(event: HoldEvent): void {
    if (event.is === 'ring-budget' && this.#runner.open) {
      this.#budgetUsed = true;
      this.#plan.onBudgetUsed?.();
    }
    this.#runner.tell(event);
  }

  #perform(effect: LegEffect): void {
    switch (effect.do) {
      case 'start-leg':
        return this.#startLeg(effect.leg, effect.device, effect.flow);
      case 'cancel-leg':
        this.#legs.get(effect.leg)?.leg.cancel(this.#reasonOf(effect.because));
        return;
      case 'move-leg':
        return this.#moveLeg(effect.leg, effect.flow);
      case 'remember-late':
        this.#reached = this.#plan.onLate?.(effect.devices, effect.because, this.#reasonOf(effect.because));
        return;
      case 'relay-progress':
        return this.#relayProgress(effect.leg);
      case 'relay-answer':
        this.#answering = this.#relayAnswer(effect.leg);
        return;
      case 'hang-up':
        return this.#hangUp(effect.leg, 'SIP;cause=487;text="Call is over"');
      case 'relay-failure':
        return this.#relayFailure(effect.leg);
      case 'refuse': {
        const { status, headers } = this.#plan.refuseWith(effect.status);
        void this.#plan.transaction.respond({
          status,
          ...(headers === undefined ? {} : { headers }),
          ...(this.#budgetUsed ? { reason: 'Not Answered In Time' } : {}),
        });
        return;
      }
      case 'over':
        for (const stop of this.#stops) stop();
        // a call that is being answered is held until it talks: a stop in between must find it in one place or the other
        if (this.#answering === undefined) this.#plan.onOver(effect, this.#runner.story);
        else void this.#answering.then(() => this.#plan.onOver(effect, this.#runner.story));
        return;
      default:
        return effect satisfies never;
    }
  }

  #reasonOf(because: CancelReason): string | undefined {
    return because === 'caller-cancelled' ? this.#cancelReason : cancelReasons[because];
  }

  #moveLeg(id: string, flow: string): void {
    const running = this.#legs.get(id);
    const nextHop = this.#plan.nextHop?.(flow);
    if (running === undefined || nextHop === undefined) return;
    running.flow = flow;
    running.leg.move(nextHop);
  }

  #startLeg(id: string, device: string, flow: string): void {
    const request = this.#plan.legRequest(device, flow);
    if (request === undefined) {
      this.tell({ is: 'failed', leg: id, status: 480, local: true });
      return;
    }
    const leg = this.#deps.legs.start(request, {
      progress: (response, reliable, early) =>
        this.#onResponse(id, (running) => {
          this.#reached?.(device);
          running.progress = response;
          running.early = early;
          running.reliable = reliable;
          if (reliable && response.body !== '') running.described = response;
          return { is: 'progress', leg: id, status: response.status };
        }),
      failed: (response, local) =>
        this.#onResponse(id, (running) => {
          if (!local) this.#reached?.(device);
          running.final = response;
          this.#early.stop(`${id} `);
          return { is: 'failed', leg: id, status: response.status, local };
        }),
      answered: (response, dialog, ack) =>
        this.#onResponse(id, (running) => {
          this.#reached?.(device);
          running.final = response;
          running.dialog = dialog;
          running.ack = ack;
          return { is: 'answered', leg: id };
        }),
    });
    this.#legs.set(id, {
      leg,
      device,
      flow,
      progress: undefined,
      final: undefined,
      early: undefined,
      reliable: false,
      dialog: undefined,
      ack: undefined,
      described: undefined,
    });
  }

  #onResponse(id: string, event: (running: RunningLeg) => HoldEvent): void {
    const running = this.#legs.get(id);
    if (running === undefined) return;
    this.#runner.stopTimer(id);
    this.tell(event(running));
  }

  /** Only one phone's session description may reach the caller before the answer: all provisionals share one To tag. */
  #relayProgress(id: string): void {
    const running = this.#legs.get(id);
    const response = running?.progress;
    if (running === undefined || response === undefined) return;
    this.#rings = true;
    // a callee that forks rings in several dialogs
    const phone = `${id} ${tagOf(response.headers.get('to') ?? '') ?? ''}`;
    const hasBody = response.body !== '';
    if (hasBody) this.#earlyMedia ??= phone;
    const withBody = hasBody && this.#earlyMedia === phone;
    // a description that has arrived for sure is the answer, and another phone could not give a second one
    const reliable = withBody && running.reliable && this.#plan.targets.length === 1;
    if (running.early !== undefined)
      this.#early.ring(phone, running.early, withBody ? (reliable ? 'reliable' : 'unreliable') : 'none');
    void this.#plan.transaction.respond({
      status: response.status,
      reason: response.reason,
      headers: passProgress(response.headers, withBody, this.#plan.answers),
      ...(withBody ? { body: response.body } : {}),
      ...(reliable ? { reliable } : {}),
    });
  }

  async #relayAnswer(id: string): Promise<void> {
    const running = this.#legs.get(id);
    if (running?.final === undefined || running.dialog === undefined) return;
    const { dialog: callee, ack } = running;
    const lateOffer = this.#plan.transaction.request.body === '';
    // what the device has told reliably the caller has perhaps not heard
    const last = lateOffer ? running.final : withDescription(running.final, running.described);
    if (!lateOffer) ack?.();
    const caller = await this.#plan.transaction.accept({
      status: last.status,
      reason: last.reason,
      headers: passAnswer(last.headers, last.status, this.#plan.answers),
      ...(last.body === '' ? {} : { body: last.body }),
    });
    if (caller === undefined) {
      // the caller went away in the same moment: nobody is there to talk to
      if (lateOffer) ack?.();
      hangUp(callee, 'SIP;cause=487;text="Request Terminated"');
      return;
    }
    if (lateOffer) {
      caller.onAck((answer) =>
        ack?.(answer.body === '' ? undefined : { headers: passAck(answer.headers), body: answer.body }),
      );
    }
    this.#plan.onAnswered(caller, callee, running);
  }

  #hangUp(id: string, reason: string): void {
    const running = this.#legs.get(id);
    if (running?.dialog === undefined) return;
    running.ack?.();
    hangUp(running.dialog, reason);
  }

  #relayFailure(id: string): void {
    const best = this.#legs.get(id)?.final;
    if (best === undefined) return;
    if (best.status < 400 && this.#plan.redirected?.(best) === true) return;
    const response = withAllChallenges(
      best,
      [...this.#legs.values()].flatMap(({ final }) => final ?? []),
    );
    void this.#plan.transaction.respond({
      status: response.status,
      reason: response.reason,
      headers: passAnswer(response.headers, response.status, this.#plan.answers),
      ...(response.body === '' ? {} : { body: response.body }),
    });
  }
}

/** What a losing phone is told (RFC 3326; EDGE-RSN-01, -04): no missed call when somebody else answered. */
const cancelReasons: Readonly<Record<CancelReason, string | undefined>> = {
  'answered-elsewhere': 'SIP;cause=200;text="Call completed elsewhere"',
  'refused-elsewhere': 'SIP;cause=603;text="Declined"',
  'busy-elsewhere': 'SIP;cause=486;text="Busy Here"',
  'caller-cancelled': undefined,
  moved: undefined,
  timeout: undefined,
};
