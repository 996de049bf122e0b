/** `reveille registrations --all` where there is more than anybody should keep in memory: shown as it comes, in whatever pages. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../../dist/apps/cli/main.js', import.meta.url));
const phones = 200_000;
const totals = { outbound: { registered: 2 }, inbound: { asleep: phones } };

const outboundRow = (n: number) => ({
  aor: `pbx${n}@example.com`,
  authUser: `p${n}`,
  host: 'example.com',
  state: 'registered',
});
const inboundRow = (n: number) => ({
  aor: `phone${n}@example.com`,
  device: `d${n}`,
  push: 'apns',
  state: 'asleep',
  expires: n,
});

/** What the API gives for a cursor: two accounts, an empty page, then phones; `breaksAt`: there it has lost its store. */
function page(cursor: number, limit: number, breaksAt: number): { readonly status: number; readonly body: unknown } {
  if (cursor === 0) return { status: 200, body: { outbound: [0, 1].map(outboundRow), inbound: [], totals, next: '1' } };
  if (cursor === 1) return { status: 200, body: { outbound: [], inbound: [], totals, next: '2' } };
  const from = cursor - 2;
  if (from >= breaksAt) return { status: 503, body: { error: 'The store cannot be read.' } };
  const count = Math.min(limit, phones - from);
  const inbound = Array.from({ length: count }, (_, n) => inboundRow(from + n));
  return {
    status: 200,
    body: { outbound: [], inbound, totals, next: from + count < phones ? `${cursor + count}` : null },
  };
}

describe('reveille registrations', () => {
  let server: Server;
  let breaksAt = Number.POSITIVE_INFINITY;
  let brokenFor = 0;
  let config = '';
  const dir = mkdtempSync(join(tmpdir(), 'reveille-many-'));
  beforeAll(async () => {
    server = createServer((request, response) => {
      const { searchParams: query } = new URL(request.url ?? '', 'http://edge');
      const from = brokenFor > 0 ? breaksAt : Number.POSITIVE_INFINITY;
      const { status, body } = page(Number(query.get('cursor') ?? 0), Number(query.get('limit')), from);
      if (status !== 200) brokenFor -= 1;
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    config = join(dir, 'edge.yaml');
    const { port } = server.address() as AddressInfo;
    writeFileSync(
      config,
      `http: {listen: '127.0.0.1:${port}', api_token: 'a-token-for-this-test'}\nstore: {kind: memory}\ndomains: [{name: example.com, upstream: 'sip:127.0.0.1:5070'}]\n`,
    );
  });
  afterAll(() => {
    server.close();
    rmSync(dir, { recursive: true });
  });

  /** In little memory: what keeps all rows, or a page for ever, does not come to its end. */
  const run = (...words: string[]) =>
    promisify(execFile)(
      process.execPath,
      ['--max-old-space-size=48', main, 'registrations', ...words, '--config', config],
      { maxBuffer: 2 ** 30 },
    );

  it('shows 200,000 phones as a table, with one head and a line for each', async () => {
    const { stdout } = await run('--all');
    const lines = stdout.split('\n');
    expect(lines.filter((line) => line.startsWith('phone'))).toHaveLength(phones);
    expect(lines.filter((line) => line.startsWith('AOR'))).toHaveLength(2);
    expect(lines.filter((line) => line.startsWith('pbx'))).toHaveLength(2);
    expect(stdout).toContain(`Inbound:  ${phones} (${phones} asleep)`);
    expect(stdout).not.toContain('There are more');
  });

  it('shows them as one JSON object', async () => {
    const all = JSON.parse((await run('--all', '--json')).stdout);
    expect(Object.keys(all)).toEqual(['outbound', 'inbound', 'totals', 'next']);
    expect([all.outbound.length, all.inbound.length, all.next]).toEqual([2, phones, null]);
    expect(all.inbound[phones - 1]).toEqual(inboundRow(phones - 1));
    expect(all.totals).toEqual(totals);
  });

  it('shows as many as were asked for, and says that there are more', async () => {
    const { stdout } = await run('--limit', '1502');
    expect(stdout.match(/^phone/gm)).toHaveLength(1500);
    expect(stdout).toContain('There are more: --limit N or --all.');
    const some = JSON.parse((await run('--limit', '2', '--json')).stdout);
    expect([some.outbound.length, some.inbound.length, some.next]).toEqual([2, 0, '1']);
  });

  it('goes on with its page when the store was away for a moment', async () => {
    breaksAt = 3000;
    brokenFor = 2;
    const { stdout } = await run('--all');
    expect(brokenFor).toBe(0);
    expect(stdout.match(/^phone/gm)).toHaveLength(phones);
  });

  it('ends with the error of the edge when the list breaks off', async () => {
    breaksAt = 3000;
    brokenFor = Number.POSITIVE_INFINITY;
    await expect(run('--all')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('503: The store cannot be read.'),
    });
    breaksAt = Number.POSITIVE_INFINITY;
  });
});
