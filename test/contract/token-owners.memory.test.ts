import { memoryTokenOwners } from '../../lib/adapters/memory/token-owners.ts';
import { tokenOwnersContract } from './token-owners.ts';

tokenOwnersContract('memory', async () => {
  const owners = memoryTokenOwners();
  return { owners, another: owners, close: async () => undefined };
});
