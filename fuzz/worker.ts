/** One target in a thread of its own, so that a hang or a full heap ends the thread and not the report. */
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import { fuzz, type Outcome, type Progress } from './fuzz.ts';
import { targets } from './targets/all.ts';

export interface Order {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  readonly root: string;
  /** inputs kept by runs before this one */
  readonly corpus: readonly string[];
  /** the input that is being run: how many there were before, its length, then its octets */
  readonly current: SharedArrayBuffer;
}

export type Message =
  | { readonly is: 'progress'; readonly progress: Progress; readonly heapMb: number }
  | {
      readonly is: 'done';
      readonly outcome: Outcome;
      readonly heapMb: number;
      readonly shares: readonly (readonly [string, { readonly ran: number; readonly all: number }])[];
    };

// counters in optimised code stand still
setFlagsFromString('--no-opt');
setFlagsFromString('--expose-gc');

async function work({ target: name, seed, seconds, root, corpus, current }: Order): Promise<void> {
  const made = targets[name];
  if (made === undefined || parentPort === null) throw new Error(`no target ${name}`);
  const port = parentPort;
  const coverage = new Coverage((url) => /\/(?:dist\/)?lib\/(?:sip|engine|adapters\/srf)\//.test(url));
  const target = await made(root);
  const numbers = new Int32Array(current, 0, 2);
  const octets = Buffer.from(current, 8);
  const until = performance.now() + seconds * 1000;
  let told = 0;
  const outcome = await fuzz(
    { ...target, seeds: [...target.seeds, ...corpus] },
    {
      seed,
      coverage,
      mostFindings: 20,
      done: () => performance.now() > until,
      onInput: (input) => {
        numbers[0] = (numbers[0] ?? 0) + 1;
        numbers[1] = octets.write(input, 'latin1');
      },
      onBatch: (progress) => {
        if (performance.now() - told < 1000) return;
        told = performance.now();
        port.postMessage({ is: 'progress', progress, heapMb: heapMb() } satisfies Message);
      },
    },
  );
  await target.close?.();
  port.postMessage({ is: 'done', outcome, heapMb: heapMb(), shares: [...coverage.shares()] } satisfies Message);
  coverage.close();
}

function heapMb(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Math.round(process.memoryUsage().heapUsed / 1_048_576);
}

await work(workerData as Order);
