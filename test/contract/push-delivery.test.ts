// What delivery over HTTP/2 does beyond the contract of each provider: two connections for one call, renewed credentials, breakers.
import { afterEach, describe, expect, it } from 'vitest';
import { type ApnsLab, type ApnsLabOptions, makeLabCredentials, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { parseRule } from '../../apps/push-lab/rules.ts';
import {
  type ApnsConfig,
  type ApnsEvents,
  type ApnsService,
  openApns,
} from '../../lib/adapters/apns/apns-push-service.ts';
import { measureServices } from '../../apps/edge/push-gauges.ts';
import type { PushOutcome } from '../../lib/ports/push-service.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { aClock } from '../support/hand-moved-day.ts';
import { aCall, anApp, aToken, noSignal } from '../support/push-request.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

async function aPair(
  options: ApnsLabOptions = {},
  config: Partial<ApnsConfig> = {},
  events: ApnsEvents = {},
  clock = aClock(),
): Promise<{ readonly lab: ApnsLab; readonly apns: ApnsService; call(): Promise<PushOutcome> }> {
  const lab = await startApnsLab(options);
  cleanups.push(() => lab.close());
  const apns = openApns({ apps: [anApp(lab)], ...config }, clock, events);
  cleanups.push(() => apns.close());
  return { lab, apns, call: () => apns.push(aCall({ deadline: clock.now() + 8000 }), noSignal) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

describe('two connections', () => {
  it('carry a call that the first leaves without a status, and its first answer counts', async () => {
    const { lab, apns, call } = await aPair(
      {},
      { limits: { warmSessions: 2 }, timers: { hedgeMs: 100, probeMs: 100, callAttemptMs: 6000 } },
    );
    await until(() => apns.load().sessions === 2);
    // each of them has shown that it works
    while (new Set(lab.pushes().map(({ session }) => session)).size < 2) await Promise.all([call(), call(), call()]);
    const begun = Date.now();
    lab.rules.add(parseRule({ do: 'slow', ms: 5000, times: 1 }));
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(Date.now() - begun).toBeLessThan(4500);
    await until(() => lab.stats().streamsOpen === 0);
  });

  it('carry at most one in fifty pushes twice', async () => {
    const { lab, apns, call } = await aPair(
      {},
      { limits: { warmSessions: 2 }, timers: { hedgeMs: 400, probeMs: 400, callAttemptMs: 6000 } },
    );
    await until(() => apns.load().sessions === 2);
    while (new Set(lab.pushes().map(({ session }) => session)).size < 2) await Promise.all([call(), call(), call()]);
    const before = lab.pushes().length;
    lab.rules.add(parseRule({ do: 'slow', ms: 1000 }));
    const outcomes = await Promise.all(Array.from({ length: 60 }, call));
    expect(outcomes.filter(({ is }) => is !== 'accepted')).toEqual([]);
    // one to begin with, and one for each fifty, those before included
    expect(lab.stats().faults).toBeLessThanOrEqual(60 + 1 + Math.ceil((before + 60) / 50));
  });
});

describe('renewed credentials', () => {
  it('take the place of the old ones under load, and no push fails', async () => {
    const one = makeLabCredentials('LABTEAM001');
    const { lab, apns, call } = await aPair({ latencyMs: 20, credentials: one });
    await call();
    const pushes = Array.from({ length: 300 }, call);
    // the same key in another app, then the key gone from the first
    apns.renew([anApp(lab), anApp(lab, { name: 'other' })]);
    const more = Array.from({ length: 100 }, call);
    apns.renew([anApp(lab, { keyId: one.keyId })]);
    const outcomes = await Promise.all([...pushes, ...more]);
    expect(outcomes.filter(({ is }) => is !== 'accepted')).toEqual([]);
    expect(lab.stats().providerTokens).toBe(1);
  });

  it('move what waits to the new key, and end the connections of the old one', async () => {
    const one = await startApnsLab({ latencyMs: 50 });
    const other = await startApnsLab({ latencyMs: 5 });
    cleanups.push(
      () => one.close(),
      () => other.close(),
    );
    const apns = openApns({ apps: [anApp(one)], limits: { maxSessions: 1 } });
    cleanups.push(() => apns.close());
    const push = (): Promise<PushOutcome> => apns.push(aCall({ deadline: Date.now() + 8000 }), noSignal);
    // one stream until the first answer: the others wait
    const outcomes = Array.from({ length: 20 }, push);
    await until(() => one.stats().streamsOpen === 1);
    apns.renew([anApp(other)]);
    expect((await Promise.all(outcomes)).filter(({ is }) => is !== 'accepted')).toEqual([]);
    expect([one.stats().accepted, other.stats().accepted]).toEqual([1, 19]);
    await until(() => one.stats().sessionsOpen === 0);
  });

  it('end every connection at once when the key was revoked, and what was under way is sent with the new one', async () => {
    const one = await startApnsLab({ latencyMs: 60_000 });
    const other = await startApnsLab();
    cleanups.push(
      () => one.close(),
      () => other.close(),
    );
    const apns = openApns({ apps: [anApp(one)] });
    cleanups.push(() => apns.close());
    const outcome = apns.push(aCall({ deadline: Date.now() + 8000 }), noSignal);
    await until(() => one.stats().streamsOpen === 1);
    apns.renew([anApp(other)], 'at-once');
    expect(await outcome).toMatchObject({ is: 'accepted' });
    expect(other.stats().accepted).toBe(1);
    await until(() => one.stats().sessionsOpen === 0);
  });

  it('that cannot be read change nothing', async () => {
    const { lab, apns, call } = await aPair();
    await call();
    expect(() => apns.renew([anApp(lab, { privateKey: 'none' })])).toThrow(/expected the PEM text/);
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(lab.stats().sessionsOpened).toBe(1);
  });
});

describe('breakers', () => {
  it('refuse pushes with credentials that were refused, try one after 30 s, and say so', async () => {
    const clock = aClock();
    const said: string[] = [];
    const { lab, call } = await aPair(
      {},
      {},
      { breaker: (_, kind, isOpen, reason) => said.push(`${kind} ${isOpen} ${reason}`) },
      clock,
    );
    lab.rules.add(parseRule({ do: 'answer', status: 403, reason: 'InvalidProviderToken', times: 2 }));
    expect(await call()).toEqual({ is: 'config-error', reason: 'InvalidProviderToken' });
    const refused = { is: 'config-error', reason: 'credentials breaker open, InvalidProviderToken' };
    expect(await Promise.all([call(), call()])).toEqual([refused, refused]);
    expect(lab.stats().faults).toBe(1);
    clock.move(30_000);
    expect(await call()).toEqual({ is: 'config-error', reason: 'InvalidProviderToken' });
    expect(await call()).toEqual(refused);
    clock.move(30_000);
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(said).toEqual([
      'credentials true InvalidProviderToken',
      'credentials true InvalidProviderToken',
      'credentials false ',
    ]);
  });

  it('try again at once when credentials are loaded anew', async () => {
    const { lab, apns, call } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 403, reason: 'Forbidden', times: 1 }));
    await call();
    expect(await call()).toMatchObject({ is: 'config-error' });
    apns.renew([anApp(lab)]);
    expect(await call()).toMatchObject({ is: 'accepted' });
  });

  it('never open for what a phone is answered', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 410, reason: 'Unregistered', token: 'dd' }));
    for (let count = 0; count < 40; count++) {
      const tokens = [{ kind: 'voip', token: aToken('dd') }] as const;
      expect(await apns.push(aCall({ tokens }), noSignal)).toMatchObject({ is: 'token-dead' });
    }
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
  });
});

describe('what a service says of itself', () => {
  it('push-providers 8.7: connections, pushes on their way and waiting, the age of its token, as gauges', async () => {
    const { lab, apns, call } = await aPair({}, { limits: { maxSessions: 1 } });
    await call();
    lab.setStreamLimit(2);
    lab.rules.add(parseRule({ do: 'slow', ms: 300 }));
    // the new limit is known with the next answer
    await call();
    const outcomes = Array.from({ length: 5 }, call);
    await until(() => lab.stats().streamsOpen === 2);
    const gauges = new Map<string, number>();
    const telemetry = {
      gauge: (key: string, value: number, labels: object) => gauges.set(`${key} ${JSON.stringify(labels)}`, value),
    };
    measureServices([{ provider: 'apns', service: apns }], telemetry as unknown as Telemetry, Date.now());
    expect(gauges.get('pushSessions {"provider":"apns"}')).toBe(1);
    expect(gauges.get('pushStreams {"provider":"apns"}')).toBe(2);
    expect(gauges.get('pushQueue {"provider":"apns"}')).toBe(3);
    const age = gauges.get('pushTokenAge {"provider":"apns","app":"phone"}');
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThanOrEqual(40 * 60);
    await Promise.all(outcomes);
  });

  it('push-providers 8.5: and a reload that changes nothing for it lets pushes try again at once', async () => {
    const { lab, apns, call } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 403, reason: 'Forbidden', times: 1 }));
    await call();
    expect(await call()).toMatchObject({ is: 'config-error' });
    apns.askAgain();
    expect(await call()).toMatchObject({ is: 'accepted' });
  });
});
