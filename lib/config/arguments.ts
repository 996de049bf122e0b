/** The command line of every program that reads the config: --config, --check, --help. */
import { parseArgs } from 'node:util';

export type Arguments =
  | { readonly is: 'run' | 'check'; readonly file?: string }
  | { readonly is: 'help' }
  | { readonly is: 'wrong'; readonly why: string };

/** `words` without the program itself. */
export function parseArguments(words: readonly string[]): Arguments {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: { config: { type: 'string' }, check: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) return { is: 'help' };
    if (values.config === '') return { is: 'wrong', why: 'expected a file after --config, found nothing' };
    const is = values.check === true ? 'check' : 'run';
    return values.config === undefined ? { is } : { is, file: values.config };
  } catch (error) {
    return { is: 'wrong', why: error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error) };
  }
}
