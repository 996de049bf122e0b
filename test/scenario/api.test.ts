import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { startAdmin, type Admin } from '../../lib/adapters/http/admin.ts';
import type { ApiRoute } from '../../lib/adapters/http/api.ts';
import { createPrometheus } from '../../lib/adapters/prometheus/registry.ts';
import { EdgeError } from '../../lib/errors.ts';
import { startEdge } from '../support/edge.ts';

const token = 'a-token-for-the-tests';
const registry = createPrometheus({ processMetrics: false });
const echo: ApiRoute = {
  method: 'PUT',
  path: '/things/:name',
  does: 'gives back what it got',
  handle: ({ params, query, body }) =>
    Promise.resolve({ status: 200, body: { params, page: query.get('page'), body } }),
};
const failing: ApiRoute = {
  method: 'GET',
  path: '/broken',
  does: 'fails',
  handle: () => Promise.reject(new Error('redis://me:hunter2@10.0.0.1 is down')),
};

const storeAway: ApiRoute = {
  method: 'GET',
  path: '/store',
  does: 'has no store',
  handle: () => Promise.reject(new EdgeError('EDGE_STORE_UNAVAILABLE', 'The store cannot be read.')),
};

let admin: Admin | undefined;
afterEach(async () => {
  await admin?.close();
  admin = undefined;
});

async function ask(path: string, init: RequestInit = {}, secret: string | undefined = token): Promise<Response> {
  admin ??= await startAdmin({
    listen: { address: '127.0.0.1', port: 0 },
    registry,
    ready: () => Promise.resolve({ ok: true }),
    api: { token: secret, routes: [echo, failing, storeAway] },
  });
  return fetch(`http://127.0.0.1:${admin.port}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...(init.headers as Readonly<Record<string, string>> | undefined) },
  });
}

describe('the HTTP API', () => {
  it('lists its routes to who has the token', async () => {
    const response = await ask('/api/v1');
    expect([response.status, await response.json()]).toEqual([
      200,
      {
        routes: [
          { method: 'PUT', path: '/api/v1/things/:name', does: 'gives back what it got' },
          { method: 'GET', path: '/api/v1/broken', does: 'fails' },
          { method: 'GET', path: '/api/v1/store', does: 'has no store' },
        ],
      },
    ]);
  });

  it.each(['', 'Bearer', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`, `Bearer ${token} x`])(
    'refuses "%s" with 401',
    async (authorization) => {
      const response = await ask('/api/v1/things/a', { method: 'PUT', headers: { authorization } });
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    },
  );

  it('gives a route the names of its path, the query and the body', async () => {
    const response = await ask('/api/v1/things/a%20b%2Fc?page=2', { method: 'PUT', body: '{"x":[1]}' });
    expect(await response.json()).toEqual({ params: { name: 'a b/c' }, page: '2', body: { x: [1] } });
  });

  it('says what is wrong with a path, a method and a body', async () => {
    expect((await ask('/api/v1/nothing')).status).toBe(404);
    expect((await ask('/api/v1/things/%E0%A4%A', { method: 'PUT' })).status).toBe(404);
    expect((await ask('/api/v1/things/a', { method: 'DELETE' })).status).toBe(405);
    expect((await ask('/api/v1/things/a', { method: 'PUT', body: '{"x":' })).status).toBe(400);
    expect((await ask('/api/v1/things/a', { method: 'PUT', body: 'x'.repeat(300_000) })).status).toBe(413);
  });

  it('shows no secret of a failure', async () => {
    const response = await ask('/api/v1/broken');
    expect([response.status, await response.json()]).toEqual([
      500,
      { error: 'Error: redis://me:[masked]@10.0.0.1 is down' },
    ]);
  });

  it('says that it is to be asked again when the store cannot be used now', async () => {
    const response = await ask('/api/v1/store');
    expect([response.status, await response.json()]).toEqual([503, { error: 'The store cannot be read.' }]);
  });

  it('is off without a token, and says how to switch it on', async () => {
    admin = await startAdmin({
      listen: { address: '127.0.0.1', port: 0 },
      registry,
      ready: () => Promise.resolve({ ok: true }),
      api: { token: undefined, routes: [echo] },
    });
    const response = await ask('/api/v1');
    expect([response.status, await response.json()]).toEqual([403, { error: 'The API is off: set http.api_token.' }]);
  });
});

describe('reveille', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reveille-cli-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const run = (...words: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> =>
    new Promise((resolve) => {
      const env = { ...process.env, REVEILLE_CONFIG: '' };
      const main = join(import.meta.dirname, '../../dist/apps/cli/main.js');
      execFile(process.execPath, [main, ...words], { env }, (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
      });
    });

  it('lists its commands, and knows no other', async () => {
    expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('\n  status ') });
    expect(await run('toString')).toMatchObject({ code: 2, err: expect.stringContaining('found toString') });
    expect(await run('status', '--wrong')).toMatchObject({ code: 2, err: expect.stringContaining("'--wrong'") });
    expect(await run('status', '--help')).toMatchObject({ code: 0, out: expect.stringContaining('Usage:') });
  });

  it('asks the edge of a config with the token that edge has made', async () => {
    const store = { kind: 'lmdb', path: join(folder, 'data') };
    const file = join(folder, 'reveille.yaml');
    writeFileSync(file, JSON.stringify({ store }));

    const before = await run('status', '--config', file);
    expect([before.code, before.err]).toEqual([1, expect.stringContaining('http.api_token: expected a token')]);

    const edge = await startEdge({ config: { store } });
    writeFileSync(file, JSON.stringify({ http: { listen: edge.http }, store }));
    const up = await run('status', '--config', file, '--json');
    expect(up.code).toBe(0);
    expect(JSON.parse(up.out)).toMatchObject({ ready: true, draining: false, held: 0, calls: 0 });
    const made = join(folder, 'data/api-token');
    expect(statSync(made).mode & 0o777).toBe(0o600);
    expect(readFileSync(made, 'utf8').trim()).toMatch(/^[\w-]{32}$/);

    await edge.close();
    const down = await run('status', '--config', file);
    expect([down.code, down.err]).toEqual([1, expect.stringContaining(`no edge answers at http://${edge.http}`)]);
  });
});
