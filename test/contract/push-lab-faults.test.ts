/** Each fault of the push lab as a bare HTTP/2 client meets it, and what the lab has taken over by then. APNs and the other services alike. */
import { createHmac, createPrivateKey, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { Sighting } from '../../apps/push-lab/activity.ts';
import { startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { startControl } from '../../apps/push-lab/control.ts';
import { httpRoutes } from '../../apps/push-lab/http-control.ts';
import { type HttpLab, makeAccountKey, startHttpLab } from '../../apps/push-lab/http-lab.ts';
import { parseRule } from '../../apps/push-lab/rules.ts';
import { scriptRoutes } from '../../apps/push-lab/script-routes.ts';
import { signProviderToken } from '../../lib/adapters/apns/provider-token.ts';
import { aSigningKey } from '../support/a-key.ts';
import { aToken } from '../support/push-request.ts';

/** made once: RSA keys take their time */
const accountKey = makeAccountKey();
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of cleanups.splice(0).reverse()) await close();
});

type Headers = Readonly<Record<string, string | undefined>>;

interface Answer {
  /** undefined: the stream ended without an answer */
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: string;
  readonly rstCode: number | undefined;
  readonly ms: number;
}

/** A session of its own, destroyed at the end. */
function open(lab: { readonly endpoint: string; readonly ca: string }): ClientHttp2Session {
  const session = connect(lab.endpoint, { ca: lab.ca });
  session.on('error', () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

/** One POST; headers that are undefined are left out. Resolves when the stream is closed. */
async function post(session: ClientHttp2Session, path: string, headers: Headers, body: string): Promise<Answer> {
  const from = performance.now();
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  const stream = session.request({ ':method': 'POST', ':path': path, ...given });
  let answer: Answer['headers'] = {};
  let text = '';
  stream.on('response', (fields) => {
    answer = fields;
  });
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  stream.on('error', () => undefined).end(body);
  await new Promise((done) => stream.once('close', done));
  return {
    status: answer[':status'],
    headers: answer,
    body: text,
    rstCode: stream.rstCode,
    ms: performance.now() - from,
  };
}

/** The same words for both stand-ins: how one good request is made, how many were taken over, and how they are told to fail. */
interface Peer {
  readonly endpoint: string;
  readonly ca: string;
  readonly seen: readonly Sighting[];
  good(session: ClientHttp2Session): Promise<Answer>;
  taken(): number;
  rule(fault: Readonly<Record<string, unknown>>): void;
  stall(): number;
  goaway(): number;
  slowTls(ms: number): void;
  outage(ms: number): Promise<void>;
}

async function anApns(): Promise<Peer> {
  const seen: Sighting[] = [];
  const lab = await startApnsLab({ stallable: true, onSeen: (one) => seen.push(one) });
  cleanups.push(() => lab.close());
  const { privateKey, teamId, keyId } = lab.credentials;
  return {
    ...{ endpoint: lab.endpoint, ca: lab.ca, seen },
    good: (session) =>
      post(
        session,
        `/3/device/${aToken()}`,
        {
          authorization: `bearer ${signProviderToken(createPrivateKey(privateKey), teamId, keyId, Date.now())}`,
          'apns-id': randomUUID(),
          'apns-topic': 'org.example.phone.voip',
          'apns-push-type': 'voip',
          'apns-priority': '10',
          'apns-expiration': '0',
        },
        '{"aps":{}}',
      ),
    taken: () => lab.pushes().length,
    rule: (fault) => lab.rules.add(parseRule(fault)),
    stall: () => lab.stall(),
    goaway: () => lab.goaway('graceful'),
    slowTls: (ms) => lab.slowTls(ms),
    outage: (ms) => lab.outage(ms),
  };
}

const hookBody = (id: string): string => JSON.stringify({ id, type: 'call', token: 'device-1' });

function signed(lab: HttpLab, body: string, id: string, at = Date.now()): Headers {
  const timestamp = String(Math.floor(at / 1000));
  const mac = createHmac('sha256', lab.webhookSecret).update(`${timestamp}.${body}`).digest('hex');
  return { 'reveille-timestamp': timestamp, 'reveille-signature': `v1=${mac}`, 'reveille-push-id': id };
}

async function aWebhook(): Promise<Peer> {
  const seen: Sighting[] = [];
  const lab = await startHttpLab({ accountKey, stallable: true, onSeen: (one) => seen.push(one) });
  cleanups.push(() => lab.close());
  return {
    ...{ endpoint: lab.endpoint, ca: lab.ca, seen },
    good: (session) => {
      const id = randomUUID();
      return post(session, '/hook', signed(lab, hookBody(id), id), hookBody(id));
    },
    taken: () => lab.pushes().length,
    rule: (fault) => lab.rules.add(parseRule({ topic: 'webhook', ...fault })),
    stall: () => lab.stall(),
    goaway: () => lab.goaway('graceful'),
    slowTls: (ms) => lab.slowTls(ms),
    outage: (ms) => lab.outage(ms),
  };
}

/** Whether a PING is answered within this time. */
function pinged(session: ClientHttp2Session, withinMs: number): Promise<boolean> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(false), withinMs);
    session.ping((error) => {
      clearTimeout(timer);
      done(error === null);
    });
  });
}

describe.each([
  ['APNs', anApns],
  ['webhook', aWebhook],
] as const)('faults of the push lab: %s', (_, aPeer) => {
  it('answer: status, reason, Retry-After, and for so many', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'answer', status: 503, reason: 'ServiceUnavailable', retryAfter: 7, times: 1 });
    const session = open(peer);
    const refused = await peer.good(session);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '7']);
    expect(refused.body).toContain('ServiceUnavailable');
    expect(peer.taken()).toBe(0);
    expect((await peer.good(session)).status).toBe(200);
    expect(peer.seen.map(({ outcome, status }) => [outcome, status])).toEqual([
      ['fault', 503],
      ['accepted', 200],
    ]);
  });

  it('answer with html: 502 with a page, as proxies do', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'answer', status: 502, html: true });
    const answer = await peer.good(open(peer));
    expect([answer.status, answer.headers['content-type']]).toEqual([502, 'text/html']);
    expect(answer.body).toMatch(/^<html>/);
  });

  it('answer with delay, and delay: not before its time', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'answer', status: 500, delay: 150, times: 1 });
    peer.rule({ do: 'delay', ms: 150, times: 1 });
    const session = open(peer);
    const late = await peer.good(session);
    expect(late.status).toBe(500);
    expect(late.ms).toBeGreaterThan(140);
    const good = await peer.good(session);
    expect(good.status).toBe(200);
    expect(good.ms).toBeGreaterThan(140);
    expect(peer.taken()).toBe(1);
  });

  it('duplicate: taken over twice, answered once', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'duplicate', times: 1 });
    expect((await peer.good(open(peer))).status).toBe(200);
    expect(peer.taken()).toBe(2);
  });

  it('reset: the stream ends with its code, the connection lives', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'reset', code: 'REFUSED_STREAM', times: 1 });
    const session = open(peer);
    expect(await peer.good(session)).toMatchObject({ status: undefined, rstCode: 7 });
    expect(peer.taken()).toBe(0);
    expect((await peer.good(session)).status).toBe(200);
  });

  it('drop: before and after it was taken over', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'drop', when: 'before', times: 1 });
    peer.rule({ do: 'drop', when: 'after', times: 1 });
    const first = open(peer);
    expect((await peer.good(first)).status).toBeUndefined();
    expect(peer.taken()).toBe(0);
    expect((await peer.good(open(peer))).status).toBeUndefined();
    expect(peer.taken()).toBe(1);
    // the whole connection, not the one stream
    expect(first.destroyed).toBe(true);
  });

  it('goaway: the answer comes, and the connection goes', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'goaway', mode: 'graceful', times: 1 });
    const session = open(peer);
    const gone = once(session, 'goaway');
    expect((await peer.good(session)).status).toBe(200);
    expect((await gone)[0]).toBe(0);
    const second = open(peer);
    await peer.good(second);
    const told = once(second, 'goaway');
    expect(peer.goaway()).toBeGreaterThanOrEqual(1);
    await told;
  });

  it('hang: no answer, but PING is answered; stall: nothing at all, and the next connection is well', async () => {
    const peer = await aPeer();
    peer.rule({ do: 'hang', times: 1 });
    peer.rule({ do: 'stall', times: 1 });
    const hanging = open(peer);
    await once(hanging, 'connect');
    void peer.good(hanging);
    expect(await pinged(hanging, 5000)).toBe(true);
    const stalled = open(peer);
    await once(stalled, 'connect');
    void peer.good(stalled);
    while (peer.seen.length < 2) await new Promise((done) => setTimeout(done, 10));
    expect(await pinged(stalled, 300)).toBe(false);
    expect(peer.taken()).toBe(0);
    const well = open(peer);
    expect((await peer.good(well)).status).toBe(200);
    expect(peer.stall()).toBeGreaterThanOrEqual(1);
    expect(await pinged(well, 300)).toBe(false);
  });

  it('slow TLS: TCP at once, the handshake not before its time', async () => {
    const peer = await aPeer();
    const shaken = async (): Promise<number> => {
      const { hostname, port } = new URL(peer.endpoint);
      const from = performance.now();
      const socket = connectTls({ host: hostname, port: Number(port), ca: peer.ca, ALPNProtocols: ['h2'] });
      socket.on('error', () => undefined);
      cleanups.push(() => socket.destroy());
      await once(socket, 'secureConnect');
      return performance.now() - from;
    };
    peer.slowTls(400);
    expect(await shaken()).toBeGreaterThan(390);
    expect((await peer.good(open(peer))).status).toBe(200);
    peer.slowTls(0);
    expect(await shaken()).toBeLessThan(390);
  });

  it('outage: connections are cut and refused, and it comes back at the same place with what it knew', async () => {
    const peer = await aPeer();
    const before = open(peer);
    await peer.good(before);
    const cut = new Promise((done) => before.once('close', done));
    const over = peer.outage(200);
    await cut;
    const refused = connect(peer.endpoint, { ca: peer.ca });
    expect((await once(refused, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
    await over;
    expect((await peer.good(open(peer))).status).toBe(200);
    expect(peer.taken()).toBe(2);
  });
});

describe('push lab: what the HTTP services refuse, and why', () => {
  async function aLab(): Promise<{
    readonly lab: HttpLab;
    readonly session: ClientHttp2Session;
    readonly seen: Sighting[];
  }> {
    const seen: Sighting[] = [];
    const lab = await startHttpLab({ accountKey, onSeen: (one) => seen.push(one) });
    cleanups.push(() => lab.close());
    return { lab, session: open(lab), seen };
  }

  const jwt = (alg: string, key: string, claims: object): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
    const how = alg === 'ES256' ? ({ key, dsaEncoding: 'ieee-p1363' } as const) : key;
    return `${text}.${sign('sha256', Buffer.from(text), how).toString('base64url')}`;
  };
  const now = (): number => Math.floor(Date.now() / 1000);

  function grant(lab: HttpLab, changes: object = {}, key?: string): string {
    const account = JSON.parse(lab.serviceAccount) as Readonly<Record<string, string>>;
    const claims = {
      iss: account['client_email'],
      aud: account['token_uri'],
      scope: 'https://www.googleapis.com/auth/firebase.messaging',
      iat: now(),
      exp: now() + 3600,
      ...changes,
    };
    const assertion = jwt('RS256', key ?? account['private_key'] ?? '', claims);
    return new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }).toString();
  }

  it.each([
    ['no grant', () => 'a=b', 'unsupported_grant_type'],
    ['another key', (lab: HttpLab) => grant(lab, {}, makeAccountKey()), 'assertion: expected'],
    ['another issuer', (lab: HttpLab) => grant(lab, { iss: 'x' }), 'iss: expected'],
    ['another audience', (lab: HttpLab) => grant(lab, { aud: 'https://x' }), 'aud: expected'],
    ['another scope', (lab: HttpLab) => grant(lab, { scope: 'mail' }), 'scope: expected'],
    ['made in the future', (lab: HttpLab) => grant(lab, { iat: now() + 1000 }), 'iat: expected'],
    ['ended', (lab: HttpLab) => grant(lab, { exp: now() - 1 }), 'exp: expected'],
    ['for too long', (lab: HttpLab) => grant(lab, { exp: now() + 7200 }), 'exp: expected'],
    ['times that are text', (lab: HttpLab) => grant(lab, { exp: String(now() + 60) }), 'exp: expected'],
  ])('token endpoint: %s', async (_, body, why) => {
    const { lab, session, seen } = await aLab();
    const answer = await post(session, '/token', {}, body(lab));
    expect(answer.status).toBe(400);
    expect(seen[0]?.why).toContain(why);
    expect(answer.body).toContain(why.split(':')[0]);
    expect(lab.accessTokens).toBe(0);
  });

  const message = (changes: object = {}): unknown => ({
    message: { token: 'x'.repeat(40), data: { a: 'b' }, android: { priority: 'HIGH', ttl: '20s' }, ...changes },
  });
  it.each([
    ['all good', message(), 200, undefined],
    ['no message', {}, 400, 'message: expected an object'],
    ['a short token', message({ token: 'x' }), 400, 'message.token: expected'],
    ['a number in data', message({ data: { a: 1 } }), 400, 'message.data[a]: expected text, found a number'],
    ['a list of data', message({ data: ['a'] }), 400, 'message.data: expected an object'],
    ['a reserved word', message({ data: { from: 'x' } }), 400, 'from is a reserved word'],
    ['too much data', message({ data: { a: 'x'.repeat(5000) } }), 400, 'at most 4096'],
    ['a strange priority', message({ android: { priority: 'high', ttl: '1s' } }), 400, 'priority: expected HIGH'],
    ['a TTL in numbers', message({ android: { priority: 'HIGH', ttl: 20 } }), 400, 'ttl: expected whole seconds'],
    ['a TTL of months', message({ android: { priority: 'HIGH', ttl: '9999999s' } }), 400, 'ttl: expected whole'],
  ])('FCM: %s', async (_, body, status, why) => {
    const { lab, session, seen } = await aLab();
    const json = { 'content-type': 'application/json' };
    const path = '/v1/projects/lab-project/messages:send';
    expect((await post(session, path, { ...json, authorization: 'Bearer x' }, JSON.stringify(body))).status).toBe(401);
    const given = await post(session, '/token', {}, grant(lab));
    const authorization = `Bearer ${(JSON.parse(given.body) as { access_token: string }).access_token}`;
    const elsewhere = await post(
      session,
      path.replace('lab-', 'my-'),
      { ...json, authorization },
      JSON.stringify(body),
    );
    expect(elsewhere.status).toBe(404);
    expect((await post(session, path, { authorization }, JSON.stringify(body))).body).toContain(
      'content-type: expected',
    );
    const answer = await post(session, path, { ...json, authorization }, JSON.stringify(body));
    expect(answer.status).toBe(status);
    if (why !== undefined) expect([answer.body, seen.at(-1)?.why]).toEqual(Array(2).fill(expect.stringContaining(why)));
    expect(lab.pushes()).toHaveLength(status === 200 ? 1 : 0);
  });

  const vapid = aSigningKey();
  const point = (): string => {
    const { x = '', y = '' } = createPrivateKey(vapid).export({ format: 'jwk' });
    const half = (text: string): Buffer => Buffer.from(text, 'base64url');
    return Buffer.concat([Buffer.of(4), half(x), half(y)]).toString('base64url');
  };
  const claims = (lab: HttpLab): object => ({ aud: lab.endpoint, exp: now() + 600, sub: 'mailto:ops@example.com' });
  const bearer = (lab: HttpLab, changes: object = {}, key = vapid): string =>
    `vapid t=${jwt('ES256', key, { ...claims(lab), ...changes })}, k=${point()}`;
  it.each([
    ['all good', () => ({}), 201, undefined],
    ['no TTL', () => ({ ttl: undefined }), 400, 'ttl: expected whole seconds'],
    ['a negative TTL', () => ({ ttl: '-1' }), 400, 'ttl: expected whole seconds'],
    ['a strange urgency', () => ({ urgency: 'now' }), 400, 'urgency: expected'],
    ['a long topic', () => ({ topic: 'x'.repeat(33) }), 400, 'topic: expected'],
    ['no VAPID', () => ({ authorization: undefined }), 401, 'authorization: expected vapid'],
    ['another key', (lab: HttpLab) => ({ authorization: bearer(lab, {}, aSigningKey()) }), 403, 't: expected a JWT'],
    [
      'another audience',
      (lab: HttpLab) => ({ authorization: bearer(lab, { aud: 'https://x' }) }),
      403,
      'aud: expected',
    ],
    ['ended', (lab: HttpLab) => ({ authorization: bearer(lab, { exp: 5 }) }), 403, 'exp: expected'],
    ['for days', (lab: HttpLab) => ({ authorization: bearer(lab, { exp: now() + 90_000 }) }), 403, 'exp: expected'],
    ['nobody to write to', (lab: HttpLab) => ({ authorization: bearer(lab, { sub: 'me' }) }), 403, 'sub: expected'],
  ] as const)('Web Push: %s', async (_, changes, status, why) => {
    const { lab, session } = await aLab();
    const { pathname } = new URL(lab.subscription());
    const headers = { ttl: '20', urgency: 'high', authorization: bearer(lab), ...changes(lab) };
    const answer = await post(session, pathname, headers, '');
    expect(answer.status).toBe(status);
    if (why !== undefined) expect(answer.body).toContain(why);
    expect(lab.pushes()).toHaveLength(status === 201 ? 1 : 0);
  });

  it.each([
    ['all good', () => ({}), '{}', 200, undefined],
    ['no signature', () => ({ 'reveille-signature': undefined }), '{}', 401, 'reveille-signature: expected'],
    ['another signature', () => ({ 'reveille-signature': `v1=${'0'.repeat(64)}` }), '{}', 401, 'reveille-signature'],
    [
      'an old one',
      (lab: HttpLab, body: string) => signed(lab, body, 'x', Date.now() - 600_000),
      '{}',
      401,
      'timestamp',
    ],
    ['another id', (lab: HttpLab, body: string) => signed(lab, body, 'y'), '{}', 400, 'reveille-push-id: expected'],
    ['no JSON', (lab: HttpLab) => signed(lab, 'hello', 'x'), 'hello', 400, 'body: expected a JSON object'],
  ] as const)('webhook: %s', async (_, changes, text, status, why) => {
    const { lab, session } = await aLab();
    const body = text === '{}' ? hookBody('x') : text;
    const answer = await post(session, '/hook', { ...signed(lab, body, 'x'), ...changes(lab, body) }, body);
    expect(answer.status).toBe(status);
    if (why !== undefined) expect(answer.body).toContain(why);
  });

  it('an outage of the token endpoint: 503 for a time, pushes with the token at hand go on', async () => {
    const { lab, session } = await aLab();
    lab.rules.add(parseRule({ topic: 'fcm-token', do: 'answer', status: 503, skip: 1 }));
    const given = await post(session, '/token', {}, grant(lab));
    expect(given.status).toBe(200);
    expect((await post(session, '/token', {}, grant(lab))).status).toBe(503);
    const { access_token: token } = JSON.parse(given.body) as { readonly access_token: string };
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const path = '/v1/projects/lab-project/messages:send';
    expect((await post(session, path, headers, JSON.stringify(message()))).status).toBe(200);
  });
});

describe('push lab: scripts and faults by the control port', () => {
  it('takes a script, tells every mistake, and forgets it', async () => {
    const [apns, http] = await Promise.all([
      startApnsLab({ stallable: true }),
      startHttpLab({ accountKey, stallable: true }),
    ]);
    cleanups.push(() => Promise.all([apns.close(), http.close()]));
    const control = await startControl(apns, '127.0.0.1', 0, { ...httpRoutes(http), ...scriptRoutes({ apns, http }) });
    cleanups.push(() => control.close());
    const call = async (
      method: string,
      path: string,
      body?: unknown,
      headers: Readonly<Record<string, string>> = {},
    ) => {
      const response = await fetch(`http://127.0.0.1:${control.port}${path}`, {
        ...{ method, headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.json() };
    };
    const script = {
      rules: [{ do: 'hang' }, { service: 'fcm', do: 'hang' }],
      actions: [{ at: 3600, do: 'drop' }],
    };
    expect(await call('POST', '/script', script)).toEqual({ status: 200, body: { rules: 2, actions: 1 } });
    expect([apns.rules.size, http.rules.size]).toEqual([1, 1]);
    expect(await call('POST', '/script', { rules: [{ do: 'hang' }, { do: 'x' }] })).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining('rules[1]: do: expected one of answer') as string },
    });
    expect([apns.rules.size, http.rules.size]).toEqual([1, 1]);
    expect(await call('DELETE', '/script')).toEqual({ status: 200, body: { rules: 0, actions: 0 } });
    expect([apns.rules.size, http.rules.size]).toEqual([0, 0]);
    const told: readonly (readonly [string, unknown, unknown])[] = [
      ['/slow-tls', { ms: 1 }, { ms: 1 }],
      ['/http/slow-tls', {}, { ms: 2000 }],
      ['/http/goaway', { mode: 'graceful' }, { sessions: 0 }],
      ['/http/drop', {}, { connections: 0 }],
      ['/http/stall', {}, { connections: 0 }],
      ['/http/outage', { ms: 1 }, { ms: 1 }],
    ];
    for (const [path, body, answer] of told) expect((await call('POST', path, body)).body).toEqual(answer);
    for (const [path, body] of [
      ['/outage', { ms: -1 }],
      ['/slow-tls', { ms: 'long' }],
      ['/drop', { when: 'never' }],
      ['/http/goaway', { mode: 'rude' }],
    ] as const)
      expect((await call('POST', path, body)).status).toBe(400);
    // a page of somebody else's may make a browser send this
    expect(await call('POST', '/drop', {}, { origin: 'https://evil.example' })).toMatchObject({ status: 403 });
  });
});
