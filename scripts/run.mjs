/** Runs one of our programs from a fresh clone: installs and builds what is missing, then becomes the program. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bootstrap, root, say } from './bootstrap.mjs';

const usage = `
Usage: node scripts/run.mjs PROGRAM [arguments of the program]

PROGRAM is a compiled file without its ending, such as apps/edge/main.
`;

/** In this very process, so that signals and the exit code are the program's own and nothing stands between. */
export async function run(program, args) {
  bootstrap();
  const file = join(root, 'dist', `${program}.js`);
  if (!existsSync(file)) {
    say(`There is no program ${program}.`);
    process.exit(2);
  }
  process.argv.splice(1, process.argv.length, file, ...args);
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(file).href);
}

if (process.argv[1] === import.meta.filename) {
  const [program, ...args] = process.argv.slice(2);
  if (program === undefined || program === '--help' || program === '-h') process.stdout.write(`${usage.trim()}\n`);
  else await run(program, args);
}
