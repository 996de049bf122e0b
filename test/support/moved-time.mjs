/**
 * Preloaded into an edge whose time of day a test moves (moved-day.ts): at its start and at each SIGUSR2 it reads from a file how many
 * seconds it is ahead. Timers keep their pace.
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const now = Date.now.bind(Date);
  let ahead = 0;
  const look = () => {
    ahead = Number(readFileSync(process.env.MOVED_DAY_FILE, 'utf8'));
    process.stderr.write(`seconds ahead: ${ahead}\n`);
  };
  Date.now = () => now() + ahead * 1000;
  process.on('SIGUSR2', look);
  look();
}
