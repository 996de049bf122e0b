/** The four transaction machines as data, for tests of all of them and for their figures in docs/transactions.md. */
import { inviteClient } from '../../lib/engine/transaction/invite-client.ts';
import { inviteServer } from '../../lib/engine/transaction/invite-server.ts';
import { nonInviteClient } from '../../lib/engine/transaction/non-invite-client.ts';
import { nonInviteServer } from '../../lib/engine/transaction/non-invite-server.ts';
import type { Table, Transition } from '../../lib/engine/transaction/table.ts';
import { timerLengths } from '../../lib/engine/transaction/timer-lengths.ts';
import { code, table } from './page-tables.ts';

export interface Machine {
  readonly name: string;
  readonly table: Table<string, string, string>;
  readonly start: string;
  /** timers that run from the start on */
  readonly opening: readonly string[];
  /** what the shell does before the machine runs */
  readonly begins: string;
}

function machine(name: string, rows: object, start: string, begins: string, opening: readonly string[] = []): Machine {
  return { name, table: rows as Machine['table'], start, opening, begins };
}

export const machines: Readonly<Record<string, Machine>> = {
  'invite-client': machine('INVITE client', inviteClient, 'calling', 'send INVITE', ['start-a', 'start-b']),
  'non-invite-client': machine('non-INVITE client', nonInviteClient, 'trying', 'send request', ['start-e', 'start-f']),
  'invite-server': machine('INVITE server', inviteServer, 'proceeding', 'INVITE / send 100'),
  'non-invite-server': machine('non-INVITE server', nonInviteServer, 'trying', 'request'),
};

/** Every transition: state, event, what it does. */
export function transitions({ table: rows }: Machine): (readonly [string, string, Transition<string, string>])[] {
  return Object.entries(rows).flatMap(([state, row]) =>
    Object.entries(row).flatMap(([event, taken]) => (taken === undefined ? [] : [[state, event, taken] as const])),
  );
}

/** A mermaid drawing; transitions between the same two states share an arrow. */
export function drawing(machineOf: Machine): string {
  // a dash would end a name in mermaid
  const id = (state: string): string => state.replaceAll('-', '_');
  const start = `${machineOf.begins}${machineOf.opening.length > 0 ? `, ${machineOf.opening.join(', ')}` : ''}`;
  const arrows = new Map<string, string[]>();
  for (const [state, event, { to, effects }] of transitions(machineOf)) {
    const arrow = `${id(state)} --> ${to === 'terminated' ? '[*]' : id(to)}`;
    const shown = effects.filter((effect) => effect !== 'forget');
    arrows.set(arrow, [...(arrows.get(arrow) ?? []), shown.length === 0 ? event : `${event} / ${shown.join(', ')}`]);
  }
  return [
    '```mermaid',
    'stateDiagram-v2',
    `  [*] --> ${id(machineOf.start)}: ${start}`,
    ...[...arrows].map(([arrow, labels]) => `  ${arrow}: ${labels.join('<br>')}`),
    '```',
  ].join('\n');
}

export function rowsOf(machineOf: Machine): string {
  return table(
    ['state', 'event', 'next', 'what is done'],
    transitions(machineOf).map(([state, event, { to, effects }]) => [
      code(state),
      code(event),
      code(to),
      effects.map(code).join(', '),
    ]),
  );
}

/** Parts of docs/transactions.md. */
export const transactionParts: Readonly<Record<string, () => string>> = {
  ...Object.fromEntries(
    Object.entries(machines).map(([name, each]) => [name, () => `${drawing(each)}\n\n${rowsOf(each)}`]),
  ),
  timers: () =>
    table(
      ['timer', 'runs for', 'again', 'over a connection', 'when it ends'],
      Object.entries(timerLengths).map(([name, { times, of, doubles, overConnection, endsIn }]) => [
        code(name),
        `${times === 1 ? '' : `${times} `}${of.slice(0, 2).toUpperCase()}`,
        doubles === undefined ? '' : `twice as long, ${doubles}`,
        overConnection,
        endsIn,
      ]),
    ),
};
