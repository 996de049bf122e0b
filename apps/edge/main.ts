/** Reads the config, starts the edge, stops it on a signal; nothing else. */
import { parseArgs } from 'node:util';
import { load } from '../../lib/config/load.ts';
import { EdgeError } from '../../lib/errors.ts';
import { startEdge } from './wiring.ts';

const help = `Usage: npm start -- [--config FILE] [--check]

  --config FILE   the YAML file to read (also REVEILLE_CONFIG; else ./reveille.yaml when there is one, else defaults)
  --check         read the config, say whether it is right, and stop
  --help          this text
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { config: { type: 'string' }, check: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) return void process.stdout.write(help);
  const config = load(values.config === undefined ? {} : { file: values.config });
  if (values.check === true) return void process.stdout.write('The configuration is right.\n');
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
