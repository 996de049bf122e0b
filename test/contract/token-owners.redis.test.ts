import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { titled } from '../support/needs.ts';
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

it.skipIf(missing !== undefined)(
  titled('claims that are over go with the claims of others, and those last as long as they were claimed for', missing),
  async () => {
    const { first, url, keyPrefix, close } = await open();
    const operator = new Redis(url);
    await first.owners.claim('long', 'anna@example.org', Date.now() + 600_000);
    const [key = ''] = await operator.keys(`${keyPrefix}owners:*`);
    const over = Array.from({ length: 60 }, (_, n) => [`over${n}`, `${1_700_000_000 + n} berta@example.org`]);
    await operator.hset(key, ...over.flat(), 'not ours', 'something else');
    for (let claims = 0; claims < 100; claims++)
      await first.owners.claim('long', 'cora@example.org', Date.now() + 5000);
    expect(await operator.hlen(key)).toBeLessThan(10);
    expect(await operator.pttl(key)).toBeGreaterThan(500_000);
    expect(await first.owners.claim('long', 'anna@example.org', Date.now() + 5000)).toBe('cora@example.org');
    await operator.quit();
    await close();
  },
);
