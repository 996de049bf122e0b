/** Non-INVITE client transaction (RFC 3261 17.1.2). */
import { go, type Table } from './table.ts';

export type NonInviteClientState = 'trying' | 'proceeding' | 'completed' | 'terminated';

export type NonInviteClientEvent = 'provisional' | 'final' | 'transport-error' | 'timer-e' | 'timer-f' | 'timer-k';

export type NonInviteClientEffect =
  | 'send-again'
  | 'pass-up'
  | 'timed-out'
  | 'unreachable'
  | 'start-e'
  /** once the peer has answered, copies go every T2 */
  | 'start-e-slow'
  | 'start-k'
  | 'stop-timers'
  | 'forget';

export const nonInviteClient: Table<NonInviteClientState, NonInviteClientEvent, NonInviteClientEffect> = {
  trying: {
    provisional: go('proceeding', 'pass-up'),
    final: go('completed', 'stop-timers', 'start-k', 'pass-up'),
    'transport-error': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'timer-e': go('trying', 'send-again', 'start-e'),
    'timer-f': go('terminated', 'stop-timers', 'timed-out', 'forget'),
  },
  proceeding: {
    provisional: go('proceeding', 'pass-up'),
    final: go('completed', 'stop-timers', 'start-k', 'pass-up'),
    'transport-error': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'timer-e': go('proceeding', 'send-again', 'start-e-slow'),
    'timer-f': go('terminated', 'stop-timers', 'timed-out', 'forget'),
  },
  completed: {
    'timer-k': go('terminated', 'forget'),
  },
  terminated: {},
};
