/**
 * Runs core/held-invite for one request: feeds it one event at a time, owns its timers and pushes, and hands every effect about
 * legs and answers to whoever knows what they are. Decides nothing.
 */
import type { HoldEffect, HoldEvent } from '../core/hold-words.ts';
import { step } from '../core/held-invite.ts';
import type { HeldInvite, Step } from '../core/held-state.ts';
import type { Clock } from '../ports/clock.ts';
import { type HoldGate, inOrderOfWeight } from './hold-gate.ts';

export interface HoldTimes {
  /** the bucket timer: longest wait for a device to wake, ms */
  readonly holdMs: number;
  /** a leg without any 1xx after this long is silent, ms */
  readonly silentMs: number;
  /** longest wait for an answer of the devices, counted from the first leg, ms */
  readonly ringMs: number;
  /** longest wait for an answer, hold and ringing together, ms; no limit of its own when left out */
  readonly budgetMs?: number | undefined;
}

/** True: a push service took it over. False: refused for good. gave-up: it was taken over, and the device has had its time. */
export type PushEnd = boolean | 'gave-up';

/** For the one log line that answers "why did it not ring?". */
export interface StoryLine {
  /** ms since the request came */
  readonly at: number;
  readonly what: string;
}

type Own =
  | 'push'
  | 'stop-push'
  | 'start-silence-timer'
  | 'start-bucket-timer'
  | 'stop-bucket-timer'
  | 'start-ring-timer';

/** What the owner of a runner performs. */
export type LegEffect = Exclude<HoldEffect, { readonly do: Own }>;

export interface HoldPlan {
  readonly times: HoldTimes;
  /** Pushes; resolves when there is nothing more to do for this device but to wait, or not even that. Never rejects. */
  push(device: string, signal: AbortSignal): Promise<PushEnd>;
  /** of the device of this leg, where it has a patience of its own, ms */
  silentMs?(leg: string): number | undefined;
  /** Must not throw. With `over` all timers and pushes have been taken back. */
  perform(effect: LegEffect): void;
}

/** A reason of our own: the default one is an Error with a stack, made for every request and read by nobody. */
const over = 'over';
const longestStory = 100;

export class HoldRunner {
  readonly story: StoryLine[] = [];
  readonly startedAt: number;
  readonly #plan: HoldPlan;
  readonly #clock: Clock;
  readonly #gate: HoldGate | undefined;
  readonly #pushes = new Map<string, AbortController>();
  readonly #timers = new Map<string, () => void>();
  #queue: HoldEvent[] = [];
  #held: HeldInvite | undefined;
  #busy = false;

  /** Without a gate everything is acted on at once. */
  constructor(plan: HoldPlan, clock: Clock, gate?: HoldGate) {
    this.#plan = plan;
    this.#clock = clock;
    this.#gate = gate;
    this.startedAt = clock.now();
  }

  get open(): boolean {
    return this.#held?.at === 'open';
  }

  /** Events told before are kept and come after `first`, and that after `begun`. */
  begin(first: () => Step, begun: () => void = () => undefined): void {
    this.#busy = true;
    this.#whenOpen(() => {
      this.#take(first());
      begun();
      this.#drainQueue();
    });
  }

  /** Takes one event; events that come while effects are done wait their turn, so that no step sees half a state. */
  tell(event: HoldEvent): void {
    this.#queue.push(event);
    if (this.#held !== undefined && !this.#busy) {
      this.#busy = true;
      this.#whenOpen(() => this.#drainQueue());
    }
  }

  #whenOpen(go: () => void): void {
    const later = (): void => {
      this.#queue = inOrderOfWeight(this.#queue);
      go();
    };
    if (this.#gate === undefined || this.#gate.pass(later)) go();
  }

  startTimer(name: string, ms: number, event: HoldEvent): void {
    this.stopTimer(name);
    this.#timers.set(
      name,
      this.#clock.after(ms, () => {
        this.#timers.delete(name);
        this.tell(event);
      }),
    );
  }

  stopTimer(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  #drainQueue(): void {
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      this.#note(event);
      this.#take(step(this.#held as HeldInvite, event));
    }
    this.#busy = false;
  }

  #take([held, effects]: Step): void {
    this.#held = held;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: HoldEffect): void {
    const { times } = this.#plan;
    switch (effect.do) {
      case 'push':
        return this.#push(effect.device);
      case 'stop-push':
        this.#pushes.get(effect.device)?.abort(over);
        this.#pushes.delete(effect.device);
        return;
      case 'start-silence-timer':
        return this.startTimer(effect.leg, this.#plan.silentMs?.(effect.leg) ?? times.silentMs, {
          is: 'silence',
          leg: effect.leg,
        });
      case 'start-bucket-timer':
        return this.startTimer('bucket', times.holdMs, { is: 'bucket-timer' });
      case 'stop-bucket-timer':
        return this.stopTimer('bucket');
      case 'start-ring-timer':
        return this.startTimer('ring', times.ringMs, { is: 'ring-timer' });
      case 'cancel-leg':
        this.stopTimer(effect.leg);
        return this.#plan.perform(effect);
      case 'over':
        for (const stop of this.#timers.values()) stop();
        this.#timers.clear();
        for (const push of this.#pushes.values()) push.abort(over);
        this.#pushes.clear();
        return this.#plan.perform(effect);
      case 'start-leg':
      case 'move-leg':
      case 'relay-progress':
      case 'relay-answer':
      case 'hang-up':
      case 'remember-late':
      case 'relay-failure':
      case 'refuse':
        return this.#plan.perform(effect);
      default:
        return effect satisfies never;
    }
  }

  #push(device: string): void {
    const controller = new AbortController();
    this.#pushes.set(device, controller);
    void this.#plan.push(device, controller.signal).then((end) => {
      if (this.#pushes.get(device) === controller) this.#pushes.delete(device);
      if (controller.signal.aborted) return;
      if (end === 'gave-up') this.tell({ is: 'push-ended', device, accepted: true, gaveUp: true });
      else this.tell({ is: 'push-ended', device, accepted: end });
    });
  }

  #note(event: HoldEvent): void {
    const subject = 'device' in event ? ` ${event.device}` : 'leg' in event ? ` ${event.leg}` : '';
    const status =
      'status' in event ? ` ${event.status}` : 'accepted' in event ? (event.accepted ? ' accepted' : ' refused') : '';
    if (this.story.length < longestStory)
      this.story.push({ at: this.#clock.now() - this.startedAt, what: `${event.is}${subject}${status}` });
  }
}
