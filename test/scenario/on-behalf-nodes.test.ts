/** Registrations on behalf over two edges on one Redis: each has one owner at a time, and another when the first dies. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { places, type StartedEdge, startEdge } from '../support/edge.ts';
import { needs, titled } from '../support/needs.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { SipPeer } from '../support/sip-peer.ts';

const why = needs('redis-server');
const domain = 'shared.example.com';
const names = Array.from({ length: 8 }, (_, at) => `account${at}`);

interface Heard {
  readonly callId: string;
  readonly cseq: number;
  readonly contacts: readonly string[];
  readonly from: number;
}

describe.skipIf(why !== undefined)(titled('accounts of two edges', why), () => {
  let redis: RedisServer;
  let pbx: SipPeer;
  const edges: StartedEdge[] = [];
  const heard = new Map<string, Heard[]>(names.map((name) => [name, []]));

  beforeAll(async () => {
    redis = await startRedis();
    pbx = await SipPeer.open('udp', places.pbx);
    pbx.on('REGISTER', (request, from) => {
      const user = /sip:([^@]*)@/.exec(request.headers.get('To') ?? '')?.[1] ?? '';
      heard.get(user)?.push({
        callId: request.headers.get('Call-ID') ?? '',
        cseq: Number.parseInt(request.headers.get('CSeq') ?? '', 10),
        contacts: request.headers.list('Contact'),
        from: from.port,
      });
      void pbx.send(pbx.answer(request, 200, { contact: null, headers: [['Expires', '8']] }), from);
    });
    const config = {
      store: { kind: 'redis', redis_url: redis.url, secret_key: '5e'.repeat(32) },
      domains: [
        {
          name: domain,
          upstream_mode: 'on_behalf',
          upstream: `sip:${places.pbx}:${pbx.port};transport=udp`,
          accounts: names.map((name) => ({ name, password: 'a password of an account' })),
        },
      ],
      on_behalf: { expires: 600, refresh_lead_seconds: 6, answer_seconds: 1, retry_interval: 2 },
      shutdown: { held_seconds: 0, call_seconds: 0 },
    };
    edges.push(await startEdge({ config }), await startEdge({ config }));
  });
  afterAll(async () => {
    for (const edge of edges) await edge.close();
    await pbx?.close();
    await redis?.stop();
  });

  const rounds = (least: number): Promise<void> =>
    vi.waitFor(
      () => expect(Math.min(...[...heard.values()].map(({ length }) => length))).toBeGreaterThanOrEqual(least),
      {
        timeout: 60_000,
        interval: 100,
      },
    );

  it('one registers, nobody twice, and the other takes over what a dead one had', async () => {
    await rounds(3);
    for (const all of heard.values()) {
      // whoever sends counts on from whoever sent before: two at once would say one number twice
      expect(all.map(({ cseq }) => cseq)).toEqual([...new Set(all.map(({ cseq }) => cseq))].toSorted((a, b) => a - b));
      expect(new Set(all.map(({ callId }) => callId)).size).toBe(1);
    }
    const before = new Map([...heard].map(([name, all]) => [name, all.length]));
    await edges[0]?.process.kill();
    // each at least twice after the death, longer than any of its leases
    await vi.waitFor(
      () => {
        for (const [name, all] of heard) expect(all.length).toBeGreaterThanOrEqual((before.get(name) ?? 0) + 2);
      },
      { timeout: 90_000, interval: 200 },
    );
    const survivors = new Set([...heard.values()].map((all) => all.at(-1)?.from));
    expect(survivors.size).toBe(1);
    for (const all of heard.values())
      expect(all.map(({ cseq }) => cseq)).toEqual([...new Set(all.map(({ cseq }) => cseq))].toSorted((a, b) => a - b));
    await edges[0]?.process.restart();
  }, 180_000);
});
