/**
 * INVITE client transaction (RFC 3261 17.1.1 with the Accepted state of RFC 6026 7.2).
 * ACK for failures is made here, ACK for a 2xx by the dialog. CANCEL waits here for the first answer (RFC 3261 9.1).
 */
import { go, type Table } from './table.ts';

export type InviteClientState =
  | 'calling'
  | 'calling-cancelled'
  | 'proceeding'
  | 'completed'
  | 'accepted'
  | 'terminated';

export type InviteClientEvent =
  | 'provisional'
  | 'success'
  | 'failure'
  | 'cancel'
  | 'transport-error'
  /** the connection the peer had made is gone */
  | 'flow-lost'
  /** the peer is known to be somewhere else, and what went to the old place may not have arrived */
  | 'moved'
  | 'timer-a'
  | 'timer-b'
  /** the peer was sent a CANCEL and never ended the INVITE */
  | 'timer-cancelled'
  /** the peer has not come back */
  | 'timer-lost'
  | 'timer-d'
  | 'timer-m';

export type InviteClientEffect =
  | 'send-again'
  | 'pass-up'
  | 'ack'
  | 'send-cancel'
  /** tell the user 408 */
  | 'timed-out'
  /** tell the user 503 */
  | 'unreachable'
  | 'start-a'
  | 'start-cancelled'
  | 'start-lost'
  | 'start-d'
  | 'start-m'
  | 'stop-timers'
  | 'forget';

export const inviteClient: Table<InviteClientState, InviteClientEvent, InviteClientEffect> = {
  calling: {
    provisional: go('proceeding', 'stop-timers', 'pass-up'),
    success: go('accepted', 'stop-timers', 'start-m', 'pass-up'),
    failure: go('completed', 'stop-timers', 'ack', 'start-d', 'pass-up'),
    cancel: go('calling-cancelled'),
    'transport-error': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'flow-lost': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'timer-a': go('calling', 'send-again', 'start-a'),
    'timer-b': go('terminated', 'stop-timers', 'timed-out', 'forget'),
  },
  'calling-cancelled': {
    provisional: go('proceeding', 'stop-timers', 'send-cancel', 'start-cancelled', 'pass-up'),
    success: go('accepted', 'stop-timers', 'start-m', 'pass-up'),
    failure: go('completed', 'stop-timers', 'ack', 'start-d', 'pass-up'),
    'transport-error': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'flow-lost': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'timer-a': go('calling-cancelled', 'send-again', 'start-a'),
    'timer-b': go('terminated', 'stop-timers', 'timed-out', 'forget'),
  },
  proceeding: {
    provisional: go('proceeding', 'pass-up'),
    success: go('accepted', 'stop-timers', 'start-m', 'pass-up'),
    failure: go('completed', 'stop-timers', 'ack', 'start-d', 'pass-up'),
    cancel: go('proceeding', 'stop-timers', 'send-cancel', 'start-cancelled'),
    'transport-error': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    // it has the INVITE, and its answer may come another way (RFC 3261 18.1.2)
    'flow-lost': go('proceeding', 'stop-timers', 'start-lost'),
    moved: go('proceeding', 'stop-timers', 'send-again'),
    'timer-lost': go('terminated', 'stop-timers', 'unreachable', 'forget'),
    'timer-cancelled': go('terminated', 'stop-timers', 'timed-out', 'forget'),
  },
  completed: {
    failure: go('completed', 'ack'),
    'transport-error': go('terminated', 'stop-timers', 'forget'),
    'flow-lost': go('terminated', 'stop-timers', 'forget'),
    'timer-d': go('terminated', 'forget'),
  },
  accepted: {
    success: go('accepted', 'pass-up'),
    'timer-m': go('terminated', 'forget'),
  },
  terminated: {},
};
