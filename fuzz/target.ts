/** What a fuzz target is: something that takes any octets, and what must hold whatever they are. */

export interface Target {
  readonly name: string;
  /** inputs to begin with */
  readonly seeds: readonly string[];
  /** pieces worth putting anywhere */
  readonly words: readonly string[];
  /** the most CPU time one input may take, milliseconds, measured several times; V8 does not optimise while coverage is taken */
  readonly withinMs: number;
  /** Throws when something that must hold does not. */
  run(input: string): void | Promise<void>;
  /** After the last input. */
  close?(): Promise<void>;
}

/** Something that must always hold did not. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Broken(what);
}

/** Compared by their JSON, which is how they are shown as well. */
export function mustEqual(found: unknown, expected: unknown, what: string): void {
  const [one, two] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== two) throw new Broken(`${what}: ${short(one)} is not ${short(two)}`);
}

function short(text: string | undefined): string {
  return text === undefined || text.length < 400 ? String(text) : `${text.slice(0, 400)}... (${text.length})`;
}
