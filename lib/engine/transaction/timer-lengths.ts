/** How long each timer of the four machines runs (RFC 3261 table 4, RFC 6026 7 and 8.1). */
import type { Timers } from '../options.ts';

export type TimerName =
  | 'timer-a'
  | 'timer-b'
  | 'timer-cancelled'
  | 'timer-lost'
  | 'timer-d'
  | 'timer-e'
  | 'timer-f'
  | 'timer-g'
  | 'timer-h'
  | 'timer-i'
  | 'timer-j'
  | 'timer-k'
  | 'timer-l'
  | 'timer-m';

export interface TimerLength {
  readonly times: number;
  readonly of: keyof Timers;
  /** it repeats a message: each run is twice as long as the one before, up to this */
  readonly doubles?: 'without limit' | 'up to T2';
  /** over a connection: never started, or over at once */
  readonly overConnection: 'the same' | 'never' | 'at once';
  readonly endsIn: string;
}

export const timerLengths: Readonly<Record<TimerName, TimerLength>> = {
  'timer-a': {
    times: 1,
    of: 't1Ms',
    doubles: 'without limit',
    overConnection: 'never',
    endsIn: 'a copy of the INVITE',
  },
  'timer-b': { times: 64, of: 't1Ms', overConnection: 'the same', endsIn: '408 to the app' },
  'timer-cancelled': {
    times: 64,
    of: 't1Ms',
    overConnection: 'the same',
    endsIn: '408 to the app: the CANCEL ended nothing',
  },
  'timer-lost': {
    times: 20,
    of: 't1Ms',
    overConnection: 'the same',
    endsIn: '503 to the app: the phone that rang has not come back over another connection',
  },
  'timer-d': {
    times: 64,
    of: 't1Ms',
    overConnection: 'at once',
    endsIn: 'no more copies of the refusal to acknowledge',
  },
  'timer-e': { times: 1, of: 't1Ms', doubles: 'up to T2', overConnection: 'never', endsIn: 'a copy of the request' },
  'timer-f': { times: 64, of: 't1Ms', overConnection: 'the same', endsIn: '408 to the app' },
  'timer-g': { times: 1, of: 't1Ms', doubles: 'up to T2', overConnection: 'never', endsIn: 'a copy of the refusal' },
  'timer-h': { times: 64, of: 't1Ms', overConnection: 'the same', endsIn: 'nobody acknowledges the refusal' },
  'timer-i': { times: 1, of: 't4Ms', overConnection: 'at once', endsIn: 'no more copies of the ACK' },
  'timer-j': { times: 64, of: 't1Ms', overConnection: 'at once', endsIn: 'no more copies of the request' },
  'timer-k': { times: 1, of: 't4Ms', overConnection: 'at once', endsIn: 'no more copies of the answer' },
  'timer-l': { times: 64, of: 't1Ms', overConnection: 'the same', endsIn: 'no more copies of the INVITE' },
  'timer-m': { times: 64, of: 't1Ms', overConnection: 'the same', endsIn: 'no more 2xx, of this phone or another' },
};

/** Milliseconds of the first run. */
export function lengthOf(name: TimerName, timers: Timers, reliable: boolean): number {
  const { times, of, overConnection } = timerLengths[name];
  return reliable && overConnection === 'at once' ? 0 : times * timers[of];
}

/** Milliseconds of the next run of a timer that repeats a message. */
export function nextLength(name: TimerName, before: number, timers: Timers): number {
  return timerLengths[name].doubles === 'up to T2' ? Math.min(2 * before, timers.t2Ms) : 2 * before;
}
