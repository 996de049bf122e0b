/** What every command of `reveille` is, and how it reads its arguments. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

type ParseArgsOptionsConfig = NonNullable<ParseArgsConfig['options']>;

export interface Command {
  /** one line for the list of commands */
  readonly does: string;
  /** Resolves with the exit code: 0 all is well, 1 it is not, 2 the arguments are wrong. */
  run(words: readonly string[]): Promise<number>;
}

/** Options that every command has. */
export const commonOptions = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig;

export const commonUsage = `  --config FILE   configuration of the edge; without it REVEILLE_CONFIG, and without that the defaults
  --json          one JSON object instead of text
  --help          this text
`;

/** The arguments by their options; undefined when they are wrong or help was asked for: then `leave` is the exit code. */
export function readWords<T extends ParseArgsOptionsConfig>(
  words: readonly string[],
  options: T,
  usage: string,
): { readonly read: ReturnType<typeof parse<T>> } | { readonly leave: number } {
  try {
    const read = parse(words, options);
    if ((read.values as { readonly help?: boolean }).help === true) {
      process.stdout.write(usage);
      return { leave: 0 };
    }
    return { read };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return { leave: 2 };
  }
}

function parse<T extends ParseArgsOptionsConfig>(words: readonly string[], options: T) {
  return parseArgs({ args: [...words], options, allowPositionals: true });
}

/** A value of an answer as one cell of a table; nothing for what is not there. */
export function cellOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
