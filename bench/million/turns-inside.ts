/** Loaded into each thread of an edge by `--import`: tells the turns of its event loop to whoever connects to its socket. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { watchTurns } from './turns.ts';

const folder = process.env['BENCH_TURNS'];
if (folder !== undefined) {
  const watch = watchTurns();
  createServer((socket) => socket.end(JSON.stringify(watch.take())))
    .listen(join(folder, `turns-${threadId}.sock`))
    .unref();
}
