/** Where the requests of a dialog go when its phone has registered elsewhere since. What it means on the wire is in scenario/. */
import { expect, it } from 'vitest';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import { Calls } from '../../../lib/call/ledger.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import { AwakeFlows } from '../../../lib/wake/awake-flows.ts';
import { phoneOfDialog, WakefulDialog } from '../../../lib/wake/wakeful-dialog.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { FakeDialog, settled } from '../../support/fake-dialog.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aRuleBook, aTokenKeeper } from '../../support/token-keeper.ts';

const aor = 'alice@example.com';
const at = (engine: string): Binding => ({
  ...{ id: 'phone-1', aor, contact: '<sip:alice@10.0.0.7:1000>', target: 'sip:alice@10.0.0.7:1000', q: 1000 },
  ...{ callId: 'reg', cseq: 1, path: [], registeredAt: 0, expiresAt: 3_600_000 },
  flow: { transport: 'udp', address: '198.51.100.20', port: 1000, engine },
});

it('[PN-PURR-15] the BYE for a phone over UDP that has registered at another node leaves from there, if its address is the same, too', async () => {
  const store = openMemoryStore();
  const bus = memoryBus();
  const clock = new MovedClock(0);
  const log = new QuietLog();
  const telemetry = new TelemetryRecorder();
  const inner = new FakeDialog('inner');
  const dialog = new WakefulDialog(inner, phoneOfDialog(at('e1'), 'call'), {
    ...{ store, bus, clock, log, telemetry, rules: aRuleBook(), awake: new AwakeFlows() },
    calls: new Calls({ maxHeld: 10, maxHeldPerDevice: 10 }, () => 0),
    tokens: aTokenKeeper({ store, clock, log, telemetry }),
    precise: () => clock.now(),
    push: { push: () => Promise.reject(new Error('nobody is pushed')), close: () => Promise.resolve() },
    policy: { requestHoldMs: 10_000, silentMs: 1500, pushDeadlineMs: 5000, udpAwakeMs: 0, engineLives: () => true },
  });
  await settled();
  await store.swap(aor, 0, [at('e2')], 3_600_000);
  await bus.publish({ is: 'refresh-accepted', aor, bindingId: 'phone-1' });
  await settled();
  for (const method of ['INFO', 'BYE']) void dialog.request({ method, headers: Headers.empty(), body: '' });
  await settled();
  // the engine counts what goes along its dialog, and a re-INVITE may follow
  expect(inner.last('INFO').request).not.toHaveProperty('engine');
  expect(inner.last('BYE').request).toMatchObject({ nextHop: 'sip:198.51.100.20:1000;transport=udp', engine: 'e2' });
  dialog.close();
});
