/** `reveille COMMAND`: finds the command, gives it its arguments, and leaves with its exit code. */
import { EdgeError } from '../../lib/errors.ts';
import { commands } from './commands.ts';

const names = Object.keys(commands);
const usage = `Usage: reveille COMMAND [arguments]

${names.map((name) => `  ${name.padEnd(16)} ${commands[name]?.does ?? ''}`).join('\n')}

\`reveille COMMAND --help\` says more about one.
`;

async function main([name, ...words]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`expected one of ${names.join(', ')}, found ${name}\n\n${usage}`);
    return 2;
  }
  return command.run(words);
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${error instanceof EdgeError ? error.message : stack}\n`);
    process.exitCode = 1;
  },
);
