/** Non-INVITE server transaction (RFC 3261 17.2.2 with erratum 1470: a final answer is taken in Trying and in Proceeding). */
import { go, type Table } from './table.ts';

export type NonInviteServerState = 'trying' | 'proceeding' | 'completed' | 'terminated';

export type NonInviteServerEvent = 'request-again' | 'provisional' | 'final' | 'abandoned' | 'timer-j';

export type NonInviteServerEffect = 'send' | 'repeat' | 'start-j' | 'forget';

export const nonInviteServer: Table<NonInviteServerState, NonInviteServerEvent, NonInviteServerEffect> = {
  trying: {
    provisional: go('proceeding', 'send'),
    final: go('completed', 'send', 'start-j'),
    abandoned: go('terminated', 'forget'),
  },
  proceeding: {
    'request-again': go('proceeding', 'repeat'),
    provisional: go('proceeding', 'send'),
    final: go('completed', 'send', 'start-j'),
    abandoned: go('terminated', 'forget'),
  },
  completed: {
    'request-again': go('completed', 'repeat'),
    'timer-j': go('terminated', 'forget'),
  },
  terminated: {},
};
