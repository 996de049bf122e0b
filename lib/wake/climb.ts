/** Climbs core/push-ladder for one phone: sends its pushes, owns its timers. Decides nothing. */
import {
  climb,
  type Ladder,
  type LadderEffect,
  type LadderEvent,
  type LadderFacts,
  type LadderOutcome,
  type LadderStep,
  type Rung,
  type Sent,
  stepLadder,
} from '../core/push-ladder.ts';
import type { Clock } from '../ports/clock.ts';
import type { PushOutcome } from '../ports/push-service.ts';

export interface Climb {
  readonly facts: LadderFacts;
  /** of an earlier climb for the same request */
  readonly sent: Sent;
  /** Sends one push. Never rejects. */
  push(rung: Rung, signal: AbortSignal): Promise<PushOutcome>;
}

export interface Climbed {
  readonly end: Extract<LadderEffect, { do: 'end' }>['with'];
  readonly sent: Sent;
}

/** Settles when nothing more is to be done for this phone; `signal`: the phone came or nobody waits any more. */
export function climbLadder(plan: Climb, clock: Clock, signal: AbortSignal): Promise<Climbed> {
  return new Promise((resolve) => {
    let ladder: Ladder | undefined;
    const timers = new Set<() => void>();
    const stop = (): void => tell({ is: 'stop' });
    const after = (ms: number, event: LadderEvent): void => {
      const cancel = clock.after(ms, () => {
        timers.delete(cancel);
        tell(event);
      });
      timers.add(cancel);
    };
    const perform = (effect: LadderEffect): void => {
      switch (effect.do) {
        case 'push':
          void plan
            .push(effect.rung, withdrawn.signal)
            .then((outcome) => tell({ is: 'pushed', outcome: wordFor(outcome) }));
          return;
        case 'start-repeat-timer':
          return after(effect.ms, { is: 'repeat-timer' });
        case 'start-wait-timer':
          return after(effect.ms, { is: 'wait-timer' });
        case 'end':
          for (const cancel of timers) cancel();
          timers.clear();
          signal.removeEventListener('abort', stop);
          withdrawn.abort('over');
          resolve({ end: effect.with, sent: ladder?.sent ?? plan.sent });
          return;
        default:
          effect satisfies never;
      }
    };
    const withdrawn = new AbortController();
    const take = ([next, effects]: LadderStep): void => {
      ladder = next;
      for (const effect of effects) perform(effect);
    };
    const tell = (event: LadderEvent): void => {
      if (ladder !== undefined) take(stepLadder(ladder, event));
    };
    signal.addEventListener('abort', stop, { once: true });
    take(climb(plan.facts, plan.sent));
    if (signal.aborted) stop();
  });
}

function wordFor({ is }: PushOutcome): LadderOutcome {
  switch (is) {
    case 'accepted':
    case 'cancelled':
      return is;
    case 'token-dead':
    case 'token-suspect':
    case 'not-applicable':
    case 'config-error':
      return 'refused-token';
    case 'throttled':
    case 'unreachable':
      return 'refused';
    default:
      return is satisfies never;
  }
}
