/** Reads the config, starts the edge, stops it or renews its certificates and push services on a signal; nothing else. */
import { parseArguments } from '../../lib/config/arguments.ts';
import { load } from '../../lib/config/load.ts';
import { EdgeError } from '../../lib/errors.ts';
import { usage } from './usage.ts';
import { startEdge } from './wiring.ts';

/** One Ctrl-C or one signal to the process group comes twice under npm, which passes on what we already have. */
const sameSignalMs = 1000;

async function main(): Promise<void> {
  const asked = parseArguments(process.argv.slice(2));
  if (asked.is === 'help') return void process.stdout.write(usage);
  if (asked.is === 'wrong') {
    process.stderr.write(`${asked.why}\n\n${usage}`);
    process.exit(2);
  }
  const read = () => load(asked.file === undefined ? {} : { file: asked.file });
  const config = read();
  if (asked.is === 'check') return void process.stdout.write('The configuration is right.\n');
  const edge = await startEdge(config, read);
  void edge.broken.then((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  process.on('SIGHUP', () => void edge.reload());
  let stoppingSince: number | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stoppingSince === undefined) {
        stoppingSince = performance.now();
        void edge.stop().then(() => process.exit(0));
      } else if (performance.now() - stoppingSince > sameSignalMs) {
        // a second signal does not wait for anybody
        process.exit(1);
      }
    });
  }
}

main().catch((error: unknown) => {
  const text =
    error instanceof EdgeError
      ? `${error.code}: ${error.message}`
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
