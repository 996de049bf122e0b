import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { BridgedDialogs } from '../../../lib/call/bridged-dialogs.ts';
import { Calls } from '../../../lib/call/ledger.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import type { BindingChange } from '../../../lib/ports/node-bus.ts';
import type { PushOutcome } from '../../../lib/ports/push-service.ts';
import type { Called } from '../../../lib/wake/called.ts';
import { callUuid } from '../../../lib/core/call-uuid.ts';
import { AwakeFlows } from '../../../lib/wake/awake-flows.ts';
import { LatePhones } from '../../../lib/wake/late-phones.ts';
import { wake, type WakeDeps, type WakePolicy } from '../../../lib/wake/wake.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { response } from '../../../lib/sip/message.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { FakeInvite, FakeLegs } from '../../support/fake-call.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aRuleBook, aTokenKeeper } from '../../support/token-keeper.ts';

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

function anEdge(
  store: LocationStore,
  outcome: PushOutcome = { is: 'accepted', id: 'p' },
  policy: Partial<WakePolicy> = {},
) {
  const clock = new MovedClock(1_700_000_000_000);
  const legs = new FakeLegs();
  const bus = memoryBus();
  const calls = new Calls({ maxHeld: 100, maxHeldPerDevice: 100 }, () => clock.now());
  const pushes: string[] = [];
  const log = new QuietLog();
  const telemetry = new TelemetryRecorder();
  const deps: WakeDeps = {
    store,
    bus,
    legs,
    clock,
    calls,
    log,
    heartbeat: undefined,
    telemetry,
    tokens: aTokenKeeper({ store, clock, log, telemetry }),
    rules: aRuleBook(),
    dialogs: new BridgedDialogs(),
    precise: () => clock.now(),
    awake: new AwakeFlows(),
    late: new LatePhones(clock, 100, 60_000),
    push: {
      push: (asked) => {
        pushes.push(asked.tokens[0]?.token ?? '');
        return Promise.resolve(outcome);
      },
      close: () => Promise.resolve(),
    },
    policy: {
      holdMs: 30_000,
      requestHoldMs: 10_000,
      silentMs: 1500,
      ringMs: 190_000,
      udpAwakeMs: 0,
      pushDeadlineMs: 5000,
      engineLives: (engine) => engine === 'e1',
      expiresMarginMs: 0,
      latePhone: 'nothing',
      busy: 'device',
      decline: 'all',
      keepsIdentities: false,
      callUuid: true,
      ...policy,
    },
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

const called: Called = {
  aor,
  bindingId: 'phone-1',
  from: 'upstream',
  edgeHost: 'edge:5060',
  flowGone: 480,
  wakeful: (dialog) => dialog,
};
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

  it('looks now and then without a word while the store is away, and says so once when a phone has come', async () => {
    const inner = openMemoryStore();
    let away = false;
    const store: LocationStore = new Proxy(inner, {
      get: (target, name) =>
        name === 'read' && away
          ? () => Promise.reject(new Error('the store is away'))
          : Reflect.get(target, name, target).bind(target),
    });
    const edge = anEdge(store);
    const said = (): readonly string[] => (edge.deps.log as QuietLog).lines.map(({ message }) => message);
    const phone = aPhone(2000, edge.clock.now());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    await wake(new FakeInvite(), called, edge.deps);
    const before = said();
    away = true;
    for (let look = 0; look < 2; look++) {
      edge.clock.move(5000);
      await settled();
    }
    expect(said()).toEqual(before);
    await inner.swap(aor, (await inner.read(aor)).version, [phone], phone.expiresAt);
    await edge.bus.publish({ is: 'refresh-accepted', aor, bindingId: phone.id });
    await settled();
    edge.clock.move(300);
    await settled();
    expect(said()).toEqual([...before, 'a phone has registered, and the store does not say where']);
    away = false;
    edge.clock.move(300);
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
  });

  it('[PN-PROXY-06] goes out once over the flow of the refresh, however many refreshes come', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    await wake(new FakeInvite(), called, edge.deps);
    for (const port of [2000, 2000, 3000]) await edge.register(aPhone(port, edge.clock.now()));
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
  });

  it('goes to an app that was installed anew while it was held: same token and binding, another instance-id', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000, { instanceId: 'urn:uuid:before' }));
    await wake(new FakeInvite(), called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now(), { instanceId: 'urn:uuid:after' }));
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
  });

  it('gets 503 when the edge began to stop while its phone was looked for, so that the PBX tries another edge', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    const held = wake(invite, called, edge.deps);
    edge.calls.close();
    await held;
    await settled();
    expect(invite.finals).toEqual([503]);
    expect([edge.calls.held, edge.clock.waiting]).toEqual([0, 0]);
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

  it('[PN-PROXY-11] says that there are no credentials when a phone that wanted pushes keeps silent', async () => {
    const edge = anEdge(openMemoryStore());
    const { push: _push, ...plain } = aPhone(1000, edge.clock.now() - 10_000);
    await edge.register({ ...plain, unsupportedPush: 'apns' });
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    expect(edge.legs.started).toHaveLength(1);
    edge.clock.move(1500);
    await settled();
    expect(invite.finals).toEqual([480]);
    expect(edge.pushes).toEqual([]);
    expect(
      (edge.deps.telemetry as TelemetryRecorder).counted('pushes', { provider: 'apns', outcome: 'config-error' }),
    ).toBe(1);
    expect((edge.deps.log as QuietLog).lines.map(({ level, message }) => `${level} ${message}`)).toContain(
      'warn push refused',
    );
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

  it('is answered at a stop: at once while nobody rings, at the latest when the time for calls is over', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const [waits, rings] = [new FakeInvite(), new FakeInvite('sip:1001@192.0.2.1', 'call-2')];
    await wake(rings, called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    edge.legs.started[0]?.ring();
    await edge.register(aPhone(2000, edge.clock.now() - 60_000));
    await wake(waits, called, edge.deps);
    edge.calls.drain();
    expect([waits.finals, rings.finals]).toEqual([[503], []]);
    edge.calls.hangUpAll();
    expect(rings.finals).toEqual([503]);
    expect(edge.legs.started[0]?.cancelled).toBe(1);
    edge.legs.started[0]?.fail(487);
    expect(edge.calls.held).toBe(0);
  });

  it('a phone that answers too late and hangs up in the same moment as we do gets its 200', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    const leg = edge.legs.started[0];
    invite.cancel();
    leg?.answer();
    expect(leg?.dialog.methods).toEqual(['BYE']);
    expect((await leg?.dialog.sends('BYE'))?.final?.status).toBe(200);
    expect((await leg?.dialog.sends('INFO'))?.final?.status).toBe(481);
    await leg?.dialog.last('BYE').answer(481);
    expect(leg?.dialog.closed).toBe(1);
  });

  it('pushes and rings nobody when the caller gave up before the phone was found', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    const woken = wake(invite, called, edge.deps);
    invite.cancel();
    await woken;
    await settled();
    expect([edge.pushes, edge.legs.started.length]).toEqual([[], 0]);
    expect([edge.calls.held, edge.clock.waiting]).toEqual([0, 0]);
  });

  it('rings although the store had no answer when the refresh was heard', async () => {
    const memory = openMemoryStore();
    let down = false;
    const store: LocationStore = Object.assign(Object.create(memory) as LocationStore, {
      read: (of: string) => (down ? Promise.reject(new Error('down')) : memory.read(of)),
      swap: memory.swap.bind(memory),
    });
    const edge = anEdge(store);
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    await memory.swap(
      aor,
      (await memory.read(aor)).version,
      [aPhone(2000, edge.clock.now())],
      edge.clock.now() + 3_600_000,
    );
    down = true;
    await edge.bus.publish({ is: 'refresh-accepted', aor, bindingId: 'phone-1' });
    await settled();
    expect(edge.legs.started).toHaveLength(0);
    edge.clock.move(400);
    await settled();
    down = false;
    edge.clock.move(400);
    await settled();
    expect(edge.legs.started).toHaveLength(1);
    invite.cancel();
    edge.legs.started[0]?.fail(487);
    expect(edge.clock.waiting).toBe(0);
  });

  it('[PN-PROXY-30] goes to a phone that sends anything over the flow it is bound to, and waits on when that flow is dead', async () => {
    const edge = anEdge(openMemoryStore());
    const asleep = aPhone(1000, edge.clock.now() - 60_000);
    await edge.register(asleep);
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    edge.deps.awake.heard({ ...asleep.flow, port: 1001 });
    edge.deps.awake.heard({ ...asleep.flow, engine: 'another' });
    expect(edge.legs.started).toHaveLength(0);
    edge.deps.awake.heard(asleep.flow);
    edge.deps.awake.heard(asleep.flow);
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:1000;transport=udp']);
    edge.legs.started[0]?.fail(408, true);
    expect([invite.finals, edge.pushes.length]).toEqual([[], 2]);
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    expect(edge.legs.started).toHaveLength(2);
    invite.cancel();
    edge.legs.started[1]?.fail(487);
    expect([edge.deps.awake.size, edge.clock.waiting]).toEqual([0, 0]);
  });

  it('[PN-PROXY-30] does not take the proxy of many phones for one of them', async () => {
    const edge = anEdge(openMemoryStore());
    const behind = aPhone(1000, edge.clock.now() - 60_000, { path: ['<sip:proxy.example.com;lr>'] });
    await edge.register(behind);
    await wake(new FakeInvite(), called, edge.deps);
    edge.deps.awake.heard(behind.flow);
    expect(edge.legs.started).toHaveLength(0);
  });

  describe('[PN-PROXY-20] that ended before its phone came', () => {
    const told = { latePhone: 'cancelled_invite' } as const;
    const ended = async () => {
      const edge = anEdge(openMemoryStore(), undefined, told);
      await edge.register(aPhone(1000, edge.clock.now() - 60_000));
      const invite = new FakeInvite();
      await wake(invite, called, edge.deps);
      await settled();
      invite.cancel();
      return edge;
    };

    it('is sent and cancelled at once when it comes, once, and nothing is left', async () => {
      const edge = await ended();
      expect([edge.calls.held, edge.deps.late.size]).toEqual([0, 1]);
      for (const port of [2000, 2000, 3000]) await edge.register(aPhone(port, edge.clock.now()));
      await settled();
      expect(edge.legs.started.map(({ request, cancelled }) => [request.nextHop, cancelled])).toEqual([
        ['sip:198.51.100.20:2000;transport=udp', 1],
      ]);
      edge.legs.started[0]?.answer();
      expect([edge.legs.started[0]?.acks, edge.legs.started[0]?.dialog.methods]).toEqual([1, ['BYE']]);
      expect([edge.deps.late.size, edge.deps.awake.size, edge.clock.waiting]).toEqual([0, 0, 0]);
    });

    it('is forgotten with its time, with its binding, and at a stop', async () => {
      const [inTime, removed, stopped] = [await ended(), await ended(), await ended()];
      inTime.clock.move(60_000);
      await removed.bus.publish({ is: 'removed', aor, bindingId: 'phone-1' });
      stopped.deps.late.close();
      for (const edge of [inTime, removed, stopped]) {
        await settled();
        expect([edge.deps.late.size, edge.clock.waiting]).toEqual([0, 0]);
        await edge.register(aPhone(2000, edge.clock.now()));
        await settled();
        expect(edge.legs.started).toHaveLength(0);
      }
    });

    it('is forgotten when there are too many, the oldest first', async () => {
      const edge = anEdge(openMemoryStore(), undefined, told);
      const deps = { ...edge.deps, late: new LatePhones(edge.clock, 2, 60_000) };
      await edge.register(aPhone(1000, edge.clock.now() - 60_000));
      for (const callId of ['one', 'two', 'three']) {
        const invite = new FakeInvite('sip:1001@192.0.2.1', callId);
        await wake(invite, called, deps);
        await settled();
        invite.cancel();
      }
      expect(deps.late.size).toBe(2);
      await edge.register(aPhone(2000, edge.clock.now()));
      await settled();
      const uuids = edge.legs.started.map(({ request }) => request.headers.get('X-Call-UUID'));
      expect(uuids).toEqual([callUuid('two'), callUuid('three')]);
      expect([deps.late.size, edge.clock.waiting]).toEqual([0, 0]);
    });

    it('is not sent to a phone that has it after all, over the flow that was silent', async () => {
      const edge = anEdge(openMemoryStore(), undefined, told);
      const awake = aPhone(1000, edge.clock.now(), {
        flow: { transport: 'tcp', address: '198.51.100.20', port: 1000, engine: 'e1' },
      });
      await edge.register(awake);
      const invite = new FakeInvite();
      await wake(invite, called, edge.deps);
      edge.clock.move(1500);
      await settled();
      invite.cancel();
      expect([edge.pushes.length, edge.deps.late.size, edge.legs.started.length]).toEqual([1, 1, 1]);
      edge.legs.started[0]?.ring();
      edge.legs.started[0]?.fail(487);
      expect([edge.deps.late.size, edge.clock.waiting]).toEqual([0, 0]);
    });
  });

  it('gives the caller the session description that the phone told reliably before its 2xx', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    const invite = new FakeInvite();
    await wake(invite, called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    const leg = edge.legs.started[0];
    const type: readonly (readonly [string, string])[] = [['Content-Type', 'application/sdp']];
    leg?.events.progress(response(183, 'Session Progress', Headers.of(type), 'v=0 answer'), true, undefined);
    leg?.events.answered(response(200, 'OK', Headers.empty()), leg.dialog, () => {});
    await settled();
    const final = invite.answers.at(-1);
    expect([final?.status, final?.body, final?.headers?.get('Content-Type')]).toEqual([
      200,
      'v=0 answer',
      'application/sdp',
    ]);
  });

  it('pushes the token that lives when a phone has two flows', async () => {
    const edge = anEdge(openMemoryStore());
    const now = edge.clock.now() - 60_000;
    const { push } = aPhone(1, now);
    if (push === undefined) throw new Error('no push');
    const dead = aPhone(1000, now, { id: 'flow-1', instanceId: 'i', regId: 1, push: { ...push, deadSince: now } });
    const alive = aPhone(1001, now, {
      id: 'flow-2',
      instanceId: 'i',
      regId: 2,
      push: { ...push, tokens: [{ kind: 'voip', token: 'cd' }] },
    });
    await edge.deps.store.swap(aor, 0, [dead, alive], dead.expiresAt);
    await wake(new FakeInvite(), { ...called, bindingId: undefined }, edge.deps);
    expect(edge.pushes).toEqual(['cd']);
  });

  it('rejects and forgets its subscription when the store is down', async () => {
    const store = openMemoryStore();
    const edge = anEdge({ ...store, read: () => Promise.reject(new Error('down')) } as LocationStore);
    await expect(wake(new FakeInvite(), called, edge.deps)).rejects.toThrow('down');
    expect(edge.calls.held).toBe(0);
  });
});

describe('news of another node', () => {
  const elsewhere = (port: number, now: number): Binding =>
    aPhone(port, now, { flow: { transport: 'udp', address: '198.51.100.20', port, engine: 'e2' } });
  // as an adapter tells it that had lost its network
  const gap = { is: 'gap', aor } as unknown as BindingChange;

  it.each([0, -500])(
    'a gap is a refresh when the phone has registered meanwhile, %i ms after by its clock',
    async (ms) => {
      const store = openMemoryStore();
      const edge = anEdge(store);
      // longer ago than a REGISTER that crosses the call
      const before = edge.clock.now() - 5000;
      await edge.register(elsewhere(1000, before));
      await wake(new FakeInvite(), called, edge.deps);
      await edge.bus.publish(gap);
      await settled();
      expect(edge.legs.started).toHaveLength(0);
      const { version } = await store.read(aor);
      await store.swap(aor, version, [elsewhere(2000, before + ms)], before + 3_600_000);
      await edge.bus.publish(gap);
      await settled();
      expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
    },
  );

  it('[PN-PROXY-06] a REGISTER there between the arrival of the INVITE and our look is the refresh', async () => {
    const memory = openMemoryStore();
    const edge = anEdge(memory);
    await edge.register(elsewhere(1000, edge.clock.now() - 60_000));
    let looked = false;
    const store: LocationStore = Object.assign(Object.create(memory) as LocationStore, {
      // its news came before we had subscribed
      read: async (of: string) => {
        if (!looked) {
          looked = true;
          const { version } = await memory.read(of);
          await memory.swap(of, version, [elsewhere(2000, edge.clock.now())], edge.clock.now() + 3_600_000);
        }
        return memory.read(of);
      },
    });
    await wake(new FakeInvite(), called, { ...edge.deps, store });
    await settled();
    expect(edge.legs.started.map(({ request }) => request.nextHop)).toEqual(['sip:198.51.100.20:2000;transport=udp']);
    expect(edge.pushes).toEqual([]);
  });
});

describe('a call that is being answered', () => {
  it('is at every moment either held or talking, so that a stop finds it', async () => {
    const edge = anEdge(openMemoryStore());
    await edge.register(aPhone(1000, edge.clock.now() - 60_000));
    await wake(new FakeInvite(), called, edge.deps);
    await edge.register(aPhone(2000, edge.clock.now()));
    await settled();
    edge.legs.started[0]?.answer();
    for (let turn = 0; turn < 10; turn++) {
      expect(edge.calls.held + edge.calls.talking).toBeGreaterThan(0);
      await Promise.resolve();
    }
    expect([edge.calls.held, edge.calls.talking]).toEqual([0, 1]);
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
          void scheduler
            .schedule(Promise.resolve(), 'register')
            .then(() => edge.register(aPhone(2000 + at, edge.clock.now())));
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
