import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startAdmin, type Admin, type Readiness } from '../../lib/adapters/http/admin.ts';
import { createPrometheus } from '../../lib/adapters/prometheus/registry.ts';
import { EdgeError } from '../../lib/errors.ts';

const listen = { address: '127.0.0.1', port: 0 };
const registry = createPrometheus({ processMetrics: false });
const yes = (): Promise<Readiness> => Promise.resolve({ ok: true });

let admin: Admin | undefined;
afterEach(async () => {
  await admin?.close();
  admin = undefined;
});

async function ask(path: string, ready: () => Promise<Readiness> = yes, method = 'GET'): Promise<Response> {
  admin = await startAdmin({ listen, registry, ready });
  return fetch(`http://127.0.0.1:${admin.port}${path}`, { method });
}

describe('the admin port', () => {
  it('serves the metrics', async () => {
    registry.telemetry.gauge('heldInvites', 3);
    const response = await ask('/metrics');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('\nreveille_held_invites 3\n');
  });

  it('says that the process is alive, ready or not', async () => {
    const response = await ask('/healthz', () => Promise.resolve({ ok: false, why: 'draining' }));
    expect([response.status, await response.json()]).toEqual([200, { alive: true }]);
  });

  it('is ready when the edge says so, and says why not', async () => {
    const ready = await ask('/readyz?probe=1');
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true }]);
    await admin?.close();
    const not = await ask('/readyz', () => Promise.resolve({ ok: false, why: 'draining' }));
    expect([not.status, await not.json()]).toEqual([503, { ready: false, why: 'draining' }]);
  });

  it('is not ready when the question fails, and shows no secret of the failure', async () => {
    const response = await ask('/readyz', () =>
      Promise.reject(new Error('redis://me:hunter2@10.0.0.1 does not answer')),
    );
    expect([response.status, await response.json()]).toEqual([
      503,
      { ready: false, why: 'redis://me:[masked]@10.0.0.1 does not answer' },
    ]);
  });

  it('is not ready when there is no answer within a second', async () => {
    const response = await ask('/readyz', () => new Promise(() => {}));
    expect([response.status, await response.json()]).toEqual([503, { ready: false, why: 'no answer within 1000 ms' }]);
  });

  it('knows no other page and no other method', async () => {
    expect((await ask('/')).status).toBe(404);
    await admin?.close();
    expect((await ask('/metrics', yes, 'POST')).status).toBe(405);
    await admin?.close();
    const head = await ask('/healthz', yes, 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it('answers others while clients send nothing, half a request or noise', async () => {
    admin = await startAdmin({ listen, registry, ready: yes });
    const { port } = admin;
    const opened = ['', 'GET /metrics HT', '\0\x16\x03\x01', `GET /${'x'.repeat(20_000)}`].map((text) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(text));
      socket.on('error', () => undefined);
      return socket;
    });
    await Promise.all(opened.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    // closing does not wait for those who never finish
    await admin.close();
    admin = undefined;
    for (const socket of opened) socket.destroy();
  });

  it('says which key is wrong when the port is taken', async () => {
    admin = await startAdmin({ listen, registry, ready: yes });
    const again = startAdmin({ listen: { ...listen, port: admin.port }, registry, ready: yes });
    await expect(again).rejects.toThrow(EdgeError);
    await expect(again).rejects.toThrow(/http\.listen: .*EADDRINUSE/);
  });
});
