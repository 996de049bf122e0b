/** Registration on behalf over sockets: one account for each way a PBX may answer, and some hundreds that come back together. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { challenge, ha1, verifyDigest } from '../../lib/core/digest.ts';
import { parseAuth } from '../../lib/sip/auth.ts';
import type { SipRequest } from '../../lib/sip/message.ts';
import { places, type StartedEdge, startEdge } from '../support/edge.ts';
import { SipPeer } from '../support/sip-peer.ts';

const domain = 'many.example.com';
const password = 'of every account here';
const crowd = 300;
const perSecond = 60;

type Fields = readonly (readonly [string, string])[];
/** What the PBX says to the nth REGISTER of an account. */
type Script = (nth: number, request: SipRequest) => readonly [status: number, fields?: Fields];

const granted: Fields = [['Expires', '600']];
const asks = (algorithm: 'MD5' | 'SHA-256', nonce: string, stale = false): Fields => [
  ['WWW-Authenticate', challenge({ realm: 'pbx', nonce, algorithms: [algorithm], stale }).join()],
];
const isRight = (user: string, request: SipRequest): boolean => {
  const credentials = parseAuth(request.headers.get('Authorization') ?? '');
  const secret = {
    md5: ha1(user, 'pbx', password, 'MD5'),
    sha256: ha1(user, 'pbx', password, 'SHA-256'),
  };
  return credentials !== undefined && verifyDigest({ method: 'REGISTER', uri: request.uri, credentials, secret });
};
const offer = (algorithm: string): Fields[number] => [
  'WWW-Authenticate',
  `Digest realm="pbx", nonce="o", qop="auth", algorithm=${algorithm}`,
];
const failing =
  (status: number, fields: Fields = []): Script =>
  (nth) =>
    nth === 1 ? [status, fields] : [200, granted];

const temporary = [408, 480, 500, 502, 503, 504, 600].map((status) => [`t${status}`, failing(status)] as const);
const final = [403, 404, 405, 302].map((status) => [`f${status}`, (): readonly [number] => [status]] as const);
const scripts = new Map<string, Script>([
  ...temporary,
  ...final,
  ['md5', (_, request) => (isRight('md5', request) ? [200, granted] : [401, asks('MD5', 'n')])],
  ['sha256', (_, request) => (isRight('sha256', request) ? [200, granted] : [401, asks('SHA-256', 'n')])],
  [
    'stale',
    (nth, request) =>
      nth < 3 ? [401, asks('MD5', `n${nth}`, nth > 1)] : isRight('stale', request) ? [200, granted] : [403],
  ],
  [
    'order',
    (_, request) =>
      parseAuth(request.headers.get('Authorization') ?? '') === undefined
        ? [401, ['Unheard-Of', 'SHA-256', 'MD5'].map((name) => offer(name))]
        : isRight('order', request) && /algorithm=SHA-256\b/.test(request.headers.get('Authorization') ?? '')
          ? [200, granted]
          : [403],
  ],
  ['wrong', (nth) => [401, asks('MD5', `n${nth}`)]],
  ['basic', () => [401, [['WWW-Authenticate', 'Basic realm="pbx"']]]],
  [
    'brief',
    (_, request) =>
      Number(request.headers.get('Expires')) < 900 ? [423, [['Min-Expires', '900']]] : [200, [['Expires', '900']]],
  ],
  ['routes', () => [200, [...granted, ['Service-Route', '<sip:orig@192.0.2.7;lr>'], ['Path', '<sip:192.0.2.8;lr>']]]],
  ['silent', (nth) => (nth === 1 ? [0] : [200, granted])],
]);

interface Row {
  readonly aor: string;
  readonly state: string;
  readonly expires: number | null;
  readonly nextRegistration: string | null;
  readonly lastFailure: { readonly status: number; readonly reason: string } | null;
  readonly serviceRoute: readonly string[];
  readonly path: readonly string[];
}

describe('on behalf, answer by answer', () => {
  let edge: StartedEdge;
  let pbx: SipPeer;
  let silent = false;
  const seen = new Map<string, { readonly request: SipRequest; readonly at: number }[]>();

  beforeAll(async () => {
    pbx = await SipPeer.open('udp', places.pbx);
    pbx.on('REGISTER', (request, from) => {
      const user = /sip:([^@]*)@/.exec(request.headers.get('To') ?? '')?.[1] ?? '';
      if (silent) return;
      const all = seen.get(user) ?? [];
      all.push({ request, at: performance.now() });
      seen.set(user, all);
      const [status, fields = []] = scripts.get(user)?.(all.length, request) ?? [200, granted];
      if (status > 0) void pbx.send(pbx.answer(request, status, { contact: null, headers: fields }), from);
    });
    const names = [...scripts.keys(), ...Array.from({ length: crowd }, (_, at) => `crowd${at}`)];
    edge = await startEdge({
      config: {
        domains: [
          {
            name: domain,
            upstream_mode: 'on_behalf',
            upstream: `sip:${places.pbx}:${pbx.port};transport=udp`,
            accounts: names.map((name) => ({ name, password })),
          },
        ],
        on_behalf: {
          expires: 600,
          retry_interval: 3,
          retry_spread_percent: 100,
          answer_seconds: 1,
          registrations_per_second: perSecond,
        },
        log: { level: 'debug' },
      },
    });
  });
  afterAll(async () => {
    const logs = JSON.stringify(edge.process.logs);
    await edge.close();
    await pbx.close();
    expect(logs).not.toContain(password);
  });

  const api = async (method: string, path: string, body?: object): Promise<any> => {
    const token = readFileSync(join(edge.dir, 'store/api-token'), 'utf8').trim();
    const response = await fetch(`http://${edge.http}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.json();
  };
  const rowOf = async (user: string): Promise<Row> =>
    (await api('GET', `/registrations/${user}@${domain}`)).outbound[0];
  const until = <T>(check: () => Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 60_000, interval: 200 });
  const busiest = (times: readonly number[]): number => {
    const sorted = times.toSorted((a, b) => a - b);
    return Math.max(...sorted.map((at, index) => sorted.slice(index).filter((other) => other < at + 1000).length));
  };

  it('registers everybody, never faster than it may', async () => {
    await until(async () =>
      expect((await api('GET', '/registrations?direction=outbound&limit=1')).totals.outbound.registered).toBe(
        crowd + scripts.size - final.length - 2,
      ),
    );
    const firsts = [...seen.values()].map((all) => all[0]?.at ?? 0);
    // what was claimed in one second and what is in the next may meet
    expect(busiest(firsts)).toBeLessThanOrEqual(2 * perSecond);
  });

  it.each(temporary)('%s is tried again after retry_interval', async (user) => {
    const [first, second] = seen.get(user) ?? [];
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(2900);
    expect(second?.request.headers.get('Call-ID')).toBe(first?.request.headers.get('Call-ID'));
    expect(Number.parseInt(second?.request.headers.get('CSeq') ?? '', 10)).toBeGreaterThan(
      Number.parseInt(first?.request.headers.get('CSeq') ?? '', 10),
    );
    expect(second?.request.headers.get('Contact')).toBe(first?.request.headers.get('Contact'));
  });

  it('no answer is a temporary failure too', async () => {
    expect(seen.get('silent')?.length).toBeGreaterThanOrEqual(2);
    expect(await rowOf('silent')).toMatchObject({ state: 'registered', lastFailure: null });
  });

  it.each(final)('%s is given up, with its reason', async (user) => {
    const row = await rowOf(user);
    expect(row).toMatchObject({
      state: 'rejected',
      nextRegistration: null,
      lastFailure: { status: Number(user.slice(1)) },
    });
    expect(seen.get(user)).toHaveLength(1);
  });

  it.each(['md5', 'sha256', 'stale'])('digest: %s', async (user) => {
    expect(await rowOf(user)).toMatchObject({ state: 'registered' });
  });

  it('[EDGE-AUTH-07] of several challenges the topmost one that is known is answered, and those unknown are passed over', async () => {
    expect(await rowOf('order')).toMatchObject({ state: 'registered' });
    // there may be more, as below
    const algorithms = seen
      .get('order')
      ?.map(({ request }) => /algorithm=([\w-]+)/.exec(request.headers.get('Authorization') ?? '')?.[1]);
    expect(algorithms?.slice(0, 2)).toEqual([undefined, 'SHA-256']);
  });

  it('refused credentials are sent twice and no more; a scheme we do not know is never answered', async () => {
    expect(await rowOf('wrong')).toMatchObject({
      state: 'rejected',
      lastFailure: { reason: 'the credentials were refused' },
    });
    expect(seen.get('wrong')).toHaveLength(3);
    expect(await rowOf('basic')).toMatchObject({ state: 'rejected', nextRegistration: null });
    expect(seen.get('basic')?.[0]?.request.headers.has('Authorization')).toBe(false);
    expect(seen.get('basic')).toHaveLength(1);
  });

  it('423 is followed by a REGISTER that is long enough', async () => {
    // there may be more: an account that got no answer at first makes the edge register all of them anew
    const asked = seen.get('brief')?.map(({ request }) => request.headers.get('Expires'));
    expect(asked?.slice(0, 2)).toEqual(['600', '900']);
    expect((await rowOf('brief')).expires).toBeGreaterThan(600);
  });

  it('keeps Service-Route and Path', async () => {
    expect(await rowOf('routes')).toMatchObject({
      serviceRoute: ['<sip:orig@192.0.2.7;lr>'],
      path: ['<sip:192.0.2.8;lr>'],
    });
  });

  it('some hundreds come back together after an outage, at the configured rate', async () => {
    silent = true;
    const waiting = api('POST', `/registrations/crowd0@${domain}/register`);
    await waiting;
    await until(async () =>
      expect(await rowOf('crowd0')).toMatchObject({ state: 'rejected', lastFailure: { status: 0 } }),
    );
    seen.clear();
    silent = false;
    await until(async () => expect([...seen.keys()].filter((user) => user.startsWith('crowd'))).toHaveLength(crowd));
    const times = [...seen].filter(([user]) => user.startsWith('crowd')).map(([, all]) => all[0]?.at ?? 0);
    expect(busiest(times)).toBeLessThanOrEqual(2 * perSecond);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan((crowd / perSecond - 2) * 1000);
  });
});
