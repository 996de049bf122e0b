/** Preloaded into an edge whose time of day a test moves: each SIGUSR2 puts it another 30 minutes ahead. Timers keep their pace. */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const now = Date.now.bind(Date);
  let ahead = 0;
  Date.now = () => now() + ahead;
  process.on('SIGUSR2', () => {
    ahead += 30 * 60_000;
    process.stderr.write(`half hours ahead: ${ahead / (30 * 60_000)}\n`);
  });
}
