import { memoryBus } from '../../lib/adapters/memory/node-bus.ts';
import { nodeBusContract } from './node-bus.ts';

nodeBusContract('memory', async () => {
  const bus = memoryBus();
  return { bus, close: () => bus.close() };
});
