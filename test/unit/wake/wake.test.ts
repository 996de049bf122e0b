import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { BridgedDialogs } from '../../../lib/call/bridged-dialogs.ts';
import { Calls } from '../../../lib/call/ledger.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import type { PushOutcome } from '../../../lib/ports/push-service.ts';
import { wake, type WakeDeps } from '../../../lib/wake/wake.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { FakeInvite, FakeLegs } from '../../support/fake-call.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const aor = 'alice@example.com';

function aPhone(port: number, now: number, more: Partial<Binding> = {}): Binding {
  return {
    id: 'phone-1',
    aor,
    contact: `<sip:alice@10.0.0.7:${port}>`,
    target: `sip:alice@10.0.0.7:${port}`,
    q: 1000,
    callId: 'reg',
    cseq: port,
    flow: { transport: 'udp', address: '198.51.100.20', port, engine: 'e1' },
    path: [],
    push: {
      provider: 'apns',
      providerAsSent: 'apns',
      environment: undefined,
      param: 'TEAM.app.voip',
      tokens: [{ kind: 'voip', token: 'ab'.repeat(32) }],
      app: 'demo',
      wakesItself: false,
    },
    registeredAt: now,
    expiresAt: now + 3_600_000,
    ...more,
  };
}

function anEdge(store: LocationStore, outcome: PushOutcome = { is: 'accepted', id: 'p' }) {
  const clock = new MovedClock(1_700_000_000_000);
  const legs = new FakeLegs();
  const bus = memoryBus();
  const calls = new Calls({ maxHeld: 100, maxHeldPerDevice: 100 }, () => clock.now());
  const pushes: string[] = [];
  const deps: WakeDeps = {
    store,
    bus,
    legs,
    clock,
    calls,
    log: new QuietLog(),
    heartbeat: undefined,
    telemetry: new TelemetryRecorder(),
    dialogs: new BridgedDialogs(),
    precise: () => clock.now(),
    push: {
      push: (asked) => {
        pushes.push(asked.tokens[0]?.token ?? '');
        return Promise.resolve(outcome);
      },
      close: () => Promise.resolve(),
    },
    policy: { holdMs: 30_000, silentMs: 1500, ringMs: 190_000, udpAwakeMs: 0, pushDeadlineMs: 5000, engineId: () => 'e1' },
  };
  /** A REGISTER of the phone from this port was accepted. */
  const register = async (binding: Binding): Promise<void> => {
    for (;;) {
      const { version } = await store.read(aor);
      if ((await store.swap(aor, version, [binding], binding.expiresAt)) === 'stored') break;
    }
    await bus.publish({ is: 'refresh-accepted', aor, bindingId: binding.id });
  };
  return { deps, clock, legs, bus, calls, pushes, register };
}

const called = { aor, bindingId: 'phone-1' };
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

describe('an INVITE for a phone', () => {
  it('[PN-PROXY-02] is held and the phone is pushed', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    expect(edge.pushes).toEqual(['ab'.repeat(32)]);
    expect(edge.legs.started).toHaveLength(0);
    expect(invite.answers).toHaveLength(0);
  });

  it('[PN-PROXY-06] goes out once over the flow of the refresh, however many refreshes come', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    await wake(new FakeInvite(), called, edge.deps);
    for (const port of [2000, 2000, 3000]) await edge.register(aPhone(port, edge.clock.now()));
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
  });

  it('[PN-DEREG-04] goes out when the app comes back with its token and another instance-id', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000, { instanceId: 'urn:uuid:before' }));
    await wake(new FakeInvite(), called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now(), { instanceId: 'urn:uuid:after' }));
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
  });

  it('[PN-PROXY-12] gets 480 when the bucket timer ends, and nothing is left', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    await settled();
    edge.clock.move(29_999);
    expect(invite.finals).toEqual([]);
    edge.clock.move(1);
    expect(invite.finals).toEqual([480]);
    expect([edge.calls.held, edge.clock.waiting]).toEqual([0, 0]);
  });

  it('[PN-PROXY-11] gets 480 at once when the push is refused for good, and the token is not pushed again', async () => {
    const store = openMemoryStore();
    const edge = anEdge(store, { is: 'token-dead', token: 'ab'.repeat(32), reason: 'Unregistered' });
    await edge.register(aPhone(1000, edge.clock.now() - 10_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    await settled();
    expect(invite.finals).toEqual([480]);
    const again = new FakeInvite('sip:1001@192.0.2.1', 'call-2');
    await wake(again, called, edge.deps);
    await settled();
    expect(again.finals).toEqual([480]);
    expect(edge.pushes).toHaveLength(1);
  });

  it('[PN-PROXY-20] is over when the caller gives up: a later refresh rings nobody', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    invite.cancel();
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    expect(edge.legs.started).toHaveLength(0);
    expect([invite.answers.length, edge.calls.held, edge.clock.waiting]).toEqual([0, 0, 0]);
  });

  it('is refused when there is no room to hold it', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const full = { ...edge.deps, calls: new Calls({ maxHeld: 1, maxHeldPerDevice: 1 }, () => edge.clock.now()) };
    await wake(new FakeInvite(), called, full);
    const second = new FakeInvite('sip:1001@192.0.2.1', 'call-2');
    await wake(second, called, full);
    expect(second.finals).toEqual([480]);
  });

  it('rejects and forgets its subscription when the store is down', async () => {
    const store = openMemoryStore();
    const edge = anEdge({ ...store, read: () => Promise.reject(new Error('down')) } as LocationStore);
    await expect(wake(new FakeInvite(), called, edge.deps)).rejects.toThrow('down');
    expect(edge.calls.held).toBe(0);
  });
});

describe('no wake-up is lost', () => {
  it('whatever the order of subscribe, look-up, store and news', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), async (scheduler, refreshes) => {
        const memory = openMemoryStore();
        const edge = anEdge(memory);
        await edge.register(aPhone(1000, edge.clock.now() - 60_000));
        // every step over the wire takes its own time
        const slow: LocationStore = Object.assign(Object.create(memory) as LocationStore, {
          read: (of: string) => scheduler.schedule(memory.read(of), 'read'),
        });
        const deps: WakeDeps = {
          ...edge.deps,
          store: slow,
          bus: {
            ...edge.deps.bus,
            publish: (change) => edge.deps.bus.publish(change),
            close: () => edge.deps.bus.close(),
            subscribe: (of, listener) => scheduler.schedule(edge.deps.bus.subscribe(of, listener), 'subscribe'),
          },
        };
        const invite = new FakeInvite();
        const woken = wake(invite, called, deps);
        for (let at = 0; at < refreshes; at++) {
          void scheduler.schedule(Promise.resolve(), 'register').then(() => edge.register(aPhone(2000 + at, edge.clock.now())));
        }
        await scheduler.waitAll();
        await woken;
        await scheduler.waitAll();
        await settled();
        // every refresh came after the INVITE: it rings, once, without waiting for another one
        expect(edge.legs.started.filter(({ cancelled }) => cancelled === 0)).toHaveLength(1);
        const leg = edge.legs.started.at(-1);
        leg?.answer();
        await settled();
        expect(invite.finals).toEqual([200]);
        expect(edge.calls.held).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
