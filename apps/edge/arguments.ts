/** The command line of the edge. */
import { parseArgs } from 'node:util';

export const usage = `Usage: npm start -- [--config FILE] [--check]

  --config FILE   the configuration (YAML); without it REVEILLE_CONFIG, and without that the defaults
  --check         read the configuration, say what is wrong with it, and end: opens no port, needs no store
  --help          this text

Every key is described in reveille.example.yaml and docs/operations.md.
`;

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
