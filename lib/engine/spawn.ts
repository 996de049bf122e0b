/**
 * Runs the engine for an app in the same process: in a worker thread, so that SIP and the app share two cores instead of one event
 * loop, or in the thread of the app, which then reaches it without a socket (docs/adr/0012).
 */
import { Worker } from 'node:worker_threads';
import type { MemorySocket } from './control/memory-socket.ts';
import type { Counters } from './counters.ts';
import { type ListeningAt, startEngine } from './engine.ts';
import type { EngineOptions, TlsMaterial } from './options.ts';

export type ToWorker =
  | { readonly ask: 'counters'; readonly id: number }
  | { readonly ask: 'tls'; readonly id: number; readonly material: TlsMaterial }
  | { readonly ask: 'close' };

export type FromWorker =
  | {
      readonly is: 'ready';
      readonly controlPort: number;
      readonly remotePort: number | undefined;
      readonly listeners: readonly ListeningAt[];
    }
  | { readonly is: 'failed'; readonly why: string }
  | { readonly is: 'counters'; readonly id: number; readonly counters: Counters }
  /** `why` when the certificates could not be used */
  | { readonly is: 'tls'; readonly id: number; readonly why: string | undefined }
  | { readonly is: 'closed' };

export interface EngineHandle {
  readonly controlPort: number;
  /** undefined when apps on other machines cannot connect */
  readonly remotePort: number | undefined;
  /** A new connection to the control protocol; undefined when the engine has a thread of its own. */
  readonly connect: (() => MemorySocket) | undefined;
  readonly listeners: readonly ListeningAt[];
  counters(): Promise<Counters>;
  /** New certificates for connections made from now on; rejects, and the old stay, when they cannot be used. */
  useTls(material: TlsMaterial): Promise<void>;
  /** A caller who has heard 100 from us hears 503 now, and can go elsewhere. */
  close(): Promise<void>;
  /** Resolves when the engine has ended: with undefined after `close`, with the fault of its thread otherwise. */
  readonly ended: Promise<Error | undefined>;
}

/** Starts the engine; rejects with a message naming transport, address and port when one cannot be opened. */
export async function spawnEngine(options: EngineOptions): Promise<EngineHandle> {
  const worker = new Worker(workerFile(), { workerData: options });
  let closing = false;
  let fault: Error | undefined;
  const ended = new Promise<Error | undefined>((resolve) => {
    worker.on('error', (error) => {
      fault = error instanceof Error ? error : new Error(String(error));
    });
    worker.once('exit', (code) =>
      resolve(closing ? undefined : (fault ?? new Error(`the SIP engine ended with code ${code}`))),
    );
  });
  const asked = new Map<
    number,
    { readonly resolve: (answer: FromWorker) => void; readonly reject: (why: Error) => void }
  >();
  let ids = 0;
  let over = false;
  // once for all: a handler for each question would stay with the promise until the engine ends
  void ended.then(() => {
    over = true;
    for (const { reject } of asked.values()) reject(new Error('the SIP engine has ended'));
    asked.clear();
  });

  const ready = await new Promise<FromWorker & { readonly is: 'ready' }>((resolve, reject) => {
    worker.on('message', (message: FromWorker) => {
      switch (message.is) {
        case 'ready':
          resolve(message);
          return;
        case 'failed':
          closing = true;
          void worker.terminate();
          reject(new Error(message.why));
          return;
        case 'counters':
        case 'tls':
          asked.get(message.id)?.resolve(message);
          asked.delete(message.id);
          return;
        case 'closed':
          return;
        default:
          message satisfies never;
      }
    });
    void ended.then((why) => reject(why ?? new Error('the SIP engine ended before it was ready')));
  });

  const ask = (question: (id: number) => ToWorker): Promise<FromWorker> =>
    new Promise((resolve, reject) => {
      if (over) {
        reject(new Error('the SIP engine has ended'));
        return;
      }
      const id = ++ids;
      asked.set(id, { resolve, reject });
      worker.postMessage(question(id));
    });

  return {
    controlPort: ready.controlPort,
    remotePort: ready.remotePort,
    connect: undefined,
    listeners: ready.listeners,
    counters: async () => {
      const answer = await ask((id) => ({ ask: 'counters', id }));
      if (answer.is !== 'counters') throw new Error('the SIP engine answered another question');
      return answer.counters;
    },
    useTls: async (material) => {
      const answer = await ask((id) => ({ ask: 'tls', id, material }));
      if (answer.is === 'tls' && answer.why !== undefined) throw new Error(answer.why);
    },
    close: async () => {
      closing = true;
      worker.postMessage({ ask: 'close' } satisfies ToWorker);
      await ended;
    },
    ended,
  };
}

/** Starts the engine in the caller's thread; rejects as `spawnEngine` does. A fault in it is one of the caller's thread. */
export async function engineInThread(options: EngineOptions): Promise<EngineHandle> {
  const engine = await startEngine(options);
  let end: (() => void) | undefined;
  const ended = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined);
  });
  return {
    controlPort: engine.controlPort,
    remotePort: engine.controlRemotePort,
    connect: () => engine.connect(),
    listeners: engine.listeners,
    counters: () => Promise.resolve(engine.counters()),
    useTls: async (material) => engine.useTls(material),
    close: async () => {
      engine.refuseWaiting();
      await engine.close();
      end?.();
    },
    ended,
  };
}

/** The compiled worker: beside this file, or under dist when this file runs from source. */
function workerFile(): URL {
  const here = import.meta.url;
  return here.endsWith('.ts') ? new URL('../../dist/lib/engine/worker.js', here) : new URL('./worker.js', here);
}
