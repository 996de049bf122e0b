import { memoryRecords } from '../../lib/adapters/memory/records.ts';
import { recordsContract } from './records.ts';

recordsContract('memory', async () => {
  const records = memoryRecords();
  return { records, another: records, close: async () => undefined };
});
