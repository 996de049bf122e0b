/** One push over HTTP/1.1, for services of many hosts: attempts within a deadline, pauses between them, taken back by a signal. */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../ports/clock.ts';
import type { PushOutcome } from '../ports/push-service.ts';
import { Bulkhead } from './bulkhead.ts';
import { pauseBefore } from './delivery.ts';
import { type FuseHook, Fuses } from './fuses.ts';
import { isWorking, type Judged } from './verdict.ts';
import type { Urgency } from './waiting-line.ts';

export interface Attempt {
  /** Sends it once; rejects when no answer came. `signal` ends it: too late, or nobody wants it. */
  send(signal: AbortSignal): Promise<Judged & { readonly id?: string }>;
  /** the token of the device, for an outcome that condemns it */
  readonly token: string;
  readonly urgency: Urgency;
  /** ms for one attempt */
  readonly attemptMs: number;
  /** ms since the epoch */
  readonly deadline: number;
}

/** What all pushes to one service share: how many go at a time, and whether any goes at all. */
export interface Gate {
  readonly bulkhead: Bulkhead;
  readonly fuses: Fuses;
}

const mostAttempts = 3;
/** At a time, and waiting. */
const atOnce = 32;
const queueLimit = 5000;

/** As of a pool of connections. */
export function gateLoad({ bulkhead }: Gate): { readonly streams: number; readonly waiting: number } {
  const { inside, waiting } = bulkhead.load;
  return { streams: inside, waiting };
}

export function openGate(clock: Clock, changed: FuseHook): Gate {
  return { bulkhead: new Bulkhead(atOnce, queueLimit, clock), fuses: new Fuses(clock, changed) };
}

/** Settles not later than the deadline; never rejects. Never tries 429 again. */
export async function attempt(one: Attempt, gate: Gate, clock: Clock, signal: AbortSignal): Promise<PushOutcome> {
  // all phones of a call may share one signal
  setMaxListeners(0, signal);
  let last = 'no answer';
  for (let count = 1; ; count++) {
    if (signal.aborted) return { is: 'cancelled' };
    if (one.deadline <= clock.now()) return { is: 'unreachable', reason: `deadline passed, ${last}` };
    const blown = gate.fuses.ask();
    if (blown !== undefined) {
      const reason = `${blown.kind} breaker open, ${blown.reason}`;
      return { is: blown.kind === 'credentials' ? 'config-error' : 'unreachable', reason };
    }
    const admission = await gate.bulkhead.enter(one.urgency, one.deadline, signal);
    if (admission !== 'in') gate.fuses.takenBack();
    if (admission === 'cancelled') return { is: 'cancelled' };
    if (admission !== 'in')
      return { is: 'unreachable', reason: admission === 'full' ? 'queue full' : 'deadline passed, queue' };
    let judged: Judged & { readonly id?: string };
    try {
      judged = await sendOnce(one, Math.min(one.attemptMs, one.deadline - clock.now()), signal);
    } finally {
      gate.bulkhead.leave();
    }
    if (signal.aborted && judged.verdict !== 'accepted') {
      gate.fuses.takenBack();
      return { is: 'cancelled' };
    }
    tell(gate.fuses, judged);
    const { verdict, reason, since, retryAfterMs: wait } = judged;
    if (verdict === 'accepted') return { is: 'accepted', id: judged.id ?? '' };
    if (verdict === 'dead')
      return { is: 'token-dead', token: one.token, reason, ...(since === undefined ? {} : { since }) };
    if (verdict === 'throttled')
      return { is: 'throttled', reason, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
    if (verdict !== 'transient') return { is: 'config-error', reason };
    last = reason;
    const pause = Math.max(wait ?? 0, pauseBefore(count - 1));
    if (count >= mostAttempts || pause >= one.deadline - clock.now()) return { is: 'unreachable', reason };
    await paused(pause, clock, signal);
  }
}

function tell(fuses: Fuses, { verdict, reason }: Judged): void {
  if (isWorking(verdict)) fuses.answered(true);
  else if (verdict === 'credential') fuses.refused(reason);
  else fuses.failed(reason);
}

async function sendOnce(one: Attempt, ms: number, signal: AbortSignal): Promise<Judged & { readonly id?: string }> {
  const limit = AbortSignal.timeout(Math.max(1, Math.ceil(ms)));
  try {
    return await one.send(AbortSignal.any([signal, limit]));
  } catch (error) {
    // names of errors only: their texts may quote the address, which is a secret
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    return { verdict: 'transient', reason: limit.aborted ? 'no answer' : (code ?? 'connection failed') };
  }
}

function paused(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      stop();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const stop = clock.after(ms, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
