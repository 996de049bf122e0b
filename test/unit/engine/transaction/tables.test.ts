/** The four transaction machines under every order of events. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inviteClient } from '../../../../lib/engine/transaction/invite-client.ts';
import { inviteServer } from '../../../../lib/engine/transaction/invite-server.ts';
import { nonInviteClient } from '../../../../lib/engine/transaction/non-invite-client.ts';
import { nonInviteServer } from '../../../../lib/engine/transaction/non-invite-server.ts';
import type { Table } from '../../../../lib/engine/transaction/table.ts';
import { machines } from '../../../support/machines.ts';

type AnyTable = Table<string, string, string>;

function eventsOf(table: AnyTable): string[] {
  return [...new Set(Object.values(table).flatMap((row) => Object.keys(row)))];
}

function run(
  table: AnyTable,
  start: string,
  events: readonly string[],
): { state: string; effects: string[]; states: string[] } {
  let state = start;
  const effects: string[] = [];
  const states = [state];
  for (const event of events) {
    const taken = table[state]?.[event];
    if (taken === undefined) continue;
    state = taken.to;
    states.push(state);
    effects.push(...taken.effects);
  }
  return { state, effects, states };
}

function anyEvents(table: AnyTable): fc.Arbitrary<string[]> {
  return fc.array(fc.constantFrom(...eventsOf(table)), { maxLength: 30 });
}

const count = (all: readonly string[], one: string): number => all.filter((each) => each === one).length;

describe.each(Object.values(machines))('$name', ({ table, start, opening }) => {
  test('leads only to states it has', () => {
    for (const row of Object.values(table))
      for (const taken of Object.values(row)) expect(Object.keys(table)).toContain(taken?.to);
  });

  test('forgets itself exactly when it ends, and does nothing afterwards', () => {
    fc.assert(
      fc.property(anyEvents(table), (events) => {
        const { state, effects } = run(table, start, events);
        expect(count(effects, 'forget')).toBe(state === 'terminated' ? 1 : 0);
        expect(effects.slice(effects.indexOf('forget') + 1)).toEqual(effects.includes('forget') ? [] : effects);
      }),
    );
  });

  test('a timer fires only in a state that can have started it', () => {
    for (const [state, row] of Object.entries(table)) {
      for (const event of Object.keys(row)) {
        if (!event.startsWith('timer-')) continue;
        const name = event.replace('timer-', 'start-');
        // started on the way here: at the opening, or by a transition into this state or one before it
        const started =
          opening.some((each) => each === name) ||
          Object.values(table).some((other) =>
            Object.values(other).some((taken) => taken?.effects.some((effect) => effect.startsWith(name))),
          );
        expect(started, `${event} in ${state}`).toBe(true);
      }
    }
  });

  test('once no more messages come, its timers end it', () => {
    // the server machines wait for the app for as long as it takes; `abandoned` is their end of patience
    const silence = eventsOf(table).filter((event) => event.startsWith('timer-') || event === 'abandoned');
    fc.assert(
      fc.property(anyEvents(table), (events) => {
        let { state } = run(table, start, events);
        for (let round = 0; round < 4; round++) state = run(table, state, silence).state;
        expect(state).toBe('terminated');
      }),
    );
  });
});

describe('INVITE server', () => {
  test('[EDGE-TXN-04] repeats a failure until the ACK, and never sends two different final failures', () => {
    fc.assert(
      fc.property(anyEvents(inviteServer as unknown as AnyTable), (events) => {
        const { states } = run(inviteServer as unknown as AnyTable, 'proceeding', events);
        expect(
          count(
            states.filter((state, at) => state !== states[at - 1]),
            'completed',
          ),
        ).toBeLessThanOrEqual(1);
        // a failure and a success exclude each other
        expect(states.includes('completed') && states.includes('accepted')).toBe(false);
      }),
    );
    expect(inviteServer.completed['timer-g']?.effects).toContain('repeat');
    expect(inviteServer.completed.ack?.effects).toContain('stop-g');
    expect(inviteServer.confirmed['timer-g']).toBeUndefined();
  });

  test('[EDGE-TXN-03] repeats the last provisional answer for a copy of the INVITE', () => {
    expect(inviteServer.proceeding['request-again']).toEqual({ to: 'proceeding', effects: ['repeat'] });
  });

  test('[EDGE-TXN-05] absorbs copies after a 2xx without repeating it by itself', () => {
    expect(inviteServer.accepted['request-again']?.effects).not.toContain('repeat');
    expect(inviteServer.accepted['request-again']?.to).toBe('accepted');
  });
});

describe('INVITE client', () => {
  const table = inviteClient as unknown as AnyTable;

  test('[EDGE-TXN-09] acknowledges every failure, and no success', () => {
    fc.assert(
      fc.property(anyEvents(table), (events) => {
        let state = 'calling';
        for (const event of events) {
          const taken = table[state]?.[event];
          if (taken === undefined) continue;
          expect(taken.effects.includes('ack')).toBe(event === 'failure');
          state = taken.to;
        }
      }),
    );
  });

  test('[EDGE-TXN-07] passes every 2xx up, however many come', () => {
    expect(inviteClient.accepted.success?.effects).toEqual(['pass-up']);
  });

  test('[EDGE-TXN-11] sends one CANCEL at most, and only after a provisional answer', () => {
    fc.assert(
      fc.property(anyEvents(table), (events) => {
        let state = 'calling';
        let heard = false;
        let cancels = 0;
        let cancelled = false;
        for (const event of events) {
          // the shell asks once
          if (event === 'cancel' && cancelled) continue;
          cancelled ||= event === 'cancel';
          const taken = table[state]?.[event];
          if (taken === undefined) continue;
          heard ||= event === 'provisional';
          if (taken.effects.includes('send-cancel')) {
            cancels++;
            expect(heard).toBe(true);
          }
          state = taken.to;
        }
        expect(cancels).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('tells its user of the end exactly once: an answer, 408 or 503', () => {
    fc.assert(
      fc.property(anyEvents(table), (events) => {
        let state = 'calling';
        let ends = 0;
        for (const event of events) {
          const taken = table[state]?.[event];
          if (taken === undefined) continue;
          if (taken.effects.includes('timed-out') || taken.effects.includes('unreachable')) ends++;
          if (event === 'failure' && taken.effects.includes('pass-up')) ends++;
          if (event === 'success' && state !== 'accepted') ends++;
          state = taken.to;
        }
        expect(ends).toBeLessThanOrEqual(1);
        if (state === 'terminated') expect(ends).toBe(1);
      }),
    );
  });
});

describe('non-INVITE', () => {
  test('[EDGE-TXN-10] one final answer; copies of the request get it again', () => {
    fc.assert(
      fc.property(anyEvents(nonInviteServer as unknown as AnyTable), (events) => {
        const { states } = run(nonInviteServer as unknown as AnyTable, 'trying', events);
        expect(
          count(
            states.filter((state, at) => state !== states[at - 1]),
            'completed',
          ),
        ).toBeLessThanOrEqual(1);
      }),
    );
    expect(nonInviteServer.completed['request-again']?.effects).toEqual(['repeat']);
    expect(nonInviteServer.completed.final).toBeUndefined();
  });

  test('the client passes one final answer up', () => {
    expect(nonInviteClient.completed.final).toBeUndefined();
    expect(nonInviteClient.trying.final?.effects).toContain('pass-up');
  });
});
