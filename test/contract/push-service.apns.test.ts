// APNs adapter and lab over real HTTP/2 and TLS. What is asserted is counts and outcomes; times only where a limit is the point.
import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { type ApnsLab, type ApnsLabOptions, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { parseRule } from '../../apps/push-lab/rules.ts';
import {
  type ApnsConfig,
  type ApnsEvents,
  type ApnsService,
  openApns,
} from '../../lib/adapters/apns/apns-push-service.ts';
import { gridStep } from '../../lib/adapters/apns/provider-token.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import { profiles } from '../../lib/payload/profile.ts';
import type { PushOutcome } from '../../lib/ports/push-service.ts';
import { aClock } from '../support/hand-moved-day.ts';
import { aCall, anApp, aToken, noSignal } from '../support/push-request.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

async function aLab(options: ApnsLabOptions = {}): Promise<ApnsLab> {
  const lab = await startApnsLab(options);
  cleanups.push(() => lab.close());
  return lab;
}

function aService(lab: ApnsLab, config: Partial<ApnsConfig> = {}, clock?: Clock, events?: ApnsEvents): ApnsService {
  const apns = openApns({ apps: [anApp(lab)], ...config }, clock, events);
  cleanups.push(() => apns.close());
  return apns;
}

async function aPair(
  options: ApnsLabOptions = {},
  config: Partial<ApnsConfig> = {},
): Promise<{ lab: ApnsLab; apns: ApnsService }> {
  const lab = await aLab(options);
  return { lab, apns: aService(lab, config) };
}

/** `total` pushes with `width` on their way at any time; `at` is told how many are done. */
async function stream(
  apns: ApnsService,
  total: number,
  width: number,
  at: (done: number) => void = () => undefined,
): Promise<PushOutcome[]> {
  const outcomes: PushOutcome[] = [];
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (begun < total) {
      begun += 1;
      outcomes.push(await apns.push(aCall({ deadline: Date.now() + 10_000 }), noSignal));
      at(outcomes.length);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return outcomes;
}

const failures = (outcomes: readonly PushOutcome[]): PushOutcome[] => outcomes.filter(({ is }) => is !== 'accepted');

function until(condition: () => boolean): Promise<void> {
  return new Promise((done) => {
    const look = (): void => {
      if (condition()) done();
      else setImmediate(look);
    };
    look();
  });
}

describe('delivery', () => {
  it('delivers a call as a VoIP push that the stand-in finds correct', async () => {
    const { lab, apns } = await aPair();
    const call = aCall();
    const outcome = await apns.push(call, noSignal);
    expect(outcome).toEqual({ is: 'accepted', id: lab.pushes()[0]?.id });
    expect(lab.pushes()).toMatchObject([
      {
        token: call.tokens[0]?.token,
        topic: 'org.example.phone.voip',
        pushType: 'voip',
        priority: 10,
        payload: { aps: {}, 'call-id': call.callId },
      },
    ]);
  });

  it('delivers every class and profile in a form that the stand-in finds correct', async () => {
    const lab = await aLab();
    const template = { default: { aps: { 'thread-id': '{call-uuid}' }, who: '{from-name}' } };
    const apns = aService(lab, { apps: profiles.map((profile) => anApp(lab, { name: profile, profile, template })) });
    const both = [
      { kind: 'voip', token: aToken() },
      { kind: 'alert', token: aToken() },
    ] as const;
    const classes = ['call', 'message', 'notify', 'refresh'] as const;
    for (const app of profiles) {
      for (const pushClass of app === 'aria' ? (['call', 'refresh'] as const) : classes) {
        const what = { app, class: pushClass, param: 'T.org.example.phone.voip&remote' };
        expect(await apns.push(aCall({ ...what, tokens: both }), noSignal)).toMatchObject({ is: 'accepted' });
        expect(await apns.push(aCall({ ...what, tokens: both.slice(1) }), noSignal)).toMatchObject({ is: 'accepted' });
      }
    }
    const voip = lab.pushes().filter(({ pushType }) => pushType === 'voip');
    expect(voip).toHaveLength(profiles.length);
    expect(voip.every(({ token }) => token === both[0].token)).toBe(true);
  });

  it('signs for each environment with the key that is for it, on connections of their own', async () => {
    const [production, sandbox] = [await aLab(), await aLab()];
    const apns = aService(production, {
      apps: [
        anApp(production, {
          endpoint: { production: production.endpoint, sandbox: sandbox.endpoint },
          sandboxKey: { keyId: sandbox.credentials.keyId, privateKey: sandbox.credentials.privateKey },
          ca: `${production.ca}\n${sandbox.ca}`,
        }),
      ],
    });
    expect(await apns.push(aCall({ environment: 'sandbox' }), noSignal)).toMatchObject({ is: 'accepted' });
    expect(await apns.push(aCall({ environment: undefined }), noSignal)).toMatchObject({ is: 'accepted' });
    expect([production.stats().accepted, sandbox.stats().accepted]).toEqual([1, 1]);
  });

  it('multiplexes on one connection once the peer allows it', async () => {
    const { lab, apns } = await aPair({ latencyMs: 20 }, { limits: { maxSessions: 1 } });
    expect(failures(await stream(apns, 400, 200))).toEqual([]);
    expect(lab.stats()).toMatchObject({ accepted: 400, duplicates: 0, sessionsOpened: 1, providerTokens: 1 });
    expect(lab.stats().streamsPeak).toBeGreaterThan(100);
  });

  it('obeys a stream limit that goes down', async () => {
    const { lab, apns } = await aPair({ latencyMs: 5 }, { limits: { maxSessions: 1 } });
    await apns.push(aCall(), noSignal);
    lab.setStreamLimit(3);
    await apns.push(aCall(), noSignal);
    lab.clear();
    expect(failures(await stream(apns, 60, 30))).toEqual([]);
    expect(lab.stats().streamsPeak).toBeLessThanOrEqual(3);
  });

  it('opens more connections under load, not more than four', async () => {
    const { lab, apns } = await aPair({ latencyMs: 100 }, { limits: { busyStreams: 20 } });
    await apns.push(aCall(), noSignal);
    expect(failures(await stream(apns, 2400, 300))).toEqual([]);
    expect(lab.stats().sessionsOpened).toBe(4);
  });
});

describe('faults', () => {
  const answers: readonly (readonly [string, unknown, Partial<PushOutcome>])[] = [
    [
      '410',
      { do: 'answer', status: 410, reason: 'Unregistered', timestamp: 1_700_000_000_000 },
      { is: 'token-dead', reason: 'Unregistered', since: 1_700_000_000_000 },
    ],
    [
      '429',
      { do: 'answer', status: 429, reason: 'TooManyRequests', retryAfter: 7 },
      { is: 'throttled', reason: 'TooManyRequests', retryAfterMs: 7000 },
    ],
    [
      '403',
      { do: 'answer', status: 403, reason: 'InvalidProviderToken' },
      { is: 'config-error', reason: 'InvalidProviderToken' },
    ],
    [
      '400',
      { do: 'answer', status: 400, reason: 'TopicDisallowed' },
      { is: 'config-error', reason: 'TopicDisallowed' },
    ],
    [
      '503 with a Retry-After beyond the deadline',
      { do: 'answer', status: 503, reason: 'ServiceUnavailable', retryAfter: 60 },
      { is: 'unreachable', reason: 'ServiceUnavailable' },
    ],
  ];
  it.each(answers)('%s: one attempt, and its outcome', async (_, rule, outcome) => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule(rule));
    const token = aToken();
    const dead = outcome.is === 'token-dead' ? { token } : {};
    expect(await apns.push(aCall({ tokens: [{ kind: 'voip', token }] }), noSignal)).toEqual({ ...outcome, ...dead });
    expect(lab.stats().faults).toBe(1);
  });

  const passing: readonly (readonly [string, unknown])[] = [
    ['500', { do: 'answer', status: 500, reason: 'InternalServerError' }],
    ['503', { do: 'answer', status: 503, reason: 'Shutdown' }],
    ['502 with HTML', { do: 'answer', status: 502, html: true }],
    ['RST_STREAM', { do: 'reset', code: 'INTERNAL_ERROR' }],
    ['a connection cut before the push was processed', { do: 'drop', when: 'before' }],
    ['GOAWAY that cuts at once', { do: 'goaway', mode: 'immediate' }],
  ];
  it.each(passing)('%s twice: the third attempt gets through', async (_, rule) => {
    const { lab, apns } = await aPair();
    lab.rules.add({ ...parseRule(rule), times: 2 });
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.stats()).toMatchObject({ accepted: 1, faults: 2 });
  });

  it('gives up after three attempts that may be tried again', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 500, reason: 'InternalServerError' }));
    expect(await apns.push(aCall(), noSignal)).toEqual({ is: 'unreachable', reason: 'InternalServerError' });
    expect(lab.stats().faults).toBe(3);
  });

  it('does not count streams that were refused unprocessed', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'reset', code: 'REFUSED_STREAM', times: 8 }));
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.stats()).toMatchObject({ accepted: 1, faults: 8 });
  });

  it('does not follow a peer that refuses every stream for ever', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'reset', code: 'REFUSED_STREAM' }));
    expect(await apns.push(aCall(), noSignal)).toEqual({ is: 'unreachable', reason: 'REFUSED_STREAM' });
    expect(lab.stats().faults).toBeLessThan(30);
  });

  it('leaves a hanging attempt for another one', async () => {
    const { lab, apns } = await aPair({}, { timers: { callAttemptMs: 50 } });
    lab.rules.add(parseRule({ do: 'hang', times: 1 }));
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    await until(() => lab.stats().streamsOpen === 0);
  });

  it('settles by the deadline when nothing ever answers', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'hang' }));
    const deadline = Date.now() + 150;
    const outcome = await apns.push(aCall({ deadline }), noSignal);
    expect(outcome).toEqual({ is: 'unreachable', reason: 'deadline passed, no answer' });
    expect(Date.now() - deadline).toBeLessThan(1000);
    await until(() => lab.stats().streamsOpen === 0);
  });

  it('settles by the deadline when nobody listens', async () => {
    const lab = await aLab();
    await lab.close();
    const apns = aService(lab);
    const outcome = await apns.push(aCall({ deadline: Date.now() + 150 }), noSignal);
    expect(outcome).toMatchObject({ is: 'unreachable' });
  });

  it('refuses to talk to a server whose certificate the CA did not sign', async () => {
    const [lab, other] = [await aLab(), await aLab()];
    const reasons: string[] = [];
    const apns = aService(lab, { apps: [anApp(lab, { ca: other.ca })] }, undefined, {
      connection: (_, what, reason) => reasons.push(`${what} ${reason}`),
    });
    expect(await apns.push(aCall({ deadline: Date.now() + 200 }), noSignal)).toMatchObject({ is: 'unreachable' });
    expect(reasons[0]).toMatch(/^closed .*(CERT|SIGNATURE|ISSUER)/);
    expect(lab.stats().accepted).toBe(0);
  });

  it('sends the call id alone when the payload is called too large', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 413, reason: 'PayloadTooLarge', times: 1 }));
    const call = aCall();
    expect(await apns.push(call, noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.pushes()[0]?.payload).toEqual({ aps: {}, 'call-id': call.callId });
  });

  it('calls a token suspect at BadDeviceToken, as the wrong environment says it too', async () => {
    const { lab, apns } = await aPair();
    lab.rules.add(parseRule({ do: 'answer', status: 400, reason: 'BadDeviceToken' }));
    const tokens = [{ kind: 'voip', token: aToken() }] as const;
    const suspect = { is: 'token-suspect', reason: 'BadDeviceToken', token: tokens[0].token };
    expect(await apns.push(aCall({ tokens }), noSignal)).toEqual(suspect);
    expect(lab.stats().faults).toBe(1);
  });

  it('does not push a token again for the topic it is not for, nor thinks less of it for another', async () => {
    const { lab, apns } = await aPair();
    const tokens = [{ kind: 'voip', token: aToken() }] as const;
    const wrong = { is: 'config-error', reason: 'DeviceTokenNotForTopic' };
    lab.rules.add(parseRule({ do: 'answer', status: 400, reason: 'DeviceTokenNotForTopic', times: 2 }));
    expect(await apns.push(aCall({ tokens }), noSignal)).toEqual(wrong);
    expect(await apns.push(aCall({ tokens }), noSignal)).toEqual(wrong);
    expect(lab.stats().faults).toBe(1);
    // the second fault is for it: it was asked about
    const other = aCall({ tokens, param: 'LABTEAM001.org.example.other.voip' });
    expect(await apns.push(other, noSignal)).toEqual(wrong);
    expect(lab.stats().faults).toBe(2);
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    // whoever changes keys or topics wants to see whether it works now
    apns.renew([anApp(lab)]);
    expect(await apns.push(aCall({ tokens }), noSignal)).toMatchObject({ is: 'accepted' });
  });

  it('asks the other environment once about a token that one does not know, and says where it belongs', async () => {
    const production = await aLab();
    const sandbox = await aLab({ credentials: production.credentials });
    const app = anApp(production, {
      findsEnvironment: true,
      endpoint: { production: production.endpoint, sandbox: sandbox.endpoint },
    });
    const apns = aService(production, { apps: [{ ...app, ca: `${production.ca}\n${sandbox.ca}` }] });
    production.rules.add(parseRule({ do: 'answer', status: 400, reason: 'BadDeviceToken' }));
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted', environment: 'sandbox' });
    const known = await apns.push(aCall({ environment: 'sandbox' }), noSignal);
    expect(known).toMatchObject({ is: 'accepted' });
    expect(known).not.toHaveProperty('environment');
    expect([production.stats().faults, sandbox.pushes().length]).toEqual([1, 2]);
    sandbox.rules.add(parseRule({ do: 'answer', status: 400, reason: 'BadDeviceToken' }));
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'token-suspect' });
    expect([production.stats().faults, sandbox.stats().faults]).toEqual([2, 1]);
  });

  it('never sends a token that is not hexadecimal', async () => {
    const { lab, apns } = await aPair();
    const odd = [
      '',
      'ab',
      aToken().slice(1),
      `${aToken()}/../../x`,
      `${aToken()}\r\nx: y`,
      'g'.repeat(64),
      'a'.repeat(202),
    ];
    for (const token of odd) {
      expect(await apns.push(aCall({ tokens: [{ kind: 'voip', token }] }), noSignal)).toMatchObject({
        is: 'token-dead',
        reason: 'not a device token',
      });
    }
    expect(lab.stats()).toMatchObject({ accepted: 0, refused: {} });
  });

  it('never sends to a VoIP token what is no call', async () => {
    const { lab, apns } = await aPair();
    for (const pushClass of ['cancel', 'message', 'notify', 'refresh'] as const) {
      expect(await apns.push(aCall({ class: pushClass }), noSignal)).toMatchObject({ is: 'not-applicable' });
    }
    expect(lab.stats()).toMatchObject({ accepted: 0, refused: {} });
  });

  it('tells the end of a call by an alert in the place of the one that rang, to apps that have a word for it', async () => {
    const { lab, apns } = await aPair();
    const tokens = [{ kind: 'alert', token: aToken() }] as const;
    const call = aCall({ tokens });
    await apns.push(call, noSignal);
    const end = { ...call, class: 'cancel', reason: 'answered-elsewhere' } as const;
    expect(await apns.push(end, noSignal)).toMatchObject({ is: 'accepted' });
    const [rang, ended] = lab.pushes();
    expect(ended).toMatchObject({ pushType: 'alert', priority: 10, collapseId: rang?.collapseId });
    expect(ended?.payload).toMatchObject({
      aps: { alert: { 'title-loc-key': 'ANSWERED_ELSEWHERE' } },
      type: 'cancel',
      reason: 'answered-elsewhere',
      'call-uuid': rang?.payload['call-uuid'],
    });
    for (const profile of ['linphone', 'pjsip'] as const) {
      const silent = aService(lab, { apps: [anApp(lab, { profile })] });
      expect(await silent.push(end, noSignal)).toMatchObject({ is: 'not-applicable' });
    }
    expect(lab.stats().accepted).toBe(2);
  });
});

describe('withdrawal', () => {
  it('cancels a push that is on its way, and leaves no listener', async () => {
    const { lab, apns } = await aPair({ latencyMs: 10_000 });
    const stop = new AbortController();
    const outcome = apns.push(aCall(), stop.signal);
    await until(() => lab.stats().streamsOpen === 1);
    stop.abort();
    expect(await outcome).toEqual({ is: 'cancelled' });
    await until(() => lab.stats().streamsOpen === 0);
    expect(lab.stats().accepted).toBe(0);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
    expect(apns.load()).toMatchObject({ streams: 0, waiting: 0 });
  });

  it('cancels a push that waits for a stream', async () => {
    const { lab, apns } = await aPair({ latencyMs: 200 });
    const first = apns.push(aCall(), noSignal);
    await until(() => lab.stats().streamsOpen === 1);
    const stop = new AbortController();
    const second = apns.push(aCall(), stop.signal);
    expect(apns.load().waiting).toBe(1);
    stop.abort();
    expect(await second).toEqual({ is: 'cancelled' });
    expect(apns.load().waiting).toBe(0);
    expect(await first).toMatchObject({ is: 'accepted' });
    expect(lab.stats().accepted).toBe(1);
  });

  it('sends nothing for a signal that was given before', async () => {
    const { lab, apns } = await aPair();
    expect(await apns.push(aCall(), AbortSignal.abort())).toEqual({ is: 'cancelled' });
    expect(lab.stats().accepted).toBe(0);
  });

  it('leaves no listener on a signal that outlives many pushes', async () => {
    const { apns } = await aPair();
    const stop = new AbortController();
    for (let n = 0; n < 20; n += 1) await apns.push(aCall(), stop.signal);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  it('answers what waits when it is closed, and lets what is on its way end', async () => {
    const { lab, apns } = await aPair({ latencyMs: 100 });
    const first = apns.push(aCall(), noSignal);
    await until(() => lab.stats().streamsOpen === 1);
    const second = apns.push(aCall(), noSignal);
    await apns.close();
    expect(await first).toMatchObject({ is: 'accepted' });
    expect(await second).toEqual({ is: 'unreachable', reason: 'closing' });
    expect(await apns.push(aCall(), noSignal)).toEqual({ is: 'unreachable', reason: 'closing' });
    await until(() => lab.stats().sessionsOpen === 0);
  });

  it('takes the least urgent out when the queue is full', async () => {
    const { lab, apns } = await aPair({ latencyMs: 100 }, { limits: { queue: 2 } });
    const message = (): Promise<PushOutcome> =>
      apns.push(
        aCall({ class: 'message', param: 'T.org.example.phone', tokens: [{ kind: 'alert', token: aToken() }] }),
        noSignal,
      );
    const first = apns.push(aCall(), noSignal);
    await until(() => lab.stats().streamsOpen === 1);
    const waiting = [message(), message()];
    const call = apns.push(aCall(), noSignal);
    expect(await waiting[1]).toEqual({ is: 'unreachable', reason: 'queue full' });
    expect(await message()).toEqual({ is: 'unreachable', reason: 'queue full' });
    expect(await Promise.all([first, call, waiting[0]])).toMatchObject(Array(3).fill({ is: 'accepted' }));
    expect(lab.pushes().map(({ pushType }) => pushType)).toEqual(['voip', 'voip', 'alert']);
  });
});

describe('provider token', () => {
  it('makes one new token when 32 pushes on their way meet an expired one', async () => {
    const clock = aClock();
    const lab = await aLab({ latencyMs: 30, now: () => clock.now() });
    const apns = aService(lab, {}, clock);
    const call = (): Promise<PushOutcome> =>
      apns.push(aCall({ deadline: clock.now() + 5000, wakeUntil: clock.now() + 15_000 }), noSignal);
    // in the same life of a token, but past the line in its middle, so that another one can be had
    clock.move(2 * gridStep - (clock.now() % (2 * gridStep)) + 60_000);
    await call();
    clock.move(30 * 60_000);
    expect(lab.expireProviderTokens()).toBe(1);
    const outcomes = await Promise.all(Array.from({ length: 32 }, call));
    expect(failures(outcomes)).toEqual([]);
    expect(lab.stats()).toMatchObject({ accepted: 33, providerTokens: 2, refused: { ExpiredProviderToken: 32 } });
  });

  it('raises a clock alarm instead of renewing a young token', async () => {
    const alarms: string[] = [];
    // a time at which a token is young: the lab reckons with it too
    const clock = aClock();
    clock.move(2 * gridStep - (clock.now() % (2 * gridStep)) + 60_000);
    const lab = await aLab({ now: () => clock.now() });
    const apns = aService(lab, {}, clock, { clockAlarm: (keyId) => alarms.push(keyId) });
    const call = (): Promise<PushOutcome> => apns.push(aCall({ deadline: clock.now() + 5000 }), noSignal);
    await call();
    lab.expireProviderTokens();
    expect(await call()).toEqual({ is: 'config-error', reason: 'ExpiredProviderToken' });
    expect(alarms).toEqual([lab.credentials.keyId]);
    expect(lab.stats().providerTokens).toBe(1);
  });

  it('renews by age before APNs would complain', async () => {
    const clock = aClock();
    const lab = await aLab({ now: () => clock.now() });
    const apns = aService(lab, {}, clock);
    for (let hour = 0; hour < 3; hour += 1) {
      expect(await apns.push(aCall({ deadline: clock.now() + 5000 }), noSignal)).toMatchObject({ is: 'accepted' });
      clock.move(60 * 60_000);
    }
    expect(lab.stats()).toMatchObject({ providerTokens: 3, refused: {} });
  });

  it('goes back to the token before when APNs saw too many', async () => {
    const clock = aClock();
    const lab = await aLab({ now: () => clock.now() });
    const apns = aService(lab, {}, clock);
    const call = (): Promise<PushOutcome> => apns.push(aCall({ deadline: clock.now() + 5000 }), noSignal);
    clock.move(2 * gridStep - (clock.now() % (2 * gridStep)) + 60_000);
    await call();
    clock.move(46 * 60_000);
    lab.rules.add(parseRule({ do: 'answer', status: 429, reason: 'TooManyProviderTokenUpdates', times: 1 }));
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(await call()).toMatchObject({ is: 'accepted' });
    expect(lab.stats().providerTokens).toBe(2);
  });
});

describe('connections that end', () => {
  it('loses and doubles no push over five GOAWAYs with 100 on their way', async () => {
    const { lab, apns } = await aPair({ latencyMs: 30 });
    let sent = 0;
    const outcomes = await stream(apns, 3000, 100, (done) => {
      if (done % 500 !== 250 || sent >= 5) return;
      sent += 1;
      lab.goaway('graceful', 'Shutdown');
    });
    expect(sent).toBe(5);
    expect(failures(outcomes)).toEqual([]);
    expect(lab.stats()).toMatchObject({ accepted: 3000, duplicates: 0 });
    expect(lab.stats().sessionsOpened).toBeGreaterThanOrEqual(6);
  });

  it('sends again what a GOAWAY names as unprocessed, and nothing else', async () => {
    const { lab, apns } = await aPair({ latencyMs: 30 });
    let sent = 0;
    const outcomes = await stream(apns, 1500, 100, (done) => {
      if (done % 300 !== 150 || sent >= 5) return;
      sent += 1;
      lab.goaway('low');
    });
    expect(sent).toBe(5);
    expect(failures(outcomes)).toEqual([]);
    expect(lab.stats()).toMatchObject({ accepted: 1500, duplicates: 0 });
  });

  it('loses no push over five dropped connections and an outage of 500 ms', async () => {
    const { lab, apns } = await aPair({ latencyMs: 30 });
    let events = 0;
    let outage: Promise<void> | undefined;
    const outcomes = await stream(apns, 3000, 100, (done) => {
      if (done % 450 !== 200) return;
      events += 1;
      if (events <= 5) lab.drop(events % 2 === 0 ? 'after' : 'before');
      else if (events === 6) outage = lab.outage(500);
    });
    await outage;
    expect(events).toBeGreaterThanOrEqual(6);
    expect(failures(outcomes)).toEqual([]);
    expect(new Set(lab.pushes().map(({ id }) => id)).size).toBe(3000);
  });

  it('abandons a frozen peer when its PING is not acknowledged, with no push waiting', async () => {
    const ended: string[] = [];
    const lab = await aLab({ stallable: true });
    const apns = aService(lab, { timers: { pingMs: 50, pingAckMs: 60 } }, undefined, {
      connection: (_, what, reason) => what === 'closed' && ended.push(reason),
    });
    await apns.push(aCall(), noSignal);
    const frozenAt = Date.now();
    expect(lab.stall()).toBe(1);
    await until(() => ended.length > 0);
    // the interval, the wait, and what a busy machine adds
    expect(Date.now() - frozenAt).toBeLessThan(50 + 60 + 1000);
    expect(ended).toEqual(['PING not acknowledged']);
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.stats().sessionsOpened).toBe(2);
  });

  it('gets a push past a frozen peer as soon as the connection fails to prove that it lives', async () => {
    const lab = await aLab({ stallable: true });
    const apns = aService(lab, {
      timers: { pingMs: 60_000, pingAckMs: 60_000, closeMs: 100, probeMs: 60 },
    });
    await apns.push(aCall(), noSignal);
    lab.stall();
    expect(await apns.push(aCall({ deadline: Date.now() + 2000 }), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.stats()).toMatchObject({ accepted: 2, sessionsOpened: 2 });
  });

  it('keeps a session that is only slow', async () => {
    const { lab, apns } = await aPair({}, { timers: { callAttemptMs: 200, probeMs: 50 } });
    lab.rules.add(parseRule({ do: 'hang', times: 1 }));
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.stats().sessionsOpened).toBeLessThanOrEqual(2);
    expect(lab.stats().sessionsOpen).toBe(lab.stats().sessionsOpened);
  });

  it('is warm again after an outage without being asked', async () => {
    const { lab, apns } = await aPair();
    await apns.push(aCall(), noSignal);
    await lab.outage(100);
    await until(() => lab.stats().sessionsOpen === 1);
    expect(apns.load()).toMatchObject({ sessions: 1, streams: 0, waiting: 0 });
  });
});
