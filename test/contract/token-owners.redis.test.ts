import { redisPairs } from '../support/redis-pairs.ts';
import { tokenOwnersContract } from './token-owners.ts';

const { missing, open } = redisPairs();

tokenOwnersContract(
  'redis',
  async () => {
    const { first, second, close } = await open();
    return { owners: first.owners, another: second.owners, close };
  },
  missing,
);
