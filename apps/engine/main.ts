/** The SIP engine as a process of its own: reads its config, runs, drains on a signal; nothing else. */
import { createLog } from '../../lib/adapters/pino/log.ts';
import { readEngineArguments } from '../../lib/config/engine-arguments.ts';
import { EdgeError } from '../../lib/errors.ts';
import { runEngine } from './run.ts';
import { usage } from './usage.ts';

/** One Ctrl-C or one signal to the process group comes twice under npm, which passes on what we already have. */
const sameSignalMs = 1000;

async function main(): Promise<void> {
  // oxlint-disable-next-line node/no-process-env -- handed to the config, which alone reads it
  const asked = readEngineArguments(process.argv.slice(2), process.env);
  if (asked.is === 'help') return void process.stdout.write(usage);
  if (asked.is === 'wrong') {
    process.stderr.write(`${asked.why}\n\n${usage}`);
    process.exit(2);
  }
  const { config, left } = asked;
  if (asked.is === 'check') {
    for (const one of left) process.stdout.write(`Left out: ${one}\n`);
    for (const one of config.warnings) process.stdout.write(`Warning: ${one}\n`);
    return void process.stdout.write('The configuration is right.\n');
  }
  const log = createLog({ level: config.log.level });
  for (const reason of left) log.warn({ reason }, 'a part of drachtio.conf.xml has no counterpart and is left out');
  for (const reason of config.warnings) log.warn({ reason }, 'the control port is not as safe as it could be');
  const engine = await runEngine(config, log);
  process.on('SIGHUP', () => void engine.reload());
  let stoppingSince: number | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stoppingSince === undefined) {
        stoppingSince = performance.now();
        void engine.stop().then(() => process.exit(0));
      } else if (performance.now() - stoppingSince > sameSignalMs) {
        // a second signal does not wait for anybody
        process.exit(1);
      }
    });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof EdgeError ? `${error.code}: ${error.message}` : String(error)}\n`);
  process.exit(1);
});
