/**
 * INVITE server transaction (RFC 3261 17.2.1 with the Accepted state of RFC 6026 7.1).
 * The transaction repeats failures until the ACK; repeating a 2xx is the dialog's work (RFC 3261 13.3.1.4).
 */
import { go, type Table } from './table.ts';

export type InviteServerState = 'proceeding' | 'completed' | 'confirmed' | 'accepted' | 'terminated';

export type InviteServerEvent =
  | 'request-again'
  | 'provisional'
  | 'success'
  | 'failure'
  | 'ack'
  /** nobody will answer any more: forget the request without a word */
  | 'abandoned'
  | 'timer-g'
  | 'timer-h'
  | 'timer-i'
  | 'timer-l';

export type InviteServerEffect =
  /** put the answer that caused the event on the wire */
  | 'send'
  /** put the last answer on the wire again */
  | 'repeat'
  /** the INVITE came again after a 2xx: the dialog repeats it */
  | 'tell-again'
  | 'start-g'
  | 'start-h'
  | 'start-i'
  | 'start-l'
  | 'stop-g'
  | 'stop-h'
  | 'forget';

export const inviteServer: Table<InviteServerState, InviteServerEvent, InviteServerEffect> = {
  proceeding: {
    'request-again': go('proceeding', 'repeat'),
    provisional: go('proceeding', 'send'),
    success: go('accepted', 'send', 'start-l'),
    failure: go('completed', 'send', 'start-g', 'start-h'),
    abandoned: go('terminated', 'forget'),
  },
  completed: {
    'request-again': go('completed', 'repeat'),
    'timer-g': go('completed', 'repeat', 'start-g'),
    'timer-h': go('terminated', 'stop-g', 'forget'),
    ack: go('confirmed', 'stop-g', 'stop-h', 'start-i'),
  },
  confirmed: {
    'timer-i': go('terminated', 'forget'),
  },
  accepted: {
    'request-again': go('accepted', 'tell-again'),
    // another 2xx of the user for the same INVITE, and the copies the dialog sends
    success: go('accepted', 'send'),
    'timer-l': go('terminated', 'forget'),
  },
  terminated: {},
};
