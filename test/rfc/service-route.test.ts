/**
 * Requests of an account go along the Service-Route of its registration (RFC 3608 5.1) and along the route of an outbound proxy, all of
 * it, asked of a running edge. A drachtio-server writes no Route of an app: there they go to the first hop without.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import { newCallId } from '../../apps/demo/ua.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipRequest } from '../../lib/sip/message.ts';
import { onDrachtio, places, type StartedEdge, startEdge } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { SipPeer } from '../support/sip-peer.ts';

const domain = 'routes.example.com';
const password = 'of the account';
const core = '<sip:core.example.net;lr>';
const last = '<sip:orig@app.example.net;transport=tcp;lr>';
const offer = sessionDescription(places.phones, 41_000);

const why = onDrachtio ? 'a drachtio-server writes no Route of an app' : undefined;
const kinds = ['service route', 'outbound proxy and its route'] as const;

describe.skipIf(why !== undefined).each(kinds)(titled('%s', why), (kind) => {
  let edge: StartedEdge;
  let pbx: SipPeer;
  let phone: Phone;
  const heard: SipRequest[] = [];
  const own = (): string => `<sip:${places.pbx}:${pbx.port};transport=udp;lr>`;
  const of = (method: string): readonly SipRequest[] => heard.filter((one) => one.method === method);
  const routes = (method: string): readonly (readonly string[])[] =>
    of(method).map(({ headers }) => headers.list('Route'));

  beforeAll(async () => {
    pbx = await SipPeer.open('udp', places.pbx);
    const serviceRoute = kind === 'service route' ? `${own()}, ${core}, ${last}` : last;
    const asked: [string, string] = ['Proxy-Authenticate', 'Digest realm="pbx", nonce="n", algorithm=MD5'];
    const answers: Record<string, (request: SipRequest) => readonly [number, readonly (readonly [string, string])[]]> =
      {
        REGISTER: () => [
          200,
          [
            ['Expires', '600'],
            ['Service-Route', serviceRoute],
          ],
        ],
        INVITE: ({ headers }) => (headers.has('Proxy-Authorization') ? [180, []] : [407, [asked]]),
        MESSAGE: () => [202, []],
        OPTIONS: () => [200, []],
        CANCEL: () => [200, []],
        ACK: () => [0, []],
      };
    for (const [method, answer] of Object.entries(answers))
      pbx.on(method, (request, from) => {
        heard.push(request);
        const [status, headers] = answer(request);
        if (status > 0) void pbx.send(pbx.answer(request, status, { contact: null, headers }), from);
        const invite = of('INVITE').at(-1);
        if (method === 'CANCEL' && invite !== undefined)
          void pbx.send(pbx.answer(invite, 487, { contact: null, headers: [] }), from);
      });
    const at = `sip:${places.pbx}:${pbx.port};transport=udp`;
    const upstream =
      kind === 'service route'
        ? { upstream: at }
        : { upstreams: [{ uri: 'sip:192.0.2.77', outbound_proxy: at, outbound_route: [own(), core] }] };
    edge = await startEdge({
      config: {
        domains: [
          {
            name: domain,
            upstream_mode: 'on_behalf',
            ...upstream,
            accounts: [{ name: 'anna', password }],
            availability: { probe_seconds: 1 },
          },
        ],
      },
    });
    phone = new Phone({ user: 'anna', domain, password, address: places.phones, edge: edge.at('udp') });
    expect((await phone.register()).status).toBe(200);
    const registered = ({ aor, outcome }: Readonly<Record<string, unknown>>): boolean =>
      aor === `anna@${domain}` && outcome === 'registered';
    await vi.waitFor(() => expect(edge.process.logs.some(registered)).toBe(true), 15_000);
  });
  afterAll(async () => {
    await phone.sleep();
    await edge.close();
    await pbx.close();
  });
  const whole = (): readonly string[] => [own(), core, last];

  it('INVITE, the one with credentials, CANCEL and ACK have the whole of it', async () => {
    const call = phone.call('bert', { body: offer });
    const answered = call.answer();
    await expect.poll(() => phone.seen('in', '180').length, { timeout: 10_000 }).toBe(1);
    call.cancel();
    expect((await answered).status).toBe(487);
    await expect.poll(() => of('ACK').length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
    expect(of('INVITE')[0]?.uri).toContain(`bert@${domain}`);
    expect(routes('INVITE')).toEqual([whole(), whole()]);
    expect(new Set([...routes('ACK'), ...routes('CANCEL')].map((one) => one.join()))).toEqual(
      new Set([whole().join()]),
    );
  });

  it('so has a request of its own', async () => {
    const headers = Headers.of([
      ['From', `<sip:anna@${domain}>;tag=1`],
      ['To', `<sip:bert@${domain}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 MESSAGE'],
      ['Content-Type', 'text/plain'],
    ]);
    const options = { headers, body: 'hello' };
    const login = { user: 'anna', password };
    const { answer } = await phone.ua.authenticated('MESSAGE', `sip:bert@${domain}`, options, login);
    expect(answer.status).toBe(202);
    expect(routes('MESSAGE')).toEqual([whole()]);
  });

  it('REGISTER and probes have that of the outbound proxy, and no Service-Route', async () => {
    await expect.poll(() => of('OPTIONS').length, { timeout: 5000 }).toBeGreaterThan(0);
    const expected = kind === 'service route' ? [] : [own(), core];
    expect(routes('REGISTER')[0]).toEqual(expected);
    expect(routes('OPTIONS')[0]).toEqual(expected);
  });
});
