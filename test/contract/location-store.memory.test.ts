import { openMemoryStore } from '../../lib/adapters/memory/location-store.ts';
import { knownSecrets, locationStoreContract } from './location-store.ts';

locationStoreContract('memory', async () => {
  const store = openMemoryStore({ secrets: knownSecrets, sweepEveryMs: 10 });
  return { store, close: () => store.close() };
});
