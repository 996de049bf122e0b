/** `npm run demo` as its users see it: what it prints, what it returns, and that nothing of their own settings reaches it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../dist/apps/demo/main.js', import.meta.url));

function demo(
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; out: string; err: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [program, ...words], { env: { ...process.env, ...env } }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

it('prints one JSON object and ends with 0, whatever edge its user has in the environment', async () => {
  const { code, out, err } = await demo(['--json'], {
    REVEILLE_CONFIG: '/nowhere.yaml',
    REVEILLE_STORE: 'redis',
    REVEILLE_HTTP_LISTEN: '127.0.0.1:1',
    REVEILLE_ENGINE: 'drachtio',
    DRACHTIO_SECRET: 'somebody else',
  });
  expect(err).not.toContain('fault');
  expect(code).toBe(0);
  expect(out.trim().split('\n')).toHaveLength(1);
  const told = JSON.parse(out) as Record<string, unknown>;
  expect(Object.keys(told)).toEqual([
    'calls',
    'answered',
    'invitesPerPhone',
    'pushToRegisterMs',
    'registerToInviteMs',
    'ladder',
  ]);
  expect(told).toMatchObject({ calls: 2, answered: 2, invitesPerPhone: 1 });
});

it('ends with 1 and prints nothing on standard output when it is asked for what it does not know', async () => {
  const { code, out, err } = await demo(['--transport', 'tls']);
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toContain('expected udp or tcp');
});
