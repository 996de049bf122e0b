import { describe, expect, it } from 'vitest';
import { timingWakes } from '../../../apps/edge/push-wakes.ts';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import type { PushOutcome } from '../../../lib/ports/push-service.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { aCall, noSignal } from '../../support/push-request.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const labels = { provider: 'apns', app: 'phone' } as const;

function set(answer: PushOutcome = { is: 'accepted', id: '1' }) {
  const [bus, clock, telemetry] = [memoryBus(), new MovedClock(), new TelemetryRecorder()];
  const push = timingWakes({
    bus,
    clock,
    telemetry,
    providerOf: (app) => (app === 'phone' ? 'apns' : undefined),
    push: { push: () => Promise.resolve(answer), close: () => Promise.resolve() },
  });
  const now = clock.now();
  const call = aCall({ bindingId: 'b1', to: 'sip:alice@example.org', deadline: now + 5000, wakeUntil: now + 15_000 });
  const registers = (bindingId = 'b1') => bus.publish({ is: 'refresh-accepted', aor: 'alice@example.org', bindingId });
  return { push, clock, telemetry, call, registers, times: () => telemetry.observed('pushToRegisterByApp', labels) };
}

describe('from an accepted push to the REGISTER', () => {
  it('is measured once, for the binding that was pushed', async () => {
    const { push, clock, call, registers, times } = set();
    await push.push(call, noSignal);
    clock.move(1500);
    await registers('b2');
    expect(times()).toEqual([]);
    await registers();
    await registers();
    expect(times()).toEqual([1.5]);
  });

  it('is not measured for a refused push, after the call, or for another class', async () => {
    const refused = set({ is: 'config-error', reason: 'x' });
    await refused.push.push(refused.call, noSignal);
    await refused.registers();
    expect(refused.times()).toEqual([]);
    const late = set();
    await late.push.push(late.call, noSignal);
    late.clock.move(15_001);
    await late.registers();
    await late.push.push({ ...late.call, class: 'refresh' }, noSignal);
    await late.registers();
    expect(late.times()).toEqual([]);
  });
});
