/** Random identifiers from node:crypto. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Ids } from '../../ports/ids.ts';

export const systemIds: Ids = {
  hex: (octets) => randomBytes(octets).toString('hex'),
  uuid: () => randomUUID(),
};
