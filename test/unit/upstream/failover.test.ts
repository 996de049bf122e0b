/** Requests over the servers of a pool, with the engine's side played by the test. */
import { describe, expect, test } from 'vitest';
import type { Client, ClientAnswer, ClientRequest } from '../../../lib/ports/client.ts';
import type { LegEvents, Legs } from '../../../lib/ports/leg.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { response } from '../../../lib/sip/message.ts';
import { FailoverClient } from '../../../lib/upstream/failover-client.ts';
import { FailoverLegs } from '../../../lib/upstream/failover-legs.ts';
import { type Server, UpstreamPool } from '../../../lib/upstream/pool.ts';
import { FakeLeg } from '../../support/fake-call.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const name = 'sip:pbx.test';
const usual = '192.0.2.1:5060;transport=udp';

function aServer(id: string, priority: number, over: Partial<Server> = {}): Server {
  const nextHop = `sip:${id}:5060;transport=udp`;
  return {
    id,
    upstream: name,
    priority,
    weight: 1,
    srvPriority: 0,
    srvWeight: 0,
    nextHop,
    routes: [],
    probeUri: nextHop,
    edgeHost: usual,
    ...over,
  };
}

function aPool(servers: readonly Server[] = [aServer('10.0.0.1', 1), aServer('10.0.0.2', 2)]) {
  const telemetry = new TelemetryRecorder();
  let now = 1_000_000;
  const pool = new UpstreamPool(
    name,
    'example.com',
    {
      downAfter: 3,
      upAfter: 2,
      restMs: 30_000,
      longestRestMs: 600_000,
      probes: false,
      tryMs: 4000,
      probeMs: 0,
      probeTimeoutMs: 4000,
      probeAccepts: 'any',
    },
    { now: () => now, log: new QuietLog(), telemetry, onUse: () => undefined },
  );
  pool.use(servers);
  const timers: { ms: number; task: () => void }[] = [];
  let connected = true;
  return {
    pool,
    telemetry,
    timers,
    lose: () => (connected = false),
    move: (ms: number) => (now += ms),
    deps: {
      pools: new Map([[name, pool]]),
      precise: () => now,
      connected: () => connected,
      hears100: true,
      clock: {
        now: () => now,
        after: (ms: number, task: () => void) => {
          const timer = { ms, task };
          timers.push(timer);
          return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0);
        },
      },
    },
  };
}

const headers = Headers.of([
  ['From', '<sip:alice@example.com>;tag=a'],
  ['To', '<sip:alice@example.com>'],
  ['Contact', `<sip:vabc@${usual}>;expires=60`],
]);
const request: ClientRequest = {
  method: 'REGISTER',
  uri: 'sip:example.com',
  nextHop: name,
  headers,
  body: '',
  timeoutMs: 20_000,
};
const said = (status: number, local = false, fields = Headers.empty()): ClientAnswer => ({
  response: response(status, 'Said', fields),
  local,
});

/** Answers in this order, and what was sent. */
function aClient(...answers: readonly ClientAnswer[]): Client & { readonly sent: ClientRequest[] } {
  const sent: ClientRequest[] = [];
  return { sent, send: async (one) => (sent.push(one), answers[sent.length - 1] ?? said(500)) };
}

describe('a request for a PBX of two servers', () => {
  test('goes to the next one after a 503, which is left alone as long as it asks for', async () => {
    const { pool, deps, telemetry, move } = aPool();
    const busy = said(503, false, Headers.of([['Retry-After', '120 (maintenance)']]));
    const client = aClient(busy, said(200), said(200), said(200));
    const failover = new FailoverClient(client, deps);
    expect((await failover.send(request)).response.status).toBe(200);
    await failover.send(request);
    expect(client.sent.map(({ nextHop }) => nextHop?.slice(4, 12))).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.2']);
    expect(client.sent[0]?.timeoutMs).toBe(4000);
    const left = { domain: 'example.com', upstream: name } as const;
    expect(telemetry.counted('upstreamFailovers', { ...left, cause: 'refused' })).toBe(1);
    const before = pool.changedAt;
    move(121_000);
    await failover.send(request);
    expect(client.sent.at(-1)?.nextHop).toContain('10.0.0.1');
    expect(pool.changedAt).toBeGreaterThan(before);
  });

  test.each([
    ['silence', said(408, true), 200],
    ['no connection', said(503, true), 200],
    ['a refusal', said(403), 403],
    ['a request that cannot be sent', said(400, true), 400],
  ])('after %s', async (_what, first, expected) => {
    const { deps } = aPool();
    const failover = new FailoverClient(aClient(first, said(200)), deps);
    expect((await failover.send(request)).response.status).toBe(expected);
  });

  test('ends with the last answer, within its time', async () => {
    const { deps, move } = aPool();
    const client = aClient(said(408, true), said(503, false));
    const slow: Client = { send: (one) => (move(one.timeoutMs), client.send(one)) };
    expect((await new FailoverClient(slow, deps).send(request)).response.status).toBe(503);
    expect(client.sent.map(({ timeoutMs }) => timeoutMs)).toEqual([4000, 16_000]);
  });

  test('says nothing about servers while the engine is away', async () => {
    const { pool, deps, lose } = aPool();
    lose();
    expect((await new FailoverClient(aClient(said(503, true)), deps).send(request)).response.status).toBe(503);
    expect(pool.usable).toBe(true);
  });

  test('tells a server of another transport the place that it can reach, and nobody else', async () => {
    const other = '192.0.2.1:5061;transport=tls';
    const { deps } = aPool([aServer('10.0.0.1', 1), aServer('10.0.0.2', 2, { edgeHost: other })]);
    const client = aClient(said(503), said(200));
    await new FailoverClient(client, deps).send(request);
    expect(client.sent.map((one) => one.headers.get('Contact'))).toEqual([
      `<sip:vabc@${usual}>;expires=60`,
      `<sip:vabc@${other}>;expires=60`,
    ]);
  });

  test('for anybody else passes untouched', async () => {
    const { deps } = aPool();
    const client = aClient(said(503));
    const elsewhere = { ...request, nextHop: 'sip:192.0.2.9' };
    expect((await new FailoverClient(client, deps).send(elsewhere)).response.status).toBe(503);
    expect(client.sent).toEqual([elsewhere]);
  });
});

function aCall(hears100 = true) {
  const world = aPool();
  const legs: FakeLeg[] = [];
  const inner: Legs = { start: (asked, events) => (legs.push(new FakeLeg(asked, events)), legs.at(-1) as FakeLeg) };
  const told: string[] = [];
  const events: LegEvents = {
    progress: ({ status }) => told.push(String(status)),
    answered: ({ status }) => told.push(String(status)),
    failed: ({ status }, local) => told.push(`${status}${local ? ' local' : ''}`),
  };
  const leg = new FailoverLegs(inner, { ...world.deps, hears100 }).start(
    { uri: 'sip:4711@example.com', nextHop: name, headers, body: '' },
    events,
  );
  return { ...world, legs, told, leg };
}

describe('an INVITE for a PBX of two servers', () => {
  test('goes to the next one after a 503, and the caller hears nothing of it', () => {
    const { legs, told } = aCall();
    legs[0]?.fail(503);
    expect([legs.length, told]).toEqual([2, []]);
    legs[1]?.fail(486);
    expect(told).toEqual(['486']);
  });

  test('leaves a silent server, and hangs up when that one answers after all', () => {
    const { legs, told, timers, telemetry } = aCall();
    timers[0]?.task();
    expect([legs.length, legs[0]?.cancelled]).toEqual([2, 1]);
    legs[1]?.ring();
    legs[0]?.answer();
    expect(legs[0]?.acks).toBe(1);
    expect(legs[0]?.dialog.methods).toEqual(['BYE']);
    legs[1]?.answer();
    expect(told).toEqual(['180', '200']);
    const left = { domain: 'example.com', upstream: name } as const;
    expect(telemetry.counted('upstreamFailovers', { ...left, cause: 'timeout' })).toBe(1);
  });

  test('stays where somebody has said so much as 100', () => {
    const { legs, timers } = aCall();
    legs[0]?.events.progress(response(100, 'Trying', Headers.empty()), false, undefined);
    expect(timers).toHaveLength(0);
    legs[0]?.ring();
    legs[0]?.fail(503);
    expect(legs).toHaveLength(1);
  });

  test('waits for a server where the engine does not tell of a 100', () => {
    const { legs, timers } = aCall(false);
    expect(timers).toHaveLength(0);
    legs[0]?.fail(408, true);
    expect(legs).toHaveLength(2);
  });

  test('is not begun anew once it is cancelled', () => {
    const { legs, told, leg, pool } = aCall();
    leg.cancel('SIP;cause=200');
    legs[0]?.fail(408, true);
    expect([legs.length, told, pool.usable]).toEqual([1, ['408 local'], true]);
  });
});
