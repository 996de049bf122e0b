/**
 * Runs one request that is no INVITE over all its targets, or to the phone of one dialog (RFC 8599 5.6.2, 6.2.3): the same rules as
 * for an INVITE (core/held-invite), but a leg is one client transaction that cannot be taken back.
 */
import { withAllChallenges } from '../core/best-response.ts';
import type { FailedEnd, HoldEvent, HoldPolicy, OverEffect, Target } from '../core/hold-words.ts';
import { hold } from '../core/held-invite.ts';
import type { ClientAnswer } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { HoldGate } from './hold-gate.ts';
import { HoldRunner, type HoldTimes, type LegEffect, type PushEnd, type StoryLine } from './hold-runner.ts';

export interface RequestPlan<Answer extends ClientAnswer> {
  readonly targets: readonly Target[];
  readonly policy: Omit<HoldPolicy, 'standalone'>;
  /** `limitMs`: the request is answered by then, whatever happens */
  readonly times: Omit<HoldTimes, 'ringMs'> & { readonly limitMs: number };
  /** Sends the request to one device over one flow; undefined when the device has vanished meanwhile. Never rejects. */
  send(device: string, flow: string): Promise<Answer> | undefined;
  /** Asks the push service; resolves true when it took the push over, false when it refused for good. Never rejects. */
  push(device: string, signal: AbortSignal): Promise<PushEnd>;
  /** as HoldPlan has it */
  silentMs?(leg: string): number | undefined;
  /** Exactly once: the answer of a device, or a status of ours. */
  answer(answer: Answer | FailedEnd): void;
  /** a 2xx that nobody waits for any more, or a second one */
  late?(answer: Answer): void;
  /** exactly once, after `answer` */
  onOver(ending: OverEffect, story: readonly StoryLine[]): void;
}

export class RequestHold<Answer extends ClientAnswer> {
  readonly #plan: RequestPlan<Answer>;
  readonly #runner: HoldRunner;
  readonly #answers = new Map<string, Answer>();

  constructor(plan: RequestPlan<Answer>, clock: Clock, gate?: HoldGate) {
    this.#plan = plan;
    this.#runner = new HoldRunner(
      {
        times: { ...plan.times, ringMs: plan.times.limitMs },
        push: (device, signal) => plan.push(device, signal),
        silentMs: (leg) => plan.silentMs?.(leg),
        perform: (effect) => this.#perform(effect),
      },
      clock,
      gate,
    );
  }

  start(): void {
    this.#runner.begin(
      () => hold(this.#plan.targets, { ...this.#plan.policy, standalone: true }),
      () => {
        if (this.#runner.open) this.#runner.startTimer('limit', this.#plan.times.limitMs, { is: 'ring-timer' });
      },
    );
  }

  tell(event: HoldEvent): void {
    this.#runner.tell(event);
  }

  #perform(effect: LegEffect): void {
    switch (effect.do) {
      case 'start-leg':
        return this.#startLeg(effect.leg, effect.device, effect.flow);
      case 'relay-answer': {
        const answer = this.#answers.get(effect.leg);
        if (answer !== undefined) this.#plan.answer(answer);
        return;
      }
      case 'relay-failure': {
        const answer = this.#answers.get(effect.leg);
        if (answer === undefined) return;
        const all = [...this.#answers.values()].map(({ response }) => response);
        return this.#plan.answer({ ...answer, response: withAllChallenges(answer.response, all) });
      }
      case 'refuse':
        return this.#plan.answer({ is: 'refused', status: effect.status });
      case 'hang-up': {
        const answer = this.#answers.get(effect.leg);
        if (answer !== undefined) this.#plan.late?.(answer);
        return;
      }
      case 'over':
        return this.#plan.onOver(effect, this.#runner.story);
      // nothing can be taken back, there are no provisional answers, and who comes late has lost nothing but the request
      case 'cancel-leg':
      case 'move-leg':
      case 'remember-late':
      case 'relay-progress':
        return;
      default:
        return effect satisfies never;
    }
  }

  #startLeg(leg: string, device: string, flow: string): void {
    const sent = this.#plan.send(device, flow);
    if (sent === undefined) {
      this.tell({ is: 'failed', leg, status: 480, local: true });
      return;
    }
    void sent.then((answer) => {
      const { response, local } = answer;
      this.#runner.stopTimer(leg);
      this.#answers.set(leg, answer);
      if (response.status < 300) this.tell({ is: 'answered', leg });
      else this.tell({ is: 'failed', leg, status: response.status, local });
    });
  }
}
