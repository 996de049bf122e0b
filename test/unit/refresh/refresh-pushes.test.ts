/** Refresh pushes against a moved clock: whom, when, how often, and what ends them. */
import { describe, expect, it } from 'vitest';
import { memoryAgenda } from '../../../lib/adapters/memory/agenda.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import { nextRefresh, refreshTask } from '../../../lib/core/refresh-schedule.ts';
import type { Agenda } from '../../../lib/ports/agenda.ts';
import type { PushOutcome, PushRequest } from '../../../lib/ports/push-service.ts';
import { startRefreshPushes } from '../../../lib/refresh/refresh-pushes.ts';
import { aBinding } from '../../support/a-binding.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aTokenKeeper } from '../../support/token-keeper.ts';

const start = 1_790_000_000_000;
const policy = { leadSeconds: 300, perSecond: 200, perAppPerSecond: 200, pushDeadlineMs: 5000 };
const token = 'ab'.repeat(32);

function asleep(id: string, changes: Partial<Binding> = {}): Binding {
  const { push, upstreamExpiresAt: _, ...rest } = aBinding({ id, aor: `${id}@example.com`, registeredAt: start });
  if (push === undefined) throw new Error('no push');
  return { ...rest, expiresAt: start + 3_600_000, push: { ...push, tokens: [{ kind: 'alert', token }] }, ...changes };
}

function aNode(answer: (request: PushRequest) => PushOutcome = () => ({ is: 'accepted', id: '1' })) {
  const clock = new MovedClock(start);
  const store = openMemoryStore({ now: () => clock.now() });
  const inner = memoryAgenda();
  let claims = 0;
  const agenda: Agenda = {
    ...inner,
    claim: (...args) => {
      claims++;
      return inner.claim(...args);
    },
  };
  const pushed: { readonly at: number; readonly request: PushRequest }[] = [];
  const telemetry = new TelemetryRecorder();
  const log = new QuietLog();
  const stop = startRefreshPushes({
    agenda,
    store,
    push: {
      push: async (request) => {
        pushed.push({ at: clock.now(), request });
        return answer(request);
      },
      close: async () => undefined,
    },
    clock,
    precise: () => clock.now(),
    log,
    telemetry,
    tokens: aTokenKeeper({ store, clock, log, telemetry }),
    policy,
  });
  /** As commit does it. */
  const register = async (binding: Binding): Promise<void> => {
    const { version } = await store.read(binding.aor);
    await store.swap(binding.aor, version, [binding], binding.expiresAt);
    const at = nextRefresh(binding, clock.now(), policy);
    if (at !== undefined) await agenda.put(refreshTask(binding.aor, binding.id), at);
  };
  /** Second by second: each tick is done when the next timer waits. */
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      const before = claims;
      clock.move(1000);
      while (claims === before || clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, store, pushed, telemetry, register, pass, stop };
}

describe('refresh pushes', () => {
  it('[PN-EXP-02] push a sleeping phone before its end, again when it stays silent, and no more after the end', async () => {
    const node = aNode();
    await node.register(asleep('a'));
    await node.pass(3700);
    const left = node.pushed.map(({ at }) => Math.round((start + 3_600_000 - at) / 1000));
    expect(left).toHaveLength(2);
    expect(left[0]).toBeGreaterThanOrEqual(300);
    expect(Math.min(...left)).toBeGreaterThan(0);
    expect(node.pushed[0]?.request).toMatchObject({ class: 'refresh', tokens: [{ kind: 'alert', token }] });
    expect(node.telemetry.counted('refreshPushes', { provider: 'apns', outcome: 'accepted' })).toBe(left.length);
    await node.stop();
  });

  it('leave a phone alone that has registered meanwhile', async () => {
    const node = aNode();
    await node.register(asleep('a'));
    await node.pass(2000);
    await node.register(asleep('a', { registeredAt: start + 2_000_000, expiresAt: start + 5_600_000 }));
    await node.pass(2000);
    expect(node.pushed).toEqual([]);
    await node.pass(1700);
    expect(node.pushed.length).toBeGreaterThan(0);
    await node.stop();
  });

  it('[PN-EXP-04] send nothing for a binding that was removed', async () => {
    const node = aNode();
    await node.register(asleep('a'));
    const { version } = await node.store.read('a@example.com');
    await node.store.swap('a@example.com', version, [], 0);
    await node.pass(3700);
    expect(node.pushed).toEqual([]);
    await node.stop();
  });

  it('end at a token that is gone, and remember it', async () => {
    const node = aNode(() => ({ is: 'token-dead', token, reason: 'Unregistered' }));
    await node.register(asleep('a'));
    await node.pass(3590);
    expect(node.pushed).toHaveLength(1);
    expect((await node.store.read('a@example.com')).bindings[0]?.push?.deadSince).toBeDefined();
    await node.stop();
  });

  it('[PN-EXP-06] 100,000 bindings with one end: no second has more than the limit, and each is pushed', async () => {
    const node = aNode();
    const count = 100_000;
    const life = 20_000;
    for (let index = 0; index < count; index++)
      await node.register(asleep(`b${index}`, { expiresAt: start + life * 1000 }));
    // until 120 s before the end
    await node.pass(life - 120);
    const perSecond = new Map<number, number>();
    for (const { at } of node.pushed) perSecond.set(at, (perSecond.get(at) ?? 0) + 1);
    expect(Math.max(...perSecond.values())).toBeLessThanOrEqual(policy.perSecond);
    expect(perSecond.size).toBeGreaterThan(1000);
    expect(new Set(node.pushed.map(({ request }) => request.to)).size).toBe(count);
    await node.stop();
  }, 120_000);

  it('go on to all other apps while the service of one does not answer', async () => {
    const never = new Promise<PushOutcome>(() => undefined);
    const node = aNode(({ app }) => (app === 'hangs' ? never : { is: 'accepted', id: '1' }) as PushOutcome);
    for (let count = 0; count < 50; count++) {
      for (const app of ['hangs', 'works']) {
        const one = asleep(`${app}-${count}`);
        if (one.push === undefined) throw new Error('no push');
        const tokens = [{ kind: 'alert', token: `${token}${app}${count}` }] as const;
        await node.register({ ...one, push: { ...one.push, app, tokens } });
      }
    }
    await node.pass(3400);
    const works = new Set(
      node.pushed.filter(({ request }) => request.app === 'works').map(({ request }) => request.to),
    );
    expect(works.size).toBe(50);
  });
});
