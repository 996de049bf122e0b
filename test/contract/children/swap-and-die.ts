/** Child of the lmdb tests: stores one set, among others it does not wait for, and kills itself in the moment swap has resolved. */
import { openLmdbStore } from '../../../lib/adapters/lmdb/location-store.ts';
import { aBinding } from '../../support/a-binding.ts';

const [path = '', cseq = '0', others = '0'] = process.argv.slice(2);
const store = await openLmdbStore({ path });
const keepUntil = Date.now() + 3_600_000;
for (let i = 0; i < Number(others) / 2; i += 1) void store.swap(`before${i}@x`, 0, [aBinding()], keepUntil);
const { version } = await store.read('alice@example.com');
for (let i = 0; i < Number(others) / 2; i += 1) void store.swap(`after${i}@x`, 0, [aBinding()], keepUntil);
const result = await store.swap('alice@example.com', version, [aBinding({ cseq: Number(cseq) })], keepUntil);
if (result === 'stored') process.kill(process.pid, 'SIGKILL');
process.exit(1);
