/** Reads the config, starts the edge, stops it on a signal; nothing else. */
import { parseArguments } from '../../lib/config/arguments.ts';
import { load } from '../../lib/config/load.ts';
import { EdgeError } from '../../lib/errors.ts';
import { usage } from './usage.ts';
import { startEdge } from './wiring.ts';

async function main(): Promise<void> {
  const asked = parseArguments(process.argv.slice(2));
  if (asked.is === 'help') return void process.stdout.write(usage);
  if (asked.is === 'wrong') {
    process.stderr.write(`${asked.why}\n\n${usage}`);
    process.exit(2);
  }
  const config = load(asked.file === undefined ? {} : { file: asked.file });
  if (asked.is === 'check') return void process.stdout.write('The configuration is right.\n');
  const edge = await startEdge(config);
  void edge.broken.then((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // a second signal does not wait for anybody
      if (stopping) process.exit(1);
      stopping = true;
      void edge.stop().then(() => process.exit(0));
    });
  }
}

main().catch((error: unknown) => {
  const text = error instanceof EdgeError ? `${error.code}: ${error.message}` : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
