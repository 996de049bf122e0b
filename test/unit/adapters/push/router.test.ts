import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { routePushes } from '../../../../lib/adapters/push/router.ts';
import type { Clock } from '../../../../lib/ports/clock.ts';
import type { PushOutcome, PushRequest, PushService } from '../../../../lib/ports/push-service.ts';
import { aCall, noSignal } from '../../../support/push-request.ts';

class HandClock implements Clock {
  #now = 1_000_000;
  #tasks = new Set<{ readonly at: number; readonly task: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const entry = { at: this.#now + ms, task };
    this.#tasks.add(entry);
    return () => this.#tasks.delete(entry);
  }

  get waiting(): number {
    return this.#tasks.size;
  }

  move(ms: number): void {
    this.#now += ms;
    for (const entry of this.#tasks) {
      if (entry.at > this.#now) continue;
      this.#tasks.delete(entry);
      entry.task();
    }
  }
}

/** Remembers what it was asked and is answered by hand. */
class HandService implements PushService {
  readonly asked: { request: PushRequest; signal: AbortSignal; answer: (outcome: PushOutcome) => void }[] = [];
  closed = 0;

  push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    return new Promise((answer) => this.asked.push({ request, signal, answer }));
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

const accepted: PushOutcome = { is: 'accepted', id: '1' };

function set() {
  const clock = new HandClock();
  const service = new HandService();
  const counted: unknown[] = [];
  const router = routePushes(
    new Map([
      ['phone', { provider: 'apns', service }],
      ['tablet', { provider: 'apns', service }],
    ]),
    clock,
    (...what) => counted.push(what),
  );
  const call = (what: Partial<PushRequest> = {}): PushRequest =>
    aCall({ deadline: clock.now() + 5000, wakeUntil: clock.now() + 15_000, ...what });
  return { clock, service, counted, router, call };
}

describe('push router', () => {
  it('answers at once when no app is configured', async () => {
    const counted: unknown[] = [];
    const router = routePushes(new Map(), new HandClock(), (...what) => counted.push(what));
    const outcome = { is: 'config-error', reason: 'no credentials for app' };
    expect(await router.push(aCall(), noSignal)).toEqual(outcome);
    expect(counted).toEqual([['phone', 'none', 'call', outcome, 0]]);
    await router.close();
  });

  it('reports outcome and time', async () => {
    const { clock, service, counted, router, call } = set();
    const outcome = router.push(call(), noSignal);
    clock.move(250);
    service.asked[0]?.answer(accepted);
    expect(await outcome).toEqual(accepted);
    expect(counted).toEqual([['phone', 'apns', 'call', accepted, 0.25]]);
  });

  it('sends one push for one ring of one phone, until the ring is over', async () => {
    const { clock, service, router, call } = set();
    const first = call();
    const outcomes = [router.push(first, noSignal), router.push({ ...first, to: 'sip:other@example.org' }, noSignal)];
    expect(service.asked).toHaveLength(1);
    service.asked[0]?.answer(accepted);
    expect(await Promise.all(outcomes)).toEqual([accepted, accepted]);
    expect(await router.push(first, noSignal)).toEqual(accepted);
    expect(service.asked).toHaveLength(1);
    clock.move(15_000);
    void router.push(call({ callId: first.callId, tokens: first.tokens }), noSignal);
    expect(service.asked).toHaveLength(2);
  });

  it('keeps other phones, other calls and other classes apart', () => {
    const { service, router, call } = set();
    const first = call();
    void router.push(first, noSignal);
    void router.push(call({ callId: first.callId }), noSignal);
    void router.push(call({ tokens: first.tokens }), noSignal);
    void router.push({ ...first, app: 'tablet' }, noSignal);
    void router.push({ ...first, class: 'refresh' }, noSignal);
    void router.push({ ...first, class: 'refresh' }, noSignal);
    expect(service.asked).toHaveLength(6);
  });

  it('tries again for the next request when the first failed', async () => {
    const { service, router, call } = set();
    const first = call();
    const outcome = router.push(first, noSignal);
    service.asked[0]?.answer({ is: 'unreachable', reason: 'no answer' });
    await outcome;
    void router.push(first, noSignal);
    expect(service.asked).toHaveLength(2);
  });

  it('withdraws a shared push only when nobody waits for it any more', async () => {
    const { clock, service, router, call } = set();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = call();
    const outcomes = [router.push(first, one.signal), router.push(first, two.signal)];
    one.abort();
    expect(await outcomes[0]).toEqual({ is: 'cancelled' });
    expect(service.asked[0]?.signal.aborted).toBe(false);
    two.abort();
    expect(await outcomes[1]).toEqual({ is: 'cancelled' });
    expect(service.asked[0]?.signal.aborted).toBe(true);
    expect(clock.waiting).toBe(0);
    void router.push(first, noSignal);
    expect(service.asked).toHaveLength(2);
  });

  it('holds each request to its own deadline', async () => {
    const { clock, service, router, call } = set();
    const first = call();
    const outcomes = [router.push(first, noSignal), router.push({ ...first, deadline: clock.now() + 100 }, noSignal)];
    clock.move(100);
    expect(await outcomes[1]).toEqual({ is: 'unreachable', reason: 'deadline passed' });
    service.asked[0]?.answer(accepted);
    expect(await outcomes[0]).toEqual(accepted);
  });

  it('leaves no listener and no timer but the ring itself', async () => {
    const { clock, service, router, call } = set();
    const stop = new AbortController();
    const outcome = router.push(call(), stop.signal);
    service.asked[0]?.answer(accepted);
    await outcome;
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
    expect(clock.waiting).toBe(1);
  });

  it('closes each service once', async () => {
    const { service, router } = set();
    await router.close();
    expect(service.closed).toBe(1);
  });
});
