/** `npm run demo` itself: what it promises on stdout, in its exit code and in the picture. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const entry = fileURLToPath(new URL('../../dist/apps/demo/main.js', import.meta.url));
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'reveille-demo-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function demo(...args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((done) => {
    // the temporary directory tells whether it tidied up
    execFile(process.execPath, [entry, ...args], { env: { ...process.env, TMPDIR: dir } }, (error, stdout, stderr) =>
      done({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1, stdout, stderr }),
    );
  });
}

it.each(['udp', 'tcp'])('plays two calls over %s and tells it as one JSON object', async (transport) => {
  const picture = join(dir, `${transport}.svg`);
  const { code, stdout, stderr } = await demo('--json', '--transport', transport, '--svg', picture);
  expect(code, stderr).toBe(0);
  const result = JSON.parse(stdout) as { readonly ladder: readonly Record<string, unknown>[] };
  expect(result).toMatchObject({
    calls: 2,
    answered: 2,
    invitesPerPhone: 1,
    pushToRegisterMs: expect.any(Number),
    registerToInviteMs: expect.any(Number),
  });
  for (const rung of result.ladder)
    expect(rung).toEqual({ atMs: expect.any(Number), from: expect.any(String), to: expect.any(String), what: expect.any(String) });
  expect(readFileSync(picture, 'utf8')).toMatch(/^<svg [\s\S]*push \(voip\)[\s\S]*<\/svg>\n$/);
});

it('draws a ladder without colours where nobody looks, and leaves nothing behind', async () => {
  const { code, stdout } = await demo();
  expect(code).toBe(0);
  expect(stdout).toContain('── INVITE ──');
  expect(stdout).toContain('2 of 2 calls answered');
  expect(stdout).not.toContain('\u001b');
  expect(readdirSync(dir).filter((name) => name.startsWith('reveille-demo-') && !name.endsWith('.svg'))).toEqual([]);
});

it('says what is wrong with its arguments', async () => {
  const { code, stderr } = await demo('--transport', 'pigeon');
  expect(code).toBe(1);
  expect(stderr).toContain('expected udp or tcp, found pigeon');
});
