/**
 * The form all four transaction machines share: a table of what each event does in each state (RFC 3261 17, RFC 6026).
 * Pure and without data: the shell knows the messages, the addresses and how long a timer runs (0 on reliable transports,
 * which fires it at once). An event that is not in the row of a state changes nothing.
 */

export interface Transition<State, Effect> {
  readonly to: State;
  readonly effects: readonly Effect[];
}

export type Table<State extends string, Event extends string, Effect> = Readonly<
  Record<State, Readonly<Partial<Record<Event, Transition<State, Effect>>>>>
>;

export function go<State, Effect>(to: State, ...effects: readonly Effect[]): Transition<State, Effect> {
  return { to, effects };
}
