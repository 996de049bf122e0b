/** Entry of the engine's worker thread: starts the engine it is given and answers its parent. See spawn.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { startEngine } from './engine.ts';
import type { EngineOptions } from './options.ts';
import type { FromWorker, ToWorker } from './spawn.ts';

const parent = parentPort;
if (parent === null) throw new Error('the engine worker is started by spawnEngine only');

const tell = (message: FromWorker): void => parent.postMessage(message);

function faultOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : 'it could not be done';
  }
}

try {
  const engine = await startEngine(workerData as EngineOptions);
  parent.on('message', (message: ToWorker) => {
    switch (message.ask) {
      case 'counters':
        tell({ is: 'counters', id: message.id, counters: engine.counters() });
        return;
      case 'tls':
        tell({ is: 'tls', id: message.id, why: faultOf(() => engine.useTls(message.material)) });
        return;
      case 'close':
        engine.refuseWaiting();
        void engine.close().then(() => {
          tell({ is: 'closed' });
          parent.close();
        });
        return;
      default:
        message satisfies never;
    }
  });
  tell({
    is: 'ready',
    controlPort: engine.controlPort,
    remotePort: engine.controlRemotePort,
    listeners: engine.listeners,
  });
} catch (error) {
  tell({ is: 'failed', why: error instanceof Error ? error.message : 'the engine could not be started' });
}
