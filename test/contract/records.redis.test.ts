import { redisPairs } from '../support/redis-pairs.ts';
import { recordsContract } from './records.ts';

const { missing, open } = redisPairs();

recordsContract(
  'redis',
  async () => {
    const { first, second, close } = await open();
    return { records: first.records, another: second.records, close };
  },
  missing,
);
