/** What log and metrics tell of registrations and wakes, as docs/operations.md promises: the questions of "By symptom" have answers. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

const hash = (token = '') => createHash('sha256').update(token).digest('hex').slice(0, 12);
const lines = (msg: string, aor: string) =>
  bed.edge.process.logs.filter((line) => line['msg'] === msg && line['aor'] === aor);
const registrations = (result: string) => bed.metric(`reveille_registrations_total{result="${result}"}`);

describe('a REGISTER', () => {
  it('that makes a binding, brings a new token or removes it has a line of its own; a refresh is for developers', async () => {
    const phone = bed.phone('alice');
    await phone.register();
    await phone.register();
    const first = phone.push;
    phone.push = { provider: 'apns', param: bed.pushParam, prid: 'ab'.repeat(32) };
    await phone.register();
    await phone.register({ expires: 0 });
    const told = lines('REGISTER accepted', 'alice@pbx.example.com');
    expect(told.map(({ level, outcome, count }) => [level, outcome, count])).toEqual([
      ['info', 'accepted', 1],
      ['debug', 'accepted', 1],
      ['info', 'accepted', 1],
      ['info', 'removed', 0],
    ]);
    expect(told[0]).toMatchObject({ app: 'phone', pridHash: hash(first?.prid), seconds: 3600, transport: 'udp' });
  });

  it.each(['mid-registrar', 'registrar'])('is counted by what became of it (%s)', async (way) => {
    const at = way === 'registrar' ? { domain: homeDomain } : {};
    const before = await Promise.all(['accepted', 'removed', 'queried', 'challenged'].map(registrations));
    const phone = bed.phone('anna', at);
    await phone.register();
    await phone.register({ contact: '' });
    await phone.register({ contact: `<${phone.ua.uri('anna')};pn-provider>` });
    await phone.register({ contact: '*', expires: 0 });
    const after = await Promise.all(['accepted', 'removed', 'queried', 'challenged'].map(registrations));
    expect(after.map((count, index) => count - (before[index] ?? 0))).toEqual([1, 1, 2, 4]);
  });

  it('that the PBX refuses for good is counted and named', async () => {
    bed.pbx.onRegister = () => [403];
    await bed.phone('mallory').register();
    bed.pbx.onRegister = () => undefined;
    expect(await registrations('rejected')).toBe(1);
    expect(lines('REGISTER refused by the PBX', 'mallory@pbx.example.com')).toMatchObject([{ status: 403 }]);
  });
});

it('a push has a line with outcome and the hash of its token, and so has a refused one', async () => {
  const phone = await bed.sleeper('carla');
  const call = bed.pbx.call('carla', { body: anOffer() });
  await bed.edge.process.child.next(
    ({ msg, aor }) => msg === 'push accepted' && String(aor).startsWith('carla'),
    3000,
    'the push',
  );
  call.cancel();
  await call.answer();
  const token = phone.push?.prid ?? '';
  bed.lab.rules.add({
    token,
    fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: Date.now() + 60_000 },
  });
  expect((await bed.pbx.call('carla', { body: anOffer() }).answer(3000)).status).toBe(480);
  bed.lab.rules.clear();
  const told = [...lines('push accepted', 'carla@pbx.example.com'), ...lines('push refused', 'carla@pbx.example.com')];
  expect(told.map(({ outcome, pridHash }) => [outcome, pridHash])).toEqual([
    ['accepted', hash(token)],
    ['token-dead', hash(token)],
  ]);
});
