// The APNs stand-in itself, by a bare HTTP/2 client, its control API, and its command line.
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:http2';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { type ApnsLab, makeLabCredentials, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { startControl } from '../../apps/push-lab/control.ts';
import { openApns } from '../../lib/adapters/apns/apns-push-service.ts';
import { signProviderToken } from '../../lib/adapters/apns/provider-token.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import { openWebhooks } from '../../lib/adapters/webhook/webhook-push-service.ts';
import { compiled } from '../support/compiled.ts';
import { aCall, anApp, aToken, noSignal } from '../support/push-request.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

async function aLab(options: Parameters<typeof startApnsLab>[0] = {}): Promise<ApnsLab> {
  const lab = await startApnsLab(options);
  cleanups.push(() => lab.close());
  return lab;
}

type Credentials = ApnsLab['credentials'];

function jwt({ privateKey, teamId, keyId }: Credentials, signedAt = Date.now()): string {
  return `bearer ${signProviderToken(createPrivateKey(privateKey), teamId, keyId, signedAt)}`;
}

interface Asked {
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

/** One request on a connection of its own; a header given as undefined is left out. */
async function ask(lab: ApnsLab, { headers = {}, body = '{"aps":{}}' }: Asked): Promise<string> {
  const session = connect(lab.endpoint, { ca: lab.ca });
  const all: Record<string, string | undefined> = {
    ':method': 'POST',
    ':path': `/3/device/${aToken()}`,
    authorization: jwt(lab.credentials),
    'apns-id': randomUUID(),
    'apns-topic': 'org.example.phone.voip',
    'apns-push-type': 'voip',
    'apns-priority': '10',
    'apns-expiration': '0',
    ...headers,
  };
  const stream = session.request(Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)), {
    endStream: false,
  });
  const closed = once(stream, 'close');
  stream.end(body);
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [response] = (await once(stream, 'response')) as [{ ':status'?: number }];
  await closed;
  session.close();
  return `${response[':status']}${text === '' ? '' : ` ${(JSON.parse(text) as { reason: string }).reason}`}`;
}

describe('push lab: what it refuses', () => {
  const other = makeLabCredentials();
  const alert = { 'apns-topic': 'org.example.phone', 'apns-push-type': 'alert' };
  const background = { 'apns-topic': 'org.example.phone', 'apns-push-type': 'background', 'apns-priority': '5' };
  const wake = '{"aps":{"content-available":1}}';
  const cases: readonly (readonly [string, (lab: ApnsLab) => Asked, string])[] = [
    ['nothing that is right', () => ({}), '200'],
    ['GET', () => ({ headers: { ':method': 'GET' } }), '405 MethodNotAllowed'],
    ['another path', () => ({ headers: { ':path': '/device/x' } }), '404 BadPath'],
    ['no token', () => ({ headers: { ':path': '/3/device/' } }), '400 MissingDeviceToken'],
    ['a short token', () => ({ headers: { ':path': '/3/device/abcd' } }), '400 BadDeviceToken'],
    ['no provider token', () => ({ headers: { authorization: undefined } }), '403 MissingProviderToken'],
    [
      'nonsense for a provider token',
      () => ({ headers: { authorization: 'bearer a.b.c' } }),
      '403 InvalidProviderToken',
    ],
    ['an unknown key', () => ({ headers: { authorization: jwt(other) } }), '403 InvalidProviderToken'],
    [
      'another key under a known id',
      (lab) => ({ headers: { authorization: jwt({ ...other, keyId: lab.credentials.keyId }) } }),
      '403 InvalidProviderToken',
    ],
    [
      'another team',
      (lab) => ({ headers: { authorization: jwt({ ...lab.credentials, teamId: 'OTHER' }) } }),
      '403 InvalidProviderToken',
    ],
    [
      'an old provider token',
      (lab) => ({ headers: { authorization: jwt(lab.credentials, Date.now() - 3_700_000) } }),
      '403 ExpiredProviderToken',
    ],
    [
      'a provider token from the future',
      (lab) => ({ headers: { authorization: jwt(lab.credentials, Date.now() + 3_600_000) } }),
      '403 InvalidProviderToken',
    ],
    ['no apns-id', () => ({ headers: { 'apns-id': undefined } }), '400 BadMessageId'],
    ['no topic', () => ({ headers: { 'apns-topic': undefined } }), '400 MissingTopic'],
    ['a topic that is not allowed', () => ({ headers: { 'apns-topic': 'org.other.voip' } }), '400 TopicDisallowed'],
    ['no push type', () => ({ headers: { 'apns-push-type': undefined } }), '400 InvalidPushType'],
    [
      'voip for an ordinary topic',
      () => ({ headers: { 'apns-topic': 'org.example.phone' } }),
      '400 DeviceTokenNotForTopic',
    ],
    ['alert for a VoIP topic', () => ({ headers: { 'apns-push-type': 'alert' } }), '400 DeviceTokenNotForTopic'],
    ['no expiration', () => ({ headers: { 'apns-expiration': undefined } }), '400 BadExpirationDate'],
    ['a strange priority', () => ({ headers: { 'apns-priority': '7' } }), '400 BadPriority'],
    [
      'an urgent background push',
      () => ({ headers: { ...background, 'apns-priority': '10' }, body: wake }),
      '400 BadPriority',
    ],
    ['a good background push: not', () => ({ headers: background, body: wake }), '200'],
    [
      'a background push that shows something',
      () => ({ headers: background, body: '{"aps":{"content-available":1,"alert":"x"}}' }),
      '400 InvalidPushType',
    ],
    ['an alert without one', () => ({ headers: alert }), '400 InvalidPushType'],
    ['a long collapse id', () => ({ headers: { 'apns-collapse-id': 'x'.repeat(65) } }), '400 BadCollapseId'],
    ['no payload', () => ({ body: '' }), '400 PayloadEmpty'],
    ['a payload that is no JSON', () => ({ body: '{' }), '400 InvalidPayload'],
    ['a payload without aps', () => ({ body: '{}' }), '400 InvalidPayload'],
    ['a large payload', () => ({ body: `{"aps":{},"x":"${'x'.repeat(5200)}"}` }), '413 PayloadTooLarge'],
  ];
  it.each(cases)('%s', async (_, asked, answer) => {
    const lab = await aLab({ topics: ['org.example.phone', 'org.example.phone.voip'] });
    expect(await ask(lab, asked(lab))).toBe(answer);
    expect(lab.stats().accepted).toBe(answer === '200' ? 1 : 0);
  });

  it('allows one stream until the first accepted push', async () => {
    const lab = await aLab({ streamLimit: 77 });
    const session = connect(lab.endpoint, { ca: lab.ca });
    const [first] = (await once(session, 'remoteSettings')) as [{ maxConcurrentStreams: number }];
    expect(first.maxConcurrentStreams).toBe(1);
    const raised = once(session, 'remoteSettings') as Promise<[{ maxConcurrentStreams: number }]>;
    session
      .request({
        ':method': 'POST',
        ':path': `/3/device/${aToken()}`,
        authorization: jwt(lab.credentials),
        'apns-id': randomUUID(),
        'apns-topic': 'a.voip',
        'apns-push-type': 'voip',
        'apns-priority': '10',
        'apns-expiration': '0',
      })
      .end('{"aps":{}}');
    expect((await raised)[0].maxConcurrentStreams).toBe(77);
    session.destroy();
  });
});

describe('push lab: control API', () => {
  async function aPair() {
    const lab = await aLab({ stallable: true });
    const control = await startControl(lab, '127.0.0.1', 0);
    cleanups.push(() => control.close());
    const apns = openApns({ apps: [anApp(lab)] });
    cleanups.push(() => apns.close());
    const url = `http://127.0.0.1:${control.port}`;
    const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
      const response = await fetch(url + path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.json() };
    };
    return { lab, apns, url, call };
  }

  it('shows, counts and forgets pushes', async () => {
    const { apns, call } = await aPair();
    const asked = aCall();
    await apns.push(asked, noSignal);
    expect(await call('GET', '/pushes')).toMatchObject({ status: 200, body: [{ token: asked.tokens[0]?.token }] });
    expect(await call('GET', '/stats')).toMatchObject({ body: { accepted: 1, sessionsOpen: 1 } });
    await call('DELETE', '/pushes');
    expect((await call('GET', '/pushes')).body).toEqual([]);
  });

  it('tells of pushes as they arrive', async () => {
    const { apns, url } = await aPair();
    const stop = new AbortController();
    const response = await fetch(`${url}/events`, { signal: stop.signal });
    const asked = aCall();
    await apns.push(asked, noSignal);
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    expect(JSON.parse(Buffer.from(value ?? []).toString())).toMatchObject({ token: asked.tokens[0]?.token });
    stop.abort();
  });

  it('takes rules and faults', async () => {
    const { apns, call, lab } = await aPair();
    expect(await call('POST', '/rules', { do: 'answer', status: 410, reason: 'Unregistered' })).toMatchObject({
      body: { rules: 1 },
    });
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'token-dead' });
    expect((await call('GET', '/rules')).body).toHaveLength(1);
    await call('DELETE', '/rules');
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect((await call('POST', '/goaway', { mode: 'graceful' })).body).toEqual({ sessions: 1 });
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect((await call('POST', '/drop')).status).toBe(200);
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect((await call('POST', '/stream-limit', { limit: 9 })).status).toBe(200);
    expect((await call('POST', '/expire-tokens')).body).toEqual({ providerTokens: 1 });
    expect((await call('POST', '/stall')).status).toBe(200);
    expect(lab.stats().accepted).toBe(3);
  });

  it('says what is wrong with a request', async () => {
    const { call, url } = await aPair();
    expect(await call('POST', '/rules', { do: 'explode' })).toMatchObject({ status: 400 });
    expect(await call('POST', '/goaway', { mode: 'rude' })).toMatchObject({ status: 400 });
    expect(await call('GET', '/nowhere')).toMatchObject({ status: 404, body: { error: 'no such route' } });
    expect((await fetch(`${url}/rules`, { method: 'POST', body: '{' })).status).toBe(400);
  });
});

describe('push lab: command line', () => {
  it('says where it is, serves, and ends on SIGTERM', async () => {
    const main = compiled('apps/push-lab/main.ts');
    cleanups.push(async () => main.remove());
    const ports = ['--apns-port', '0', '--http-port', '0', '--control-port', '0'];
    const child: ChildProcess = spawn(process.execPath, [main.path, ...ports], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    if (child.stdout === null) throw new Error('no output');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const at = JSON.parse(line) as Record<'endpoint' | 'teamId' | 'keyId' | 'key' | 'ca' | 'control', string> & {
      readonly http: Record<'endpoint' | 'ca' | 'serviceAccount' | 'webhook' | 'webhookSecret', string>;
    };
    const apns = openApns({
      apps: [
        {
          name: 'phone',
          teamId: at.teamId,
          keyId: at.keyId,
          privateKey: readFileSync(at.key, 'utf8'),
          endpoint: { production: at.endpoint },
          ca: readFileSync(at.ca, 'utf8'),
          profile: 'generic',
          privacy: 'none',
          callExpiration: 0,
        },
      ],
    });
    expect(await apns.push(aCall(), noSignal)).toMatchObject({ is: 'accepted' });
    expect(statSync(at.key).mode & 0o077).toBe(0);
    await apns.close();
    const { http } = at;
    const hook = { name: 'acme', provider: 'acme', url: http.webhook, secret: http.webhookSecret };
    const hooks = openWebhooks([{ ...hook, privacy: 'none', ca: readFileSync(http.ca, 'utf8') }], systemClock);
    const viaHook = { ...aCall(), app: 'acme', tokens: [{ kind: 'webhook' as const, token: 'device-1' }] };
    expect(await hooks.push(viaHook, noSignal)).toMatchObject({ is: 'accepted' });
    expect(await (await fetch(`${at.control}/http/pushes`)).json()).toMatchObject([{ service: 'webhook' }]);
    const rule = JSON.stringify({ topic: 'webhook', do: 'answer', status: 410 });
    expect((await fetch(`${at.control}/http/rules`, { method: 'POST', body: rule })).status).toBe(200);
    expect(await hooks.push(viaHook, noSignal)).toMatchObject({ is: 'token-dead' });
    await hooks.close();
    expect(statSync(http.serviceAccount).mode & 0o077).toBe(0);
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});
