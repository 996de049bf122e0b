/** A request for a phone that came just before the edge began to stop. All else about them is asked over sockets (rfc/held-request). */
import { expect, it } from 'vitest';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import { BridgedDialogs } from '../../../lib/call/bridged-dialogs.ts';
import { Calls } from '../../../lib/call/ledger.ts';
import { AwakeFlows } from '../../../lib/wake/awake-flows.ts';
import { holdRequest } from '../../../lib/wake/hold-request.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { request } from '../../../lib/sip/message.ts';
import { RecordedTransaction } from '../../support/fake-dialog.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aRuleBook, aTokenKeeper } from '../../support/token-keeper.ts';

it('gets 503 with the time after which another edge can be tried for certain', async () => {
  const store = openMemoryStore();
  const clock = new MovedClock(0);
  const log = new QuietLog();
  const telemetry = new TelemetryRecorder();
  const calls = new Calls({ maxHeld: 10, maxHeldPerDevice: 10 }, () => 0);
  const message = new RecordedTransaction(
    request('MESSAGE', 'sip:phone@edge', Headers.of([['Call-ID', 'm']]), 'hello'),
  );
  calls.close();
  await holdRequest(
    message,
    {
      ...{ aor: 'alice@example.com', bindingId: undefined, from: 'upstream', edgeHost: 'edge:5060', flowGone: 480 },
      wakeful: (dialog) => dialog,
    },
    {
      ...{ store, bus: memoryBus(), clock, log, telemetry, calls, rules: aRuleBook(), awake: new AwakeFlows() },
      ...{ mailbox: undefined, dialogs: new BridgedDialogs(), precise: () => 0 },
      keys: { contactKey: Buffer.alloc(32), targetKey: Buffer.alloc(32) },
      tokens: aTokenKeeper({ store, clock, log, telemetry }),
      client: { send: () => Promise.reject(new Error('nothing is sent')) },
      push: { push: () => Promise.reject(new Error('nobody is pushed')), close: () => Promise.resolve() },
      policy: { requestHoldMs: 10_000, silentMs: 1500, pushDeadlineMs: 5000, udpAwakeMs: 0, engineLives: () => true },
    },
  );
  expect([message.final?.status, message.final?.headers?.get('Retry-After')]).toEqual([503, '5']);
});
