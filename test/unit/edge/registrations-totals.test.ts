/** The totals of GET /registrations: the same fields whether they were counted before or are those of the list. */
import { expect, it } from 'vitest';
import { registrationsRoutes, type RegistrationsApiDeps } from '../../../apps/edge/registrations-api.ts';
import { memoryAgenda } from '../../../lib/adapters/memory/agenda.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { memoryRecords } from '../../../lib/adapters/memory/records.ts';
import { Accounts } from '../../../lib/behalf/accounts.ts';
import { Registrations, type RegistrationsDeps } from '../../../lib/behalf/registrations.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

it('tell every state, those of nobody with 0', async () => {
  const records = memoryRecords();
  const clock = new MovedClock(0);
  const log = new QuietLog();
  const ids = { hex: () => '00', uuid: () => 'uuid' };
  const accounts = new Accounts({ records, ids, log, configured: new Map(), keys: [], secret: 'secret' });
  const registrations = new Registrations({
    ...{ accounts, records, agenda: memoryAgenda(), clock, precise: () => 0, ids, log, chance: () => 0, node: 'n' },
    ...{ telemetry: new TelemetryRecorder(), contactKey: Buffer.alloc(32), wayOf: () => undefined },
    client: { send: () => Promise.reject(new Error('nothing is sent')) },
    // nothing is registered here
    policy: {} as RegistrationsDeps['policy'],
  });
  const store = openMemoryStore();
  await store.swap('alice@example.com', 0, [aPhone], 60_000);
  const before = { awake: 7, asleep: 7, plain: 7, unpushable: 7, lapsed: 2 };
  const routes = registrationsRoutes({
    ...{ accounts, registrations, store, now: () => 0, isAwake: () => true, serves: () => true },
    counted: () => before,
    // of other routes
    phones: {} as RegistrationsApiDeps['phones'],
  });
  const list = routes.find(({ method, path }) => method === 'GET' && path === '/registrations');
  const totalsOf = async (query: string): Promise<unknown> =>
    (await list?.handle({ query: new URLSearchParams(query), params: {}, body: undefined }))?.body;
  const outbound = { registered: 0, registering: 0, rejected: 0, unregistered: 0, stopped: 0 };
  const inbound = { awake: 0, asleep: 0, plain: 1, unpushable: 0, lapsed: 2 };
  expect(await totalsOf('')).toMatchObject({ totals: { outbound, inbound } });
  expect(await totalsOf('direction=inbound')).toMatchObject({ totals: { outbound, inbound: before } });
});

const aPhone = {
  ...{
    id: 'phone-1',
    aor: 'alice@example.com',
    contact: '<sip:alice@10.0.0.7>',
    target: 'sip:alice@10.0.0.7',
    q: 1000,
  },
  ...{ callId: 'reg', cseq: 1, path: [], registeredAt: 0, expiresAt: 60_000 },
  flow: { transport: 'udp', address: '198.51.100.20', port: 1000, engine: 'e1' },
} as const;
