// How connections end under pushes: a push is neither lost nor sent twice where that can be had, however slow the service is.
import { afterEach, describe, expect, it } from 'vitest';
import { type ApnsLab, type ApnsLabOptions, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { type ApnsConfig, type ApnsService, openApns } from '../../lib/adapters/apns/apns-push-service.ts';
import type { PushOutcome } from '../../lib/ports/push-service.ts';
import { aCall, anApp, noSignal } from '../support/push-request.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

interface Pair {
  readonly lab: ApnsLab;
  readonly apns: ApnsService;
  readonly said: string[];
  call(deadlineMs?: number): Promise<PushOutcome>;
}

async function aPair(options: ApnsLabOptions, config: Partial<ApnsConfig>): Promise<Pair> {
  const lab = await startApnsLab(options);
  cleanups.push(() => lab.close());
  const said: string[] = [];
  const apns = openApns({ apps: [anApp(lab)], ...config }, undefined, {
    breaker: (_, kind, isOpen, reason) => said.push(`${kind} ${isOpen} ${reason}`),
  });
  cleanups.push(() => apns.close());
  const call = (ms = 20_000): Promise<PushOutcome> => apns.push(aCall({ deadline: Date.now() + ms }), noSignal);
  return { lab, apns, said, call };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

const failedOf = (outcomes: readonly PushOutcome[]): readonly PushOutcome[] =>
  outcomes.filter(({ is }) => is !== 'accepted');

describe('GOAWAY', () => {
  it('push-providers 8.4: of a service slower than an attempt lasts fails no push and doubles none', async () => {
    const timers = { callAttemptMs: 1000, probeMs: 250, hedgeMs: 500 };
    const { lab, call, said } = await aPair({}, { timers });
    // the stream limit is known, and every push finds its stream at once
    await call();
    lab.rules.add({ fault: { do: 'slow', ms: 1500 } });
    const outcomes = Array.from({ length: 60 }, () => call());
    await until(() => lab.stats().faults === 60);
    lab.goaway('graceful');
    // two connections now: a reason to send on the other one, if there were any
    const later = Array.from({ length: 5 }, () => call());
    lab.rules.clear();
    expect(failedOf(await Promise.all([...outcomes, ...later]))).toEqual([]);
    expect(lab.stats()).toMatchObject({ accepted: 66, duplicates: 0, sessionsOpened: 2 });
    // none of them went out on the second connection as well
    expect(lab.pushes().filter(({ session }) => session === 1)).toHaveLength(61);
    expect(said).toEqual([]);
  });

  it('keeps a stream that is never answered until there is just time for another attempt', async () => {
    const { lab, call } = await aPair({}, { timers: { callAttemptMs: 1000, probeMs: 250 } });
    await call();
    lab.rules.add({ fault: { do: 'hang' }, times: 1 });
    const outcome = call(2500);
    await until(() => lab.stats().faults === 1);
    lab.goaway('graceful');
    expect(await outcome).toMatchObject({ is: 'accepted' });
    expect(lab.stats()).toMatchObject({ accepted: 2, sessionsOpened: 2 });
  });
});

describe('a path that goes silent', () => {
  it('three times in a row costs no push that has the time', async () => {
    const timers = { callAttemptMs: 2000, probeMs: 100, pingAckMs: 3000 };
    const { lab, call, said } = await aPair({ stallable: true, latencyMs: 20 }, { timers });
    await call();
    const outcomes: Promise<PushOutcome>[] = [];
    for (let round = 0; round < 3; round++) {
      const before = lab.stats().accepted;
      outcomes.push(...Array.from({ length: 40 }, () => call()));
      lab.stall();
      // the next connection works before it goes silent as well
      await until(() => lab.stats().accepted > before);
    }
    expect(failedOf(await Promise.all(outcomes))).toEqual([]);
    expect(said).toEqual([]);
  });
});
