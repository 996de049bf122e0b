/** FCM, Web Push and webhooks over real HTTP and TLS against the lab. What is asserted is counts and outcomes. */
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { type HttpLab, type HttpLabOptions, makeAccountKey, startHttpLab } from '../../apps/push-lab/http-lab.ts';
import { parseRule } from '../../apps/push-lab/rules.ts';
import { type FcmApp, openFcm } from '../../lib/adapters/fcm/fcm-push-service.ts';
import { openWebhooks, type WebhookApp } from '../../lib/adapters/webhook/webhook-push-service.ts';
import {
  openWebPush,
  type WebPushConfig,
  type WebPushService,
} from '../../lib/adapters/webpush/webpush-push-service.ts';
import { callUuid } from '../../lib/core/call-uuid.ts';
import type { PushRequest, PushService } from '../../lib/ports/push-service.ts';
import { aClock } from '../support/hand-moved-day.ts';
import { aCall, noSignal } from '../support/push-request.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

/** To make one takes longer than most of these tests. */
const accountKey = makeAccountKey();

async function aLab(options: HttpLabOptions = {}): Promise<HttpLab> {
  const lab = await startHttpLab({ accountKey, ...options });
  cleanups.push(() => lab.close());
  return lab;
}

const registration = `dQw4w9WgXcQ:${'A1b2_-'.repeat(20)}`;
const fcmCall = (changes: Partial<PushRequest> = {}): PushRequest =>
  aCall({ app: 'android', tokens: [{ kind: 'fcm', token: registration }], ...changes });

interface Fcm {
  readonly lab: HttpLab;
  readonly fcm: PushService;
  readonly troubles: string[];
}

/** `early` is in force before the first access token is asked for. */
async function anFcm(
  options: HttpLabOptions = {},
  changes: Partial<FcmApp> = {},
  clock = aClock(),
  early?: ReturnType<typeof parseRule>,
): Promise<Fcm> {
  const lab = await aLab(options);
  if (early !== undefined) lab.rules.add(early);
  const account = JSON.parse(lab.serviceAccount) as Readonly<Record<string, string>>;
  const troubles: string[] = [];
  const app: FcmApp = {
    name: 'android',
    profile: 'generic',
    privacy: 'full',
    endpoint: lab.endpoint,
    ca: lab.ca,
    account: {
      clientEmail: account['client_email'] ?? '',
      privateKey: account['private_key'] ?? '',
      projectId: account['project_id'] ?? '',
      tokenUri: account['token_uri'] ?? '',
    },
    ...changes,
  };
  const fcm = openFcm([app], clock, { tokenTrouble: (_, reason) => troubles.push(reason) });
  cleanups.push(() => fcm.close());
  return { lab, fcm, troubles };
}

const fault = (service: string, what: Readonly<Record<string, unknown>>): ReturnType<typeof parseRule> =>
  parseRule({ topic: service, ...what });

describe('FCM', () => {
  it('sends a data message of texts, with high priority for a call and the time that is left', async () => {
    const { lab, fcm } = await anFcm();
    expect(await fcm.push(fcmCall({ wakeUntil: Date.now() + 20_000 }), noSignal)).toMatchObject({ is: 'accepted' });
    const [push] = lab.pushes();
    expect(push?.token).toBe(registration);
    // what a busy machine has used up meanwhile is taken off
    const ttl = expect.stringMatching(/^(?:1\d|20)s$/) as unknown;
    expect(push?.content).toMatchObject({ android: { priority: 'HIGH', ttl }, data: { type: 'call' } });
    await fcm.push(fcmCall({ class: 'refresh' }), noSignal);
    expect(lab.pushes()[1]?.content).toMatchObject({ android: { priority: 'NORMAL', collapse_key: 'refresh' } });
  });

  it('tells the end of a call as one with high priority, and nothing to an app that has no word for it', async () => {
    const { lab, fcm } = await anFcm();
    const end = fcmCall({ class: 'cancel', reason: 'caller-cancelled' });
    expect(await fcm.push(end, noSignal)).toMatchObject({ is: 'accepted' });
    const data = { type: 'cancel', reason: 'caller-cancelled', 'call-uuid': callUuid(end.callId) };
    expect(lab.pushes()[0]?.content).toMatchObject({ android: { priority: 'HIGH' }, data });
    const other = await anFcm({}, { profile: 'linphone' });
    expect(await other.fcm.push(end, noSignal)).toMatchObject({ is: 'not-applicable' });
    expect(other.lab.pushes()).toEqual([]);
  });

  it('lets FCM check a message that is delivered to nobody', async () => {
    const { lab, fcm } = await anFcm();
    expect(await fcm.push(fcmCall({ class: 'refresh', dryRun: true }), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.pushes()).toEqual([]);
    lab.rules.add(fault('fcm', { do: 'answer', status: 403, reason: 'PERMISSION_DENIED' }));
    expect(await fcm.push(fcmCall({ class: 'refresh', dryRun: true }), noSignal)).toEqual({
      is: 'config-error',
      reason: 'PERMISSION_DENIED',
    });
  });

  it('gets one access token for many pushes at once', async () => {
    const { lab, fcm } = await anFcm();
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => fcm.push(fcmCall(), noSignal)));
    expect(outcomes.filter(({ is }) => is !== 'accepted')).toEqual([]);
    expect(lab.accessTokens).toBe(1);
    expect(lab.pushes()).toHaveLength(200);
  });

  it.each([
    [404, 'UNREGISTERED', 'token-dead'],
    [403, 'SENDER_ID_MISMATCH', 'token-dead'],
    [400, 'INVALID_ARGUMENT', 'config-error'],
    [403, 'PERMISSION_DENIED', 'config-error'],
    [401, 'THIRD_PARTY_AUTH_ERROR', 'config-error'],
    [429, 'QUOTA_EXCEEDED', 'throttled'],
  ])('takes %d %s for %s, at the first answer', async (status, reason, is) => {
    const { lab, fcm } = await anFcm();
    lab.rules.add(fault('fcm', { do: 'answer', status, reason }));
    expect(await fcm.push(fcmCall(), noSignal)).toMatchObject({ is, reason });
    expect(lab.pushes()).toHaveLength(0);
  });

  it.each([
    ['a 503', { do: 'answer', status: 503, reason: 'UNAVAILABLE' }],
    ['a page of some middlebox', { do: 'answer', status: 502, html: true }],
    ['a cut connection', { do: 'drop' }],
    ['GOAWAY', { do: 'goaway' }],
  ])('gets over %s', async (_, what) => {
    const { lab, fcm } = await anFcm();
    await fcm.push(fcmCall(), noSignal);
    lab.rules.add(fault('fcm', { ...what, times: 1 }));
    expect(await fcm.push(fcmCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(await fcm.push(fcmCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.pushes()).toHaveLength(3);
  });

  it('fetches one new access token when the old one is refused, and no push is lost', async () => {
    const { lab, fcm } = await anFcm();
    await fcm.push(fcmCall(), noSignal);
    lab.expireAccessTokens();
    const outcomes = await Promise.all(Array.from({ length: 32 }, () => fcm.push(fcmCall(), noSignal)));
    expect(outcomes.filter(({ is }) => is !== 'accepted')).toEqual([]);
    expect(lab.accessTokens).toBe(2);
  });

  it('keeps using a good token while the token endpoint is out, and says so when there is none', async () => {
    const clock = aClock();
    const { lab, fcm } = await anFcm({}, {}, clock);
    await fcm.push(fcmCall(), noSignal);
    lab.rules.add(fault('fcm-token', { do: 'answer', status: 503 }));
    clock.move(50 * 60_000); // past the time of the refresh, before the end
    for (let count = 0; count < 20; count++)
      expect(await fcm.push(fcmCall({ deadline: clock.now() + 5000 }), noSignal), `push ${count}`).toMatchObject({
        is: 'accepted',
      });
    clock.move(11 * 60_000);
    expect(await fcm.push(fcmCall({ deadline: clock.now() + 5000 }), noSignal)).toMatchObject({
      is: 'unreachable',
      reason: 'token endpoint answered 503',
    });
    lab.rules.clear();
    clock.move(61_000);
    expect(await fcm.push(fcmCall({ deadline: clock.now() + 5000 }), noSignal)).toMatchObject({ is: 'accepted' });
  });

  it('waits for its first access token while the endpoint is out, and at most until its deadline', async () => {
    const out = fault('fcm-token', { do: 'answer', status: 503, times: 3 });
    const { fcm, troubles } = await anFcm({}, {}, aClock(), out);
    const outcomes = await Promise.all([
      fcm.push(fcmCall({ deadline: Date.now() + 8000 }), noSignal),
      fcm.push(fcmCall({ deadline: Date.now() + 500 }), noSignal),
    ]);
    expect(outcomes).toMatchObject([{ is: 'accepted' }, { is: 'unreachable', reason: 'token endpoint answered 503' }]);
    // each says it once, however often it asks
    expect(troubles.length).toBeLessThanOrEqual(3);
  });

  it('does not wait for a token endpoint that refuses the account', async () => {
    const { lab, fcm } = await anFcm({}, {}, aClock(), fault('fcm-token', { do: 'answer', status: 400 }));
    const outcome = await fcm.push(fcmCall({ deadline: Date.now() + 600_000 }), noSignal);
    expect(outcome).toEqual({ is: 'unreachable', reason: 'token endpoint answered 400' });
    expect(lab.pushes()).toEqual([]);
  });

  it('ends by the deadline when the token endpoint or the service hangs, and at once when it is taken back', async () => {
    const { lab, fcm } = await anFcm();
    lab.rules.add(fault('fcm', { do: 'hang' }));
    expect(await fcm.push(fcmCall({ deadline: Date.now() + 600 }), noSignal)).toMatchObject({ is: 'unreachable' });
    const stop = new AbortController();
    const pending = fcm.push(fcmCall(), stop.signal);
    stop.abort();
    expect(await pending).toEqual({ is: 'cancelled' });
    const other = await anFcm();
    other.lab.rules.add(fault('fcm-token', { do: 'hang' }));
    expect(await other.fcm.push(fcmCall({ deadline: Date.now() + 300 }), noSignal)).toMatchObject({
      is: 'unreachable',
    });
  });

  it('shows no more of the caller than privacy allows, and writes what Linphone reads', async () => {
    const { lab, fcm } = await anFcm({}, { profile: 'linphone', privacy: 'none' });
    await fcm.push(fcmCall({ callId: 'abc@pbx' }), noSignal);
    const { data } = (lab.pushes()[0]?.content ?? {}) as { readonly data?: Record<string, string> };
    expect(data).toMatchObject({ 'call-id': 'abc@pbx', 'loc-key': 'IC_MSG' });
    expect(JSON.stringify(data)).not.toMatch(/sip:|Bob/);
  });
});

function aVapidKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

async function aBrowser(
  changes: Partial<WebPushConfig> = {},
): Promise<{ readonly lab: HttpLab; readonly webpush: WebPushService; readonly call: (url?: string) => PushRequest }> {
  const lab = await aLab();
  const webpush = openWebPush(
    {
      privateKey: aVapidKey(),
      subject: 'mailto:ops@example.com',
      allowHosts: ['127.0.0.1'],
      allowPorts: [Number(new URL(lab.endpoint).port)],
      allowPrivate: true,
      ca: lab.ca,
      ...changes,
    },
    aClock(),
  );
  cleanups.push(() => webpush.close());
  const call = (url = lab.subscription()): PushRequest =>
    aCall({ app: 'webpush', param: undefined, tokens: [{ kind: 'webpush', token: url }] });
  return { lab, webpush, call };
}

describe('Web Push', () => {
  it('[PN-WP-03] posts nothing, with TTL, urgency, topic and a VAPID token of the announced key', async () => {
    const { lab, webpush, call } = await aBrowser();
    expect(webpush.publicKey).toMatch(/^B[A-Za-z0-9_-]{86}$/);
    const url = lab.subscription();
    expect(await webpush.push(call(url), noSignal)).toMatchObject({ is: 'accepted' });
    const [push] = lab.pushes();
    expect(url.endsWith(push?.token ?? 'none')).toBe(true);
    expect(push?.headers).toMatchObject({ urgency: 'high', 'content-length': '0' });
    expect(push?.headers['authorization']).toContain(`k=${webpush.publicKey}`);
  });

  it.each([
    [404, 'token-dead'],
    [410, 'token-dead'],
    [429, 'throttled'],
    [401, 'config-error'],
    [413, 'config-error'],
  ])('takes %d for %s', async (status, is) => {
    const { lab, webpush, call } = await aBrowser();
    lab.rules.add(fault('webpush', { do: 'answer', status }));
    expect(await webpush.push(call(), noSignal)).toMatchObject({ is });
  });

  it('tries again after a 500 and a cut connection, and gives up at the deadline', async () => {
    const { lab, webpush, call } = await aBrowser();
    lab.rules.add(fault('webpush', { do: 'answer', status: 500, times: 1 }));
    lab.rules.add(fault('webpush', { do: 'drop', times: 1 }));
    expect(await webpush.push(call(), noSignal)).toMatchObject({ is: 'accepted' });
    lab.rules.add(fault('webpush', { do: 'hang' }));
    expect(await webpush.push({ ...call(), deadline: Date.now() + 400 }, noSignal)).toMatchObject({
      is: 'unreachable',
    });
  });

  it('writes what a phone with keys is told for it alone, as much as is configured, and nothing to one without', async () => {
    const { lab, webpush, call } = await aBrowser({ payload: 'generic', privacy: 'name' });
    const hints = { keys: lab.subscriptionKeys };
    expect(await webpush.push({ ...call(), hints }, noSignal)).toMatchObject({ is: 'accepted' });
    expect(await webpush.push(call(), noSignal)).toMatchObject({ is: 'accepted' });
    const [told, empty] = lab.pushes();
    expect(told?.content).toMatchObject({ type: 'call', 'display-name': 'Bob' });
    expect(told?.content).not.toHaveProperty('from-uri');
    expect(told?.headers).toMatchObject({ 'content-encoding': 'aes128gcm' });
    expect(empty?.content).toEqual({});
    const other = await aBrowser({ payload: 'opaque' });
    await other.webpush.push({ ...other.call(), hints: { keys: other.lab.subscriptionKeys } }, noSignal);
    expect(Object.keys(other.lab.pushes()[0]?.content ?? {}).toSorted()).toEqual([
      'call-uuid',
      'expires-at',
      'sent-at',
      'type',
      'v',
    ]);
    const off = await aBrowser();
    await off.webpush.push({ ...off.call(), hints: { keys: off.lab.subscriptionKeys } }, noSignal);
    expect(off.lab.pushes()[0]?.content).toEqual({});
  });

  it('pushes an app of UnifiedPush for a refresh and the end of a call too: it need not show anything', async () => {
    const { lab, webpush, call } = await aBrowser({ mayBeSilent: true });
    for (const pushClass of ['refresh', 'cancel'] as const)
      expect(await webpush.push({ ...call(), class: pushClass }, noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.pushes().map(({ headers }) => headers['urgency'])).toEqual(['low', 'high']);
  });

  it('never asks a browser to refresh: it would have to show something', async () => {
    const { webpush, call } = await aBrowser();
    for (const pushClass of ['refresh', 'cancel'] as const)
      expect(await webpush.push({ ...call(), class: pushClass }, noSignal)).toMatchObject({ is: 'not-applicable' });
  });

  it('finds nothing wrong with its own signature, and does with a subject nobody can write to', async () => {
    const { webpush } = await aBrowser();
    expect(webpush.selfCheck()).toBeUndefined();
    const { webpush: other } = await aBrowser({ subject: 'mailto:root@localhost' });
    expect(other.selfCheck()).toMatch(/subject/);
  });

  it('[PN-SEC-10] sends nothing to where it is not allowed, whatever the phone names', async () => {
    const { lab, webpush, call } = await aBrowser({ allowPrivate: false, allowHosts: ['localhost', '127.0.0.1'] });
    const { port } = new URL(lab.endpoint);
    for (const url of [
      lab.subscription(),
      `https://localhost:${port}/wp/x`,
      `http://localhost:${port}/wp/x`,
      `https://user:pass@localhost:${port}/wp/x`,
      'https://169.254.169.254/latest/meta-data',
      `https://[::ffff:127.0.0.1]:${port}/wp/x`,
      `https://0x7f.1:${port}/wp/x`,
      'https://push.example.org/x',
    ])
      expect(await webpush.push(call(url), noSignal), url).not.toMatchObject({ is: 'accepted' });
    expect(lab.pushes()).toHaveLength(0);
  });
});

describe('webhook', () => {
  async function aHook(changes: Partial<WebhookApp> = {}) {
    const lab = await aLab();
    const app = { name: 'acme', provider: 'acme', url: `${lab.endpoint}/hook`, secret: lab.webhookSecret };
    const hooks = openWebhooks([{ ...app, privacy: 'full', ca: lab.ca, ...changes }], aClock());
    cleanups.push(() => hooks.close());
    const call = (): PushRequest =>
      aCall({ app: 'acme', param: 'tenant-7', tokens: [{ kind: 'webhook', token: 'device-7' }] });
    return { lab, hooks, call };
  }

  it('pings with no phone in it, and hears that the secret is another one', async () => {
    const { lab, hooks } = await aHook();
    expect(await hooks.ping('acme', Date.now() + 5000, noSignal)).toMatchObject({ is: 'accepted' });
    expect(lab.pushes()).toEqual([]);
    const wrong = await aHook({ secret: 'another secret, long enough' });
    expect(await wrong.hooks.ping('acme', Date.now() + 5000, noSignal)).toEqual({
      is: 'config-error',
      reason: 'status 401',
    });
  });

  it('posts what the operator wrote instead, and nothing for a class without', async () => {
    const template = { call: { device: '{token}', push: '{id}', who: '{from-name}', to: { user: '{to-user}' } } };
    const { lab, hooks, call } = await aHook({ template, privacy: 'name' });
    // the stand-in wants our own form; what was sent is what it refuses
    expect(await hooks.push(call(), noSignal)).toMatchObject({ is: 'config-error', reason: 'status 400' });
    expect(await hooks.push({ ...call(), class: 'message' }, noSignal)).toMatchObject({ is: 'not-applicable' });
    expect(lab.pushes()).toEqual([]);
  });

  it('posts the request as JSON, signed, and again with the same id after a failure', async () => {
    const { lab, hooks, call } = await aHook();
    lab.rules.add(fault('webhook', { do: 'answer', status: 503, times: 1 }));
    lab.rules.add(fault('webhook', { do: 'drop', when: 'after', times: 1 }));
    expect(await hooks.push(call(), noSignal)).toMatchObject({ is: 'accepted' });
    const pushes = lab.pushes();
    expect(pushes).toHaveLength(2);
    expect(new Set(pushes.map(({ content }) => content['id'])).size).toBe(1);
    expect(pushes[0]?.content).toMatchObject({ token: 'device-7', param: 'tenant-7', provider: 'acme', type: 'call' });
  });

  it.each([
    [410, 'token-dead'],
    [429, 'throttled'],
    [403, 'config-error'],
  ])('takes %d for %s', async (status, is) => {
    const { lab, hooks, call } = await aHook();
    lab.rules.add(fault('webhook', { do: 'answer', status }));
    expect(await hooks.push(call(), noSignal)).toMatchObject({ is });
  });
});
